package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/trial"
)

// A check is a trial with what must become of it.
type check struct {
	name  string
	trial trial.Trial
	judge func(*trial.Outcome) error // nil: it passed
}

// The messageIds of the events of trials, which say what is to become of each.
const (
	goodID      = "trial-good-1"
	otherGoodID = "trial-good-2"
	neighbourID = "trial-neighbour" // shares its message with the rejected and the invalid one
	rejectedID  = "trial-rejected"  // Segment answers 400
	invalidID   = "trial-invalid"   // nobody's
	throttledID = "trial-throttled" // Segment answers 429
)

const (
	throttledKey = trial.WriteKey + "-throttled" // of its own: its key is paused
	retryAfter   = 2 * time.Minute
	unreadable   = `no JSON`
	// precise is a number that a decoder of JSON would round.
	precise = `9007199254740993`
)

// anEvent is an event that Segment takes, and that deliver must not change.
func anEvent(id string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"messageId":%q,"type":"track","userId":"trial","event":"Trial","timestamp":%q,`+
		`"properties":{"n":%s}}`, id, at.UTC().Format(event.TimeFormat), precise)
}

// nobodys is an event without a user, which Segment would drop.
func nobodys(id string) []byte {
	return fmt.Appendf(nil, `{"messageId":%q,"type":"track","event":"Trial"}`, id)
}

// deliverTrials is one invocation with all kinds of messages at once, so that none may harm
// another.
func deliverTrials(now time.Time) []check {
	good, other, neighbour := anEvent(goodID, now), anEvent(otherGoodID, now), anEvent(neighbourID, now)
	packed := message.AppendJSON(nil, message.Header{WriteKey: trial.WriteKey, ReceivedAt: now}, good, other)
	compressor, err := message.NewCompressor()
	if err != nil {
		panic(err) // it has no options that could be wrong
	}
	bodies := []record{
		{"good", compressor.Compress(packed)},
		{"poisonous", string(message.AppendJSON(nil, message.Header{WriteKey: trial.WriteKey}, neighbour,
			anEvent(rejectedID, now), nobodys(invalidID)))},
		{"unreadable", unreadable},
		{"throttled", string(message.AppendJSON(nil, message.Header{WriteKey: throttledKey}, anEvent(throttledID, now)))},
	}
	return []check{{
		name: "a good, a poisonous, an unreadable and a throttled message",
		trial: trial.Trial{Payload: sqsEvent(now, bodies), Segment: []trial.Answer{
			{Text: rejectedID, Status: http.StatusBadRequest},
			{Text: throttledID, Status: http.StatusTooManyRequests, RetryAfter: int(retryAfter.Seconds())},
		}},
		judge: func(o *trial.Outcome) error {
			return errors.Join(judgeDelivered(o, good, other, neighbour), judgeDeadLetters(o), judgeRetained(o))
		},
	}}
}

// A record is a message's id, which is its receipt handle too, and its body.
type record struct{ id, body string }

// sqsEvent is what Lambda hands over of messages that are received for the first time.
func sqsEvent(now time.Time, records []record) json.RawMessage {
	type attributes struct{ SentTimestamp, ApproximateReceiveCount string }
	type one struct {
		MessageID     string     `json:"messageId"`
		ReceiptHandle string     `json:"receiptHandle"`
		Body          string     `json:"body"`
		Attributes    attributes `json:"attributes"`
	}
	var all struct{ Records []one }
	for _, r := range records {
		all.Records = append(all.Records, one{r.id, r.id, r.body, attributes{strconv.FormatInt(now.UnixMilli(), 10), "1"}})
	}
	payload, _ := json.Marshal(all) // texts can always be marshalled
	return payload
}

// judgeDelivered: Segment took these events once each, as they were, and no other.
func judgeDelivered(o *trial.Outcome, events ...[]byte) error {
	var errs []error
	taken := map[string]int{}
	var batches bytes.Buffer
	for _, r := range o.Segment {
		if r.Status != http.StatusOK {
			continue
		}
		batches.WriteString(r.Body)
		for _, id := range []string{goodID, otherGoodID, neighbourID, rejectedID, invalidID, throttledID} {
			taken[id] += strings.Count(r.Body, strconv.Quote(id))
		}
		if r.WriteKey != trial.WriteKey {
			errs = append(errs, fmt.Errorf("good events reached Segment with the write key %q", r.WriteKey))
		}
	}
	want := map[string]int{goodID: 1, otherGoodID: 1, neighbourID: 1}
	for _, id := range []string{goodID, otherGoodID, neighbourID, rejectedID, invalidID, throttledID} {
		if taken[id] != want[id] {
			errs = append(errs, fmt.Errorf("the event %s reached Segment %d times, not %d", id, taken[id], want[id]))
		}
	}
	for _, e := range events {
		if len(errs) == 0 && !bytes.Contains(batches.Bytes(), e) {
			errs = append(errs, fmt.Errorf("an event is not as it was sent: %s", e))
		}
	}
	return errors.Join(errs...)
}

// judgeDeadLetters: what can't be delivered is a dead letter with its reason, and nothing else is.
func judgeDeadLetters(o *trial.Outcome) error {
	var errs []error
	want := map[string]string{message.ReasonRejected: rejectedID, message.ReasonInvalid: invalidID,
		message.ReasonUndecodable: unreadable}
	for i := range o.Sent {
		sent := &o.Sent[i]
		reason := message.ReadDeadLetter(sent.Message).Reason
		text, ok := want[reason]
		switch {
		case sent.Queue != trial.DeadLetterQueue:
			errs = append(errs, fmt.Errorf("a message was sent to the queue %s", sent.Queue))
		case !ok:
			errs = append(errs, fmt.Errorf("a dead letter has the reason %q: %s", reason, readBody(sent.Body)))
		case !strings.Contains(readBody(sent.Body), text):
			errs = append(errs, fmt.Errorf("the dead letter with the reason %q has not what it must: %s", reason,
				readBody(sent.Body)))
		}
		delete(want, reason)
	}
	for reason, text := range want {
		errs = append(errs, fmt.Errorf("%s is not a dead letter with the reason %q", text, reason))
	}
	return errors.Join(errs...)
}

// readBody is a message's body, decompressed if it is compressed.
func readBody(body string) string {
	d, err := message.NewDecoder()
	if err != nil {
		return body
	}
	defer d.Close()
	var c message.Content
	if d.Decode([]byte(body), &c) != nil {
		return body
	}
	var events [][]byte
	for i := range c.Events {
		events = append(events, c.Events[i].Raw)
	}
	return string(message.AppendJSON(nil, c.Header, events...))
}

// judgeRetained: the throttled message alone is retained, until Segment wants it again.
func judgeRetained(o *trial.Outcome) error {
	var answer struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(o.Answer, &answer); err != nil {
		return fmt.Errorf("the answer is not one to an event source: %w", err)
	}
	retained := []string{}
	for _, f := range answer.BatchItemFailures {
		retained = append(retained, f.ItemIdentifier)
	}
	if !slices.Equal(retained, []string{"throttled"}) {
		return fmt.Errorf("retained for retry are the messages %q, not the throttled one alone", retained)
	}
	// The back-off is spread by a tenth.
	timeout, least, most := o.Visibility["throttled"], int(0.9*retryAfter.Seconds())-1, int(1.1*retryAfter.Seconds())+1
	if len(o.Visibility) != 1 || timeout < least || timeout > most {
		return fmt.Errorf("the visibility timeouts are %v, not between %d and %d s of the throttled message alone",
			o.Visibility,
			least, most)
	}
	return nil
}
