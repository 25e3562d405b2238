package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var seeds = flag.Int("seeds", 10, "how many runs of the oracle")

var oneSeed = flag.Uint64("seed", 0, "the only run of the oracle, as a failure names it")

// The oracle fills a dead-letter queue with every kind of dead letter, redrives them under faults
// and interruptions, delivers what is in the events queue with the real handler, and counts: each
// event is delivered or still a dead letter, always under the same messageId and with the same
// bytes.
func TestNoDeadLetterIsLostOrBecomesAnotherEvent(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *oneSeed != 0 {
		first, last = *oneSeed, *oneSeed
	}
	for seed := first; seed <= last; seed++ {
		synctest.Test(t, func(t *testing.T) {
			o := newOracle(t, seed)
			o.run()
			if t.Failed() {
				t.Fatalf("go test ./shared/deadletter -run NoDeadLetterIsLost -seed %d", seed)
			}
		})
	}
}

type oracle struct {
	*testing.T
	flushing   sync.Mutex
	rng        *rand.Rand
	dead, live *fakeSQS
	users      map[string]bool            // one for each event, which is how the oracle recognises it
	delivered  map[string]map[string]bool // by user: the bytes that Segment got
	owners     map[string]string          // of messageIds: users
	unreadable map[string]int             // bodies
}

func newOracle(t *testing.T, seed uint64) *oracle {
	rng := rand.New(rand.NewPCG(seed, 1))
	o := &oracle{T: t, rng: rng, dead: newFake("dead"), live: newFake("live"), users: map[string]bool{},
		delivered: map[string]map[string]bool{}, owners: map[string]string{}, unreadable: map[string]int{}}
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	event := func(identity string) []byte {
		user := "u" + strconv.Itoa(len(o.users))
		o.users[user] = true
		return []byte(`{"type":"track","event":"Run",` + strings.ReplaceAll(identity, "$", user) + `"userId":"` + user + `"}`)
	}
	const identified = `"messageId":"own-$","timestamp":"2026-01-01T00:00:00.000Z",`
	for n := range 20 + rng.IntN(60) {
		at := time.Now().Add(-time.Duration(rng.IntN(48)) * time.Hour)
		l := message.DeadLetter{ID: "m" + strconv.Itoa(n) + "/0", Reason: "rejected", Detail: "no",
			Header: message.Header{WriteKey: "WK"}, FirstSeen: at, LastSeen: at, Receives: 3}
		switch rng.IntN(6) {
		case 0, 1:
			for range 1 + rng.IntN(30) {
				l.Events = append(l.Events, event(identified))
			}
		case 2: // the body as it came
			l.ID, l.Reason, l.Count = "m"+strconv.Itoa(n)+"/expired", "expired", 1
			l.Body = event("")
		case 3:
			o.dead.put(message.Message{Body: `{"batch":[` + string(event("")) + "," + string(event(identified)) + `]}`},
				"arn:aws:sqs:x:y:live")
			continue
		case 4:
			o.dead.put(message.Message{Body: string(event(""))}, "")
			continue
		case 5:
			l.Reason, l.Body = message.ReasonUndecodable, []byte("no JSON "+strconv.Itoa(n))
			o.unreadable[string(l.Body)] = 1
		}
		for _, m := range l.Messages(compressor) {
			o.dead.put(m, "")
			if rng.IntN(10) == 0 { // written twice
				o.dead.put(m, "")
				if l.Reason == message.ReasonUndecodable {
					o.unreadable[string(l.Body)]++
				}
			}
		}
	}
	return o
}

var errStop = errors.New("interrupted")

func (o *oracle) run() {
	o.dead.rng, o.live.rng = rand.New(rand.NewPCG(o.rng.Uint64(), 2)), rand.New(rand.NewPCG(o.rng.Uint64(), 3))
	rate := []float64{0, 1, 20, 100_000}[o.rng.IntN(4)]
	for range 8 {
		ctx, cancel := context.WithCancelCause(context.Background())
		stop := time.AfterFunc(time.Duration(o.rng.IntN(60_000))*time.Millisecond, func() { cancel(errStop) })
		// Other tests look at its errors.
		_, _ = New(o.dead, "dead").Redrive(ctx, sqsclient.New(o.live, "live"), RedriveOptions{Rate: rate})
		stop.Stop()
		cancel(nil)
		o.deliver()
		o.nothingLost()
		time.Sleep(time.Duration(o.rng.IntN(400)) * time.Second)
	}
	if o.rng.IntN(2) == 0 {
		o.drop()
		return
	}
	o.dead.rng, o.live.rng = nil, nil
	time.Sleep(VisibilityTimeout)
	result, err := New(o.dead, "dead").Redrive(o.Context(), sqsclient.New(o.live, "live"), RedriveOptions{})
	if err != nil || result.Failed+result.NotDeleted > 0 {
		o.Errorf("without faults: %+v, %v", result, err)
	}
	o.deliver()
	for user := range o.users {
		if len(o.delivered[user]) != 1 {
			o.Errorf("the event of %s was delivered as %d different ones: %v", user, len(o.delivered[user]), o.delivered[user])
		}
	}
	left := map[string]int{}
	for _, m := range o.dead.messages {
		left[m.Body]++
		if m.visible.After(time.Now()) {
			o.Errorf("%s is still invisible", m.id)
		}
	}
	want(o, "dead letters that are left", left, o.unreadable)
}

// drop drops what is left, under the same faults and those of a disk: it is in the lines then, with
// the bytes that Segment got if it got them.
func (o *oracle) drop() {
	written := map[string]bool{}
	bodies := map[string]bool{}
	write := func(lines []byte) error {
		if o.rng.IntN(10) == 0 {
			return errors.New("the disk is full")
		}
		for line := range bytes.Lines(lines) {
			var l struct {
				DeadLetter lineInfo
				Body       string
				Batch      []json.RawMessage
			}
			if err := json.Unmarshal(line, &l); err != nil || l.DeadLetter.ID == "" || l.DeadLetter.Reason == "" ||
				len(l.Batch) > 1 {
				o.Errorf("the line %s: %v", line, err)
				continue
			}
			if l.Batch == nil {
				bodies[l.Body] = true
				continue
			}
			u := user(l.Batch[0])
			written[u] = true
			if d := o.delivered[u]; d != nil && !d[string(l.Batch[0])] {
				o.Errorf("%s was delivered as %v and is exported as %s", u, d, l.Batch[0])
			}
		}
		return nil
	}
	for range 5 {
		ctx, cancel := context.WithCancelCause(context.Background())
		stop := time.AfterFunc(time.Duration(o.rng.IntN(60_000))*time.Millisecond, func() { cancel(errStop) })
		_, _ = New(o.dead, "dead").Drop(ctx, Filter{}, write)
		stop.Stop()
		cancel(nil)
		there, unread := o.inQueue()
		for user := range o.users {
			if !there[user] && !written[user] && o.delivered[user] == nil {
				o.Errorf("the event of %s is neither delivered nor written nor a dead letter", user)
			}
		}
		for body := range o.unreadable {
			if !unread[body] && !bodies[body] {
				o.Errorf("%q is neither written nor a dead letter", body)
			}
		}
		time.Sleep(time.Duration(o.rng.IntN(400)) * time.Second)
	}
}

// nothingLost looks at what is there at this moment.
func (o *oracle) nothingLost() {
	there, unread := o.inQueue()
	for user := range o.users {
		if !there[user] && o.delivered[user] == nil {
			o.Errorf("the event of %s is neither delivered nor a dead letter", user)
		}
	}
	want(o, "unreadable dead letters", len(unread), len(o.unreadable))
}

// inQueue returns the users whose events are in the queue, and the bodies there that can't be read.
func (o *oracle) inQueue() (users, unread map[string]bool) {
	users, unread = map[string]bool{}, map[string]bool{}
	r, err := NewReader()
	if err != nil {
		o.Fatal(err)
	}
	defer r.Close()
	for _, m := range o.dead.messages {
		content, err := r.Read(&Received{DeadLetter: message.DeadLetter{Body: []byte(m.Body)}})
		if err != nil {
			unread[m.Body] = true
			continue
		}
		for i := range content.Events {
			users[user(content.Events[i].Raw)] = true
		}
	}
	return users, unread
}

func user(event []byte) string { user, _ := who(event); return user }

func who(event []byte) (user, messageID string) {
	var e struct{ UserID, MessageID string }
	_ = json.Unmarshal(event, &e)
	return e.UserID, e.MessageID
}

// Flush is Segment.
func (o *oracle) Flush(_ context.Context, b *event.Batch) error {
	o.flushing.Lock()
	defer o.flushing.Unlock()
	for _, e := range b.Events {
		u, id := who(e)
		if !o.users[u] {
			o.Errorf("%s was never in the queue", e)
		}
		if other := o.owners[id]; other != "" && other != u {
			o.Errorf("%s is the messageId of two events, Segment would drop one", id)
		}
		o.owners[id] = u
		if o.delivered[u] == nil {
			o.delivered[u] = map[string]bool{}
		}
		o.delivered[u][string(e)] = true
	}
	return nil
}

// ChangeVisibility is that of the events queue, which receives no message twice here.
func (o *oracle) ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error { return nil }

// Send takes dead letters: none must be written.
func (o *oracle) Send(_ context.Context, written []message.Message) error {
	o.Errorf("%d dead letters were written, the first is %+v", len(written), written[0])
	return nil
}

// deliver empties the events queue into the real handler.
func (o *oracle) deliver() {
	h, err := deliver.New(deliver.Config{Segment: o, Queue: o, DeadLetters: o, WriteKey: "default", ConcurrencyLimit: 1})
	if err != nil {
		o.Fatal(err)
	}
	var e events.SQSEvent
	for _, m := range o.live.messages {
		record := events.SQSMessage{MessageId: m.id, Body: m.Body, MessageAttributes: map[string]events.SQSMessageAttribute{},
			Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10),
				"ApproximateReceiveCount": "1"}}
		for name, a := range m.Attributes {
			record.MessageAttributes[name] = events.SQSMessageAttribute{DataType: a.Type, StringValue: aws.String(a.Text)}
		}
		e.Records = append(e.Records, record)
	}
	o.live.messages = nil
	if len(e.Records) == 0 {
		return
	}
	payload, err := json.Marshal(e)
	if err != nil {
		o.Fatal(err)
	}
	response, err := h.Invoke(context.Background(), payload)
	if err != nil || string(response) != `{"batchItemFailures":[]}` {
		o.Errorf("delivery: %s, %v", response, err)
	}
}
