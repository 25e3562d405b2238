package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// writeKeys are the write keys of the issued events. No message contains the last one, because it
// is the configured default.
var writeKeys = []string{"key-a", "key-b", local.WriteKey}

// attrAged marks messages whose SentTimestamp is set back; the handler does not know it.
const attrAged = "Oracle-Aged"

// issued says how an event must come out.
type issued struct {
	want   string // its bytes, at Segment or in its dead letter
	key    string
	path   string
	reason string // why it must become a dead letter; empty: it must be delivered
	aged   bool   // it may become a dead letter for its age instead
	maybe  bool   // SQS did not answer, so that it may come out or not
}

// issuer sends messages and records their events in the ledger.
type issuer struct {
	client     *awssqs.Client
	queueURL   string
	plan       *plan
	ledger     *ledger
	rng        *rand.Rand
	compressor *message.Compressor
	serial     int
	// separate says that SQS is another process: its clock is not known, and its answers may be
	// lost. All events then have a messageId and a timestamp, and those of a message for which SQS
	// gave no answer may come out or not.
	separate bool
}

// run issues the plan's messages: a third at once, the rest while the faults happen.
func (i *issuer) run(ctx context.Context) error {
	for n := range i.plan.burst {
		if err := i.message(ctx, fmt.Sprintf(`{"app":{"build":"%d"}}`, n)); err != nil {
			return err
		}
	}
	rest := i.plan.lasts
	for n := range i.plan.messages {
		if n >= i.plan.messages/3 {
			d := time.Duration(i.rng.Int64N(int64(rest)/2 + 1))
			rest -= d
			sleep(ctx, d)
		}
		if err := i.message(ctx, ""); err != nil {
			return err
		}
	}
	return nil
}

// draft is an event whose messageId and timestamp may be added later.
type draft struct {
	head, tail  string // of its JSON, around messageId and timestamp
	id          string // empty: the pipeline adds one
	timestamped bool   // it has a timestamp
	null        bool   // what is missing is written as null, which the pipeline replaces in place
	reason      string
}

// bytes is the event with this messageId and timestamp, as Segment must receive it. Those that the
// event does not have itself are added as the pipeline does.
func (e *draft) bytes(id, timestamp string) string {
	var own, added strings.Builder
	for _, f := range []struct {
		name, value string
		own         bool
	}{{"messageId", id, e.id != ""}, {"timestamp", timestamp, e.timestamped}} {
		switch {
		case f.own || e.null && f.value != "":
			fmt.Fprintf(&own, `,"%s":"%s"`, f.name, f.value)
		case e.null:
			fmt.Fprintf(&own, `,"%s":null`, f.name)
		case f.value != "":
			fmt.Fprintf(&added, `"%s":"%s",`, f.name, f.value)
		}
	}
	return "{" + added.String() + e.head + own.String() + e.tail + "}"
}

// properties are values that decoding into Go types and encoding again would change.
var properties = []string{
	`{"n":9007199254740993,"f":1.0,"e":1E+400,"neg":-0}`,
	`{"text":"é\u00e9\ud83d\ude00😀\/\"\\","empty":"","nul":"\u0000"}`,
	`{ "a" : [ ] , "b":{},"b":{"twice":true} }`, `{"no":false,"none":null,"deep":[[[{"x":[1,2,{"y":null}]}]]]}`,
	`{"revenue":0.10000000000000000000001,"<&>":"<&>"}`,
}

// event draws an event.
func (i *issuer) event() draft {
	i.serial++
	e := draft{timestamped: i.rng.IntN(3) > 0, null: i.rng.IntN(6) == 0}
	if i.rng.IntN(3) > 0 {
		e.id = fmt.Sprintf("s%d-%d", i.plan.seed, i.serial)
	}
	kinds := []string{
		`"type":"track","event":"Run %d"`, `"type":"identify","n":%d`, `"type":"page","name":"P%d"`,
		`"type":"screen","name":"S%d"`, `"type":"group","groupId":"g%d"`,
		`"type":"alias","previousId":"p%d"`,
	}
	e.head = fmt.Sprintf(kinds[i.rng.IntN(len(kinds))], i.serial) + `,"userId":"u1"`
	e.tail = `,"properties":` + properties[i.rng.IntN(len(properties))]
	switch k := i.rng.IntN(60); {
	case k == 0:
		e.head, e.reason = fmt.Sprintf(`"type":"track","event":"without a user %d"`, i.serial), "invalid"
	case k == 1:
		e.tail, e.reason = `,"x":"`+strings.Repeat("x", 33<<10)+`"`, "too_large"
	case k < 10:
		e.tail += `,"x":"` + strings.Repeat("abcdefgh", 1<<i.rng.IntN(10)) + `"`
	}
	return e
}

// message issues a message: a single event, a batch, a batch larger than Segment's limit, or a body
// that can't be decoded. A message with a context of its own shares no batch with another.
func (i *issuer) message(ctx context.Context, context string) error {
	n := 1
	switch k := i.rng.IntN(40); {
	case k == 0:
		return i.undecodable(ctx)
	case k == 1 && i.rng.IntN(8) == 0:
		n = 3000 // above Segment's 2,500 events of a batch
	case k > 8:
		n = 2 + i.rng.IntN(30)
	}
	key := writeKeys[i.rng.IntN(len(writeKeys))]
	path, origin := "/v1/batch", ""
	attributes := map[string]message.Attribute{}
	switch i.rng.IntN(6) {
	case 0:
		path, origin = "/v1/b", "client"
	case 1: // only in the attribute
		path, attributes[message.AttrOrigin] = "/v1/b", message.StringAttribute("client")
	}
	if i.rng.IntN(2) == 0 {
		attributes[message.AttrEventCount] = message.NumberAttribute(int64(1 + i.rng.IntN(2*n))) // only a hint
	}
	aged := i.rng.Float64()*100 < i.plan.aged
	if aged {
		attributes[attrAged] = message.StringAttribute("yes")
	}
	resent := i.rng.Float64()*100 < i.plan.resent

	events := make([]draft, n)
	texts := make([]string, n)
	for at := range events {
		e := i.event()
		if n > 100 { // small events
			e = draft{head: fmt.Sprintf(`"type":"track","event":"E","userId":"u1","n":%d`, i.serial), id: e.id,
				timestamped: e.timestamped}
		}
		if i.separate {
			e.timestamped = true
		}
		if (resent || i.separate) && e.id == "" { // an event without a messageId that is sent twice is two events
			e.id = fmt.Sprintf("s%d-%d", i.plan.seed, i.serial)
		}
		if at == 0 && i.plan.poison > 0 && e.reason == "" && i.rng.IntN(2) == 0 {
			i.plan.poison--
			e.id, e.reason = fmt.Sprintf("poison-%d", i.plan.poison), "rejected"
		}
		events[at], texts[at] = e, e.bytes(e.id, ownTimestamp(&e))
	}
	var body strings.Builder
	if n == 1 && key == local.WriteKey && origin == "" && context == "" && i.rng.IntN(2) == 0 {
		body.WriteString(texts[0])
	} else {
		body.WriteByte('{')
		if key != local.WriteKey {
			fmt.Fprintf(&body, `"writeKey":%q,`, key)
		}
		if origin != "" {
			fmt.Fprintf(&body, `"origin":%q,`, origin)
		}
		if context == "" && i.rng.IntN(3) == 0 {
			context = `{"library":{"name":"analytics-go","version":"3.0.0"}}`
		}
		if context != "" {
			body.WriteString(`"context":` + context + `,`)
		}
		body.WriteString(`"batch":[` + strings.Join(texts, ",") + `]}`)
	}
	text := body.String()
	if i.rng.IntN(2) == 0 {
		text = i.compressor.Compress([]byte(text))
	}
	times := 1
	if resent {
		times = 2
	}
	for range times {
		id, sent, err := i.send(ctx, text, attributes)
		if err != nil && !i.separate {
			return err
		}
		if aged {
			sent = sent.Add(-tooOld)
		}
		added := sent.Add(i.plan.skew).UTC().Format("2006-01-02T15:04:05.000Z")
		for at := range events {
			e := &events[at]
			out := issued{key: key, path: path, reason: e.reason, aged: aged, maybe: err != nil}
			name, timestamp := e.id, added
			if name == "" {
				name = fmt.Sprintf("%s-%d", id, at)
			}
			if e.timestamped {
				timestamp = ownTimestamp(e)
			}
			out.want = e.bytes(name, timestamp)
			i.ledger.issue(name, out)
		}
	}
	return nil
}

// ownTimestamp is the timestamp that an event has itself, empty if it has none.
func ownTimestamp(e *draft) string {
	if e.timestamped {
		return "2026-11-01T12:00:00.000Z"
	}
	return ""
}

// undecodable issues a body that can't be decoded: it must become a dead letter as it was sent.
func (i *issuer) undecodable(ctx context.Context) error {
	i.serial++
	body := fmt.Sprintf("%s %d", []string{"not JSON", `{"batch":[`, "KLUv/AAAA", `{"type":"track"`, "[]"}[i.rng.IntN(5)],
		i.serial)
	_, _, err := i.send(ctx, body, nil)
	if err != nil && !i.separate {
		return err
	}
	i.ledger.issueBody(body, err == nil)
	return nil
}

// fresh issues an event with each write key, which must be delivered whatever has happened before.
func (i *issuer) fresh(ctx context.Context) error {
	for n, key := range writeKeys {
		id := fmt.Sprintf("fresh-%d", n)
		e := draft{head: `"type":"track","event":"fresh","userId":"u1"`, id: id, timestamped: true}
		text := e.bytes(id, ownTimestamp(&e))
		if _, _, err := i.send(ctx, fmt.Sprintf(`{"writeKey":%q,"batch":[%s]}`, key, text), nil); err != nil {
			return err
		}
		i.ledger.issue(id, issued{want: text, key: key, path: "/v1/batch"})
	}
	return nil
}

// send sends a body. It returns the id of the message and when it was sent.
func (i *issuer) send(ctx context.Context, body string, attributes map[string]message.Attribute) (id string,
	sent time.Time, err error) {
	sent = time.Now().Truncate(time.Millisecond)
	out, err := i.client.SendMessage(ctx,
		&awssqs.SendMessageInput{QueueUrl: &i.queueURL, MessageBody: &body,
			MessageAttributes: sqsclient.Attributes(attributes)})
	if err != nil {
		return "", sent, fmt.Errorf("issue a message: %w", err)
	}
	return aws.ToString(out.MessageId), sent, nil
}
