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
	effect effect // its context and integrations
	seen   span   // when it came in

	mayBeRejected bool // Segment rejects it while the faults last
	byIngest      bool // its dead letter is written by the ingest endpoint, and not by the function
	mayMove       bool // SQS may move its message to the dead-letter queue
}

// span is a time between two others; zero: any.
type span struct{ from, to time.Time }

// holds reports whether a dead letter's time is in the span.
func (s span) holds(text string) bool {
	at, err := time.Parse(time.RFC3339, text)
	return s.from.IsZero() || err == nil && !at.Before(s.from) && !at.After(s.to)
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

// run issues the plan's messages: a third at once, the rest while the faults happen. more are
// further ways into the pipeline.
func (i *issuer) run(ctx context.Context, more ...func()) error {
	for n := range i.plan.burst {
		if err := i.message(ctx, fmt.Sprintf(`{"app":{"build":"%d"}}`, n)); err != nil {
			return err
		}
	}
	if err := i.special(ctx); err != nil {
		return err
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
		for _, issue := range more {
			issue()
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

	mayBeRejected bool
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
	if i.rng.IntN(3) == 0 {
		e.tail += ownMembers[i.rng.IntN(len(ownMembers))]
	}
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

// A parcel is the events that are sent together.
type parcel struct {
	events       []draft
	common       common
	key          string // empty: the default, which the message does not carry
	path, origin string // where they must arrive, and why
	attributes   map[string]message.Attribute
	aged, resent bool
	single       bool  // as an event and not as a batch
	delay        int32 // seconds after which it can be received: those of the same moment come together
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
	p := parcel{key: writeKeys[i.rng.IntN(len(writeKeys))], path: "/v1/batch", attributes: map[string]message.Attribute{}}
	switch i.rng.IntN(6) {
	case 0:
		p.path, p.origin = "/v1/b", "client"
	case 1: // only in the attribute
		p.path, p.attributes[message.AttrOrigin] = "/v1/b", message.StringAttribute("client")
	}
	if i.rng.IntN(2) == 0 {
		p.attributes[message.AttrEventCount] = message.NumberAttribute(int64(1 + i.rng.IntN(2*n))) // only a hint
	}
	if p.aged = i.rng.Float64()*100 < i.plan.aged; p.aged {
		p.attributes[attrAged] = message.StringAttribute("yes")
	}
	p.resent = i.rng.Float64()*100 < i.plan.resent
	p.events = i.draw(n, p.resent)
	p.single = n == 1 && p.key == local.WriteKey && p.origin == "" && context == "" && i.rng.IntN(2) == 0
	if p.common.context = context; context == "" && !p.single {
		p.common = drawCommon(i.rng)
	}
	return i.issue(ctx, &p)
}

// draw draws the events of a message. Those that are sent twice have a messageId, because without
// one they would be two events each.
func (i *issuer) draw(n int, resent bool) []draft {
	events := make([]draft, n)
	for at := range events {
		e := i.event()
		if n > 100 { // small events
			e = draft{head: fmt.Sprintf(`"type":"track","event":"E","userId":"u1","n":%d`, i.serial), id: e.id,
				timestamped: e.timestamped}
		}
		if i.separate {
			e.timestamped = true
		}
		if (resent || i.separate) && e.id == "" {
			e.id = i.id()
		}
		if at == 0 && e.reason == "" && i.rng.IntN(2) == 0 {
			i.poison(&e)
		}
		events[at] = e
	}
	return events
}

// id is a messageId for the event that was drawn last.
func (i *issuer) id() string { return fmt.Sprintf("s%d-%d", i.plan.seed, i.serial) }

// poison makes an event one that Segment rejects, if the plan has one left.
func (i *issuer) poison(e *draft) {
	if i.plan.poison > 0 {
		i.plan.poison--
		e.id, e.reason = fmt.Sprintf("poison-%d", i.plan.poison), "rejected"
	}
}

// body is the parcel's JSON.
func (p *parcel) body() string {
	texts := make([]string, len(p.events))
	for at := range p.events {
		e := &p.events[at]
		texts[at] = e.bytes(e.id, ownTimestamp(e))
	}
	if p.single {
		return texts[0]
	}
	head := "{"
	if p.key != "" && p.key != local.WriteKey {
		head += fmt.Sprintf(`"writeKey":%q,`, p.key)
	}
	if p.origin != "" {
		head += fmt.Sprintf(`"origin":%q,`, p.origin)
	}
	return head + p.common.json() + `"batch":[` + strings.Join(texts, ",") + `]}`
}

// issue sends a parcel as a message, and records its events.
func (i *issuer) issue(ctx context.Context, p *parcel) error {
	text := p.body()
	if i.rng.IntN(2) == 0 || len(text) > 200<<10 {
		text = i.compressor.Compress([]byte(text))
	}
	times := 1
	if p.resent {
		times = 2
	}
	for range times {
		id, sent, err := i.send(ctx, text, p.attributes, p.delay)
		if err != nil && !i.separate {
			return err
		}
		if p.aged {
			sent = sent.Add(-tooOld)
		}
		sent = sent.Add(i.plan.skew)
		names := make([]string, len(p.events))
		for at := range p.events {
			e := &p.events[at]
			out := i.expected(p, e)
			out.maybe = err != nil
			if !i.separate {
				out.seen = span{sent, sent}
			}
			name, timestamp := e.id, sent.UTC().Format("2006-01-02T15:04:05.000Z")
			if name == "" {
				name = fmt.Sprintf("%s-%d", id, at)
			}
			if e.timestamped {
				timestamp = ownTimestamp(e)
			}
			out.want = e.bytes(name, timestamp)
			i.ledger.issue(name, out)
			names[at] = name
		}
		i.ledger.sent(text, names)
	}
	return nil
}

// expected is how an event of a parcel must come out, but for its bytes.
func (i *issuer) expected(p *parcel, e *draft) issued {
	out := issued{key: p.key, path: p.path, reason: e.reason, aged: p.aged, mayBeRejected: e.mayBeRejected,
		mayMove: i.plan.fewReceives}
	if out.key == "" {
		out.key = local.WriteKey
	}
	var err error
	if out.effect, err = effectOf([]byte(e.bytes(e.id, ownTimestamp(e))), p.common); err != nil {
		i.ledger.complain("issue an event: %w", err)
	}
	return out
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
	_, _, err := i.send(ctx, body, nil, 0)
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
		if _, _, err := i.send(ctx, fmt.Sprintf(`{"writeKey":%q,"batch":[%s]}`, key, text), nil, 0); err != nil {
			return err
		}
		i.ledger.issue(id, issued{want: text, key: key, path: "/v1/batch"})
	}
	return nil
}

// send sends a body. It returns the id of the message and when it was sent.
func (i *issuer) send(ctx context.Context, body string, attributes map[string]message.Attribute, delay int32) (id string,
	sent time.Time, err error) {
	sent = time.Now().Truncate(time.Millisecond)
	out, err := i.client.SendMessage(ctx,
		&awssqs.SendMessageInput{QueueUrl: &i.queueURL, MessageBody: &body, DelaySeconds: delay,
			MessageAttributes: sqsclient.Attributes(attributes)})
	if err != nil {
		return "", sent, fmt.Errorf("issue a message: %w", err)
	}
	return aws.ToString(out.MessageId), sent, nil
}
