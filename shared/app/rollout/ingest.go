package rollout

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/trial"
)

// ingestTrials are requests as SDKs send them: those of servers, which compress, and of browsers,
// which have no header to spare.
func ingestTrials(now time.Time) []check {
	batch := func(events ...[]byte) []byte {
		return fmt.Appendf(nil, `{"batch":[%s]}`, bytes.Join(events, []byte(",")))
	}
	browsers := fmt.Appendf(nil, `{"writeKey":%q,%s`, trial.WriteKey, anEvent(goodID, now)[1:])
	return []check{
		{
			name:  "a good batch",
			trial: trial.Trial{Payload: post("/v1/batch", zipped(batch(anEvent(goodID, now), anEvent(otherGoodID, now))))},
			judge: accepted(0, goodID, otherGoodID),
		},
		{
			name:  "a browser's event",
			trial: trial.Trial{Payload: post("/v1/t", body{text: string(browsers), contentType: "text/plain"})},
			judge: accepted(0, goodID),
		},
		{
			name:  "a batch with an invalid event",
			trial: trial.Trial{Payload: post("/v1/batch", plain(batch(anEvent(neighbourID, now), nobodys(invalidID))))},
			judge: accepted(1, neighbourID),
		},
		{
			name:  "a body that is no JSON",
			trial: trial.Trial{Payload: post("/v1/batch", plain([]byte(unreadable)))},
			judge: refused(http.StatusBadRequest),
		},
		{
			name: "a good batch while the queue fails",
			trial: trial.Trial{Payload: post("/v1/batch", plain(batch(anEvent(throttledID, now)))),
				QueueFails: true},
			judge: refused(http.StatusTooManyRequests),
		},
	}
}

// A body is one of a request.
type body struct {
	text                  string
	base64                bool
	contentType, encoding string
}

func plain(text []byte) body { return body{text: string(text), contentType: "application/json"} }

func zipped(text []byte) body {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(text) // a buffer takes everything
	_ = z.Close()
	return body{base64.StdEncoding.EncodeToString(out.Bytes()), true, "application/json", "gzip"}
}

// post is a request as an HTTP API hands it over, in payload format 2.0. The write key is in the
// header, as all SDKs but those of browsers send it.
func post(path string, b body) json.RawMessage {
	type object = map[string]any
	headers := map[string]string{"host": "trial.invalid", "content-type": b.contentType, "user-agent": "spillway-trial"}
	if b.encoding != "" {
		headers["content-encoding"] = b.encoding
	}
	if b.contentType != "text/plain" {
		headers["authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(trial.WriteKey+":"))
	}
	payload, _ := json.Marshal(object{ // texts can always be marshalled
		"version": "2.0", "rawPath": path, "headers": headers, "body": b.text, "isBase64Encoded": b.base64,
		"requestContext": object{"stage": "$default", "domainName": "trial.invalid",
			// An address for documentation (RFC 5737).
			"http": object{"method": http.MethodPost, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}},
	})
	return payload
}

// readAnswer returns the status of the answer to a request, and how it says when to retry.
func readAnswer(o *trial.Outcome) (status int, retryAfter string, err error) {
	var answer struct {
		StatusCode int
		Headers    map[string]string
	}
	if err := json.Unmarshal(o.Answer, &answer); err != nil || answer.StatusCode == 0 {
		return 0, "", fmt.Errorf("the answer is not one to an HTTP API: %.200s", o.Answer)
	}
	for name, value := range answer.Headers {
		if strings.EqualFold(name, "Retry-After") {
			retryAfter = value
		}
	}
	return answer.StatusCode, retryAfter, nil
}

// accepted: the answer is 200, the events queue has these events, and the dead-letter queue has so
// many messages, of invalid events.
func accepted(deadLetters int, ids ...string) func(*trial.Outcome) error {
	return func(o *trial.Outcome) error {
		status, _, err := readAnswer(o)
		if err != nil || status != http.StatusOK {
			return errors.Join(err, fmt.Errorf("the answer is %d, not 200: %.300s", status, o.Answer))
		}
		var errs []error
		var accepted strings.Builder
		dead := 0
		for i := range o.Sent {
			sent := &o.Sent[i]
			switch text := readBody(sent.Body); {
			case sent.Queue == trial.EventsQueue && strings.Contains(text, `"writeKey":"`+trial.WriteKey+`"`):
				accepted.WriteString(text)
			case sent.Queue == trial.DeadLetterQueue && message.ReadDeadLetter(sent.Message).Reason == message.ReasonInvalid &&
				strings.Contains(text, invalidID):
				dead++
			default:
				errs = append(errs, fmt.Errorf("the queue %s got %.300s", sent.Queue, text))
			}
		}
		events := accepted.String()
		for _, id := range ids {
			if n := strings.Count(events, strconv.Quote(id)); n != 1 {
				errs = append(errs, fmt.Errorf("the events queue has the event %s %d times, not once", id, n))
			}
		}
		if n := strings.Count(events, `"messageId"`); n != len(ids) || strings.Count(events, precise) != n {
			errs = append(errs, fmt.Errorf("the events queue has not the %d events that were accepted: %.600s", len(ids),
				events))
		}
		if dead != deadLetters {
			errs = append(errs, fmt.Errorf("there are %d dead letters, not %d", dead, deadLetters))
		}
		return errors.Join(errs...)
	}
}

// refused: the answer is this one, and no queue has anything. After a 429 SDKs must know when to
// send again.
func refused(want int) func(*trial.Outcome) error {
	return func(o *trial.Outcome) error {
		status, retryAfter, err := readAnswer(o)
		switch {
		case err != nil:
			return err
		case status != want:
			return fmt.Errorf("the answer is %d, not %d: %.300s", status, want, o.Answer)
		case want == http.StatusTooManyRequests && retryAfter == "":
			return errors.New("the answer 429 has no Retry-After")
		case len(o.Sent) > 0:
			return fmt.Errorf("a message was sent to the queue %s", o.Sent[0].Queue)
		}
		return nil
	}
}
