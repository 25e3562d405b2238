package canary

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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

// chain is what a canary passes: the ingest endpoint, a queue in memory, and the deliver function.
type chain struct {
	t               *testing.T
	ingest          *ingest.Handler
	deliverFunction *deliver.Handler
	tracker         *Tracker

	mu          sync.Mutex
	waiting     []message.Message
	queueDown   bool
	segmentDown bool
	received    int         // events that Segment has
	sent, came  []time.Time // the schedule's minutes of accepted and of delivered canaries
	n           int
}

func (c *chain) Send(_ context.Context, messages []message.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queueDown {
		return errors.New("the queue is down")
	}
	c.waiting = append(c.waiting, messages...)
	return nil
}

func (c *chain) ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error { return nil }

func (c *chain) Flush(_ context.Context, b *event.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.segmentDown {
		return &segment.Error{Class: segment.Transient, Status: 503, Err: errors.New("503")}
	}
	c.received += len(b.Events)
	return nil
}

func (c *chain) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.ingest.ServeHTTP(w, r)
	return w.Result(), nil
}

func newChain(t *testing.T, writeKey string) (*chain, *Canary) {
	t.Helper()
	c := &chain{t: t, tracker: NewTracker()}
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
	queue := sqsclient.NewFailover(slog.New(slog.DiscardHandler), nil, sqsclient.Target{URL: "queue", Sender: c})
	if c.ingest, err = ingest.New(ingest.Config{Queue: queue, DeadLetters: c, Keys: set}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.ingest.Close() })
	if c.deliverFunction, err = deliver.New(deliver.Config{
		Segment: c, Queue: c, DeadLetters: c, CanaryWriteKey: writeKey, CanaryEndsHere: EndsBeforeSegment(writeKey),
		Report: func(_ context.Context, s deliver.Report) {
			c.tracker.RecordDelivered(s.CanaryAges)
			c.came = append(c.came, s.CanaryTimes...)
		},
	}); err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{URL: "http://ingest", WriteKey: writeKey, Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	return c, k
}

// deliver invokes the function with everything that waits, and puts back what is to be retried.
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
	answer, err := c.deliverFunction.Invoke(c.t.Context(), payload)
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

// minutes runs the schedule: each minute a canary is sent, and a second later the function is
// invoked, unless it is dead.
func (c *chain) minutes(k *Canary, n int, dead bool) (accepted int) {
	for range n {
		r := k.Send(c.t.Context(), time.Now().Truncate(Interval))
		c.tracker.RecordSent(r)
		if r.Err == nil {
			accepted++
			c.sent = append(c.sent, r.Minute)
		}
		time.Sleep(time.Second)
		if !dead {
			c.deliver()
		}
		time.Sleep(Interval - time.Second)
	}
	return accepted
}

func TestWhenACanaryIsMissing(t *testing.T) {
	for _, c := range []struct {
		name     string
		key      string
		damage   func(*chain)
		dead     bool
		accepted int // of five
		missing  bool
		received bool // by Segment, before it broke
	}{
		{name: "nothing", key: WriteKey, damage: func(*chain) {}, accepted: 5},
		{name: "Segment is down", key: WriteKey, damage: func(c *chain) { c.segmentDown = true },
			accepted: 5},
		{name: "Segment is down, and the canary has a source", key: "own", damage: func(c *chain) { c.segmentDown = true },
			accepted: 5,
			missing:  true, received: true},
		{name: "a dead function", key: WriteKey, damage: func(*chain) {}, dead: true, accepted: 5, missing: true},
		{name: "the queue is down", key: WriteKey, damage: func(c *chain) { c.queueDown = true }, missing: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, canary := newChain(t, c.key)
				if n := chain.minutes(canary, 2, false); n != 2 {
					t.Errorf("%d of 2 were accepted when all was well", n)
				}
				if h := chain.tracker.Status(); h.Missing || h.Latency != time.Second || h.Pending != 0 {
					t.Errorf("when all is well: %+v", h)
				}
				if received := chain.received > 0; received != c.received {
					t.Errorf("Segment has %d canaries", chain.received)
				}
				c.damage(chain)
				if n := chain.minutes(canary, 5, c.dead); n != c.accepted {
					t.Errorf("%d of 5 were accepted, want %d", n, c.accepted)
				}
				if h := chain.tracker.Status(); h.Missing != c.missing {
					t.Errorf("missing: %v", h.Missing)
				}
				chain.mu.Lock()
				chain.segmentDown, chain.queueDown = false, false
				chain.mu.Unlock()
				chain.minutes(canary, 4, false) // the breakers close again within that
				if h := chain.tracker.Status(); h.Missing || h.Pending != 0 {
					t.Errorf("when all is well again: %+v", h)
				}
			})
		})
	}
}

// The alarm compares both by the minute. Ingest converts timestamps to its own clock, and an outage
// of the delivery makes canaries late: neither may move one to another minute.
func TestACanaryIsAcceptedAndDeliveredInTheSameMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, canary := newChain(t, WriteKey)
		chain.minutes(canary, 3, false)
		chain.minutes(canary, 5, true)
		chain.minutes(canary, 3, false)
		if len(chain.sent) != 11 || !slices.EqualFunc(chain.sent, chain.came, time.Time.Equal) {
			t.Errorf("accepted in %v, delivered in %v", chain.sent, chain.came)
		}
	})
}

func TestAnUnknownCanaryWriteKeyIsTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, canary := newChain(t, "unknown")
		if n := chain.minutes(canary, 4, false); n != 0 {
			t.Errorf("%d were accepted", n)
		}
		if h := chain.tracker.Status(); !h.Missing || h.Failure == nil ||
			h.Failure.Error() != "the ingest endpoint refused the canary (400 invalid_write_key): give both the same "+
				"canary write key" {
			t.Errorf("%+v", h)
		}
	})
}
