package canary

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// chain is the door, a queue in memory, and the delivery: what a canary passes.
type chain struct {
	t     *testing.T
	door  *ingest.Handler
	run   *deliver.Handler
	watch *Tracker

	mu       sync.Mutex
	waiting  []message.Message
	away     bool // the queue
	down     bool // Segment
	received int  // events that Segment has
	n        int
}

func (c *chain) Send(_ context.Context, messages []message.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return errors.New("the queue is away")
	}
	c.waiting = append(c.waiting, messages...)
	return nil
}

func (c *chain) ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error { return nil }

func (c *chain) Flush(_ context.Context, b *event.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return &segment.Error{Class: segment.Transient, Status: 503, Err: errors.New("503")}
	}
	c.received += len(b.Events)
	return nil
}

func (c *chain) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.door.ServeHTTP(w, r)
	return w.Result(), nil
}

func newChain(t *testing.T, writeKey string) (*chain, *Canary) {
	t.Helper()
	c := &chain{t: t, watch: NewTracker()}
	keys, err := ingest.NewKeys(map[string]ingest.Key{"web": {Name: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := ingest.WithKey(keys, WriteKey, ingest.Key{Name: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	if writeKey != WriteKey && writeKey != "unknown" {
		if set, err = ingest.WithKey(keys, writeKey, ingest.Key{Name: "canary"}); err != nil {
			t.Fatal(err)
		}
	}
	if c.door, err = ingest.New(ingest.Config{Queue: c, DeadLetters: c, Keys: set}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.door.Close() })
	if c.run, err = deliver.New(deliver.Config{
		Segment: c, Queue: c, DeadLetters: c, CanaryWriteKey: writeKey, CanaryEndsHere: EndsBeforeSegment(writeKey),
		Report: func(s deliver.Report) { c.watch.RecordDelivered(s.CanaryAges) },
	}); err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{URL: "http://door", WriteKey: writeKey, Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	return c, k
}

// deliver hands everything that waits to the function, and puts back what stays.
func (c *chain) deliver() {
	c.t.Helper()
	c.mu.Lock()
	messages := c.waiting
	c.waiting = nil
	type record struct {
		MessageID     string `json:"messageId"`
		ReceiptHandle string `json:"receiptHandle"`
		Body          string `json:"body"`
	}
	var event struct{ Records []record }
	byID := map[string]message.Message{}
	for _, m := range messages {
		c.n++
		id := "m" + strconv.Itoa(c.n)
		byID[id] = m
		event.Records = append(event.Records, record{id, "r", m.Body})
	}
	c.mu.Unlock()
	payload, err := json.Marshal(event)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(messages) == 0 {
		return
	}
	answer, err := c.run.Invoke(c.t.Context(), payload)
	if err != nil {
		c.t.Fatal(err)
	}
	var report struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(answer, &report); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range report.BatchItemFailures {
		c.waiting = append(c.waiting, byID[f.ItemIdentifier])
	}
}

// minutes is what a schedule does: each minute a canary, and what waits is delivered a second
// later, unless the function is dead.
func (c *chain) minutes(k *Canary, n int, dead bool) (accepted int) {
	for range n {
		r := k.Send(c.t.Context())
		c.watch.RecordSent(r)
		if r.Err == nil {
			accepted++
		}
		time.Sleep(time.Second)
		if !dead {
			c.deliver()
		}
		time.Sleep(Interval - time.Second)
	}
	return accepted
}

func TestWhatSilencesACanary(t *testing.T) {
	for _, c := range []struct {
		name     string
		key      string
		break_   func(*chain)
		dead     bool
		accepted int // of five
		silent   bool
		received bool // by Segment, before it broke
	}{
		{name: "nothing", key: WriteKey, break_: func(*chain) {}, accepted: 5},
		{name: "Segment being down is none of its business", key: WriteKey, break_: func(c *chain) { c.down = true },
			accepted: 5},
		{name: "but of one with a source of its own", key: "own", break_: func(c *chain) { c.down = true }, accepted: 5,
			silent: true, received: true},
		{name: "a dead function", key: WriteKey, break_: func(*chain) {}, dead: true, accepted: 5, silent: true},
		{name: "a queue that is away", key: WriteKey, break_: func(c *chain) { c.away = true }, silent: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, canary := newChain(t, c.key)
				if n := chain.minutes(canary, 2, false); n != 2 {
					t.Errorf("%d of 2 were accepted when all was well", n)
				}
				if h := chain.watch.Status(); h.Missing || h.Latency != time.Second || h.UnderWay != 0 {
					t.Errorf("when all is well: %+v", h)
				}
				if received := chain.received > 0; received != c.received {
					t.Errorf("Segment has %d canaries", chain.received)
				}
				c.break_(chain)
				if n := chain.minutes(canary, 5, c.dead); n != c.accepted {
					t.Errorf("%d of 5 were accepted, want %d", n, c.accepted)
				}
				if h := chain.watch.Status(); h.Missing != c.silent {
					t.Errorf("silent: %v", h.Missing)
				}
				chain.mu.Lock()
				chain.down, chain.away = false, false
				chain.mu.Unlock()
				chain.minutes(canary, 4, false) // the breakers close again within that
				if h := chain.watch.Status(); h.Missing || h.UnderWay != 0 {
					t.Errorf("when all is well again: %+v", h)
				}
			})
		})
	}
}

func TestADoorThatDoesNotKnowTheKeySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, canary := newChain(t, "unknown")
		if n := chain.minutes(canary, 4, false); n != 0 {
			t.Errorf("%d were accepted", n)
		}
		if h := chain.watch.Status(); !h.Missing || h.Failure == nil ||
			h.Failure.Error() != "the door refused the canary (400 invalid_write_key): give it the same write key as "+
				"the canary" {
			t.Errorf("%+v", h)
		}
	})
}
