package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// A ledger has the events that were issued, and what callers and callbacks were told of each.
type ledger struct {
	mu       sync.Mutex
	issued   []string
	accepted map[string]bool // Enqueue or Publish returned nil
	refused  map[string]bool // an error said that SQS does not have it, and will not
	unknown  map[string]bool // an error said that SQS may have it
	succeeds map[string]int
	failures map[string]error
}

func newLedger() *ledger {
	return &ledger{accepted: map[string]bool{}, refused: map[string]bool{}, unknown: map[string]bool{},
		succeeds: map[string]int{}, failures: map[string]error{}}
}

// idOf returns a message's id. Events from disk are Tracks too.
func idOf(m analytics.Message) string { return m.(analytics.Track).MessageId }

func (l *ledger) Success(m analytics.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.succeeds[idOf(m)]++
}

func (l *ledger) Failure(m analytics.Message, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[idOf(m)] = err
}

// note records how a call with the event ended.
func (l *ledger) note(id string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issued = append(l.issued, id)
	var send *SendError
	switch {
	case err == nil:
		l.accepted[id] = true
	case errors.As(err, &send) && send.Unknown:
		l.unknown[id] = true
	default:
		l.refused[id] = true
	}
}

// check compares the ledger with what the queues got: no event is lost, and none is where it was
// said not to be.
func (l *ledger) check(t *testing.T, got map[string]int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.issued {
		there := got[id] > 0
		failure := l.failures[id]
		var send *SendError
		switch {
		case l.accepted[id] && !there && failure == nil:
			t.Errorf("%s was accepted and is not in SQS, and the callback was not told", id)
		case l.refused[id] && there:
			t.Errorf("%s was refused, and is in SQS", id)
		case l.succeeds[id] > 0 && !there:
			t.Errorf("the callback was told that %s is in SQS, and it is not", id)
		case failure != nil && there && (!errors.As(failure, &send) || !send.Unknown):
			t.Errorf("the callback was told that %s is lost (%v), and it is in SQS", id, failure)
		case l.accepted[id] && there && failure == nil && l.succeeds[id] == 0:
			t.Errorf("%s is in SQS, and the callback was not told", id)
		}
	}
	for id := range got {
		if !l.accepted[id] && !l.unknown[id] && !l.refused[id] {
			t.Errorf("%s is in SQS and was never issued", id)
		}
	}
}

// randomAnswers makes the answers of a region: without failures or with one kind of them for some
// seconds, and then another.
func randomAnswers(r *rand.Rand) func() answer {
	var until time.Time
	var kind int
	if r.IntN(3) == 0 { // down from the start, for longer than a small disk lasts
		until = time.Now().Add(20 * time.Second)
	}
	spell := float64(time.Second) * []float64{1, 4, 30}[r.IntN(3)] // how long one kind lasts
	return func() answer {                                         // called under the fake's lock
		if now := time.Now(); !now.Before(until) {
			kind = r.IntN(11)
			until = now.Add(time.Duration(r.ExpFloat64() * spell))
		}
		m := answer{latency: time.Duration(r.IntN(50)) * time.Millisecond}
		switch kind {
		case 0, 1:
			m.err = errRefused
		case 2:
			m.latency = time.Hour
		case 3:
			m.err = errThrottled
		case 4:
			m.latency = time.Duration(r.IntN(12_000)) * time.Millisecond
		case 5:
			m.lose = true
		case 6:
			m.err = errReset
		case 7:
			m.refuse = map[int]*refusal{r.IntN(3): {}}
		case 8:
			if r.IntN(4) == 0 {
				m.refuse = map[int]*refusal{r.IntN(3): {senderFault: true}}
			}
		}
		return m
	}
}

// TestNoEventIsLostWhateverSQSDoes sends events through random failures, closes the client at a
// random moment with a random deadline, starts another one on the same directory without failures,
// and compares.
func TestNoEventIsLostWhateverSQSDoes(t *testing.T) {
	t.Parallel()
	for seed := range 4 * *thorough {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { schedule(t, uint64(seed)) })
		})
		if !ok {
			return
		}
	}
}

func schedule(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	queues := make([]*fakeQueue, 1+r.IntN(3))
	for i := range queues {
		queues[i] = &fakeQueue{answer: randomAnswers(rand.New(rand.NewPCG(seed, uint64(100+i))))}
	}
	book := newLedger()
	config := Config{Callback: book, BufferBytes: minBufferBytes, Senders: 1 + r.IntN(4),
		Interval: time.Duration(1+r.IntN(400)) * time.Millisecond, DiskBytes: minDiskBytes,
		MessageEvents: []int{0, 3, 50}[r.IntN(3)]}
	if r.IntN(4) > 0 {
		config.Dir = t.TempDir()
		config.Durability = Durability(max(0, r.IntN(4)-1))
	}
	c := newClient(t, config, queues...)
	var issuing sync.WaitGroup
	size := []int{10, 500, 8000, 30_000, 30_000}[r.IntN(5)]
	for g := range 1 + r.IntN(4) {
		r := rand.New(rand.NewPCG(seed, uint64(200+g)))
		issuing.Go(func() {
			for i := range 150 {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(100*time.Millisecond)))
				m := testEvent(fmt.Sprintf("%d-%d", g, i))
				m.Properties = analytics.Properties{"x": noise(size)}
				switch r.IntN(30) {
				case 0:
					m.Properties["x"] = math.NaN()
				case 1:
					m.Properties["x"] = noise(33 << 10)
				case 2:
					m.Event = ""
				}
				if r.IntN(8) > 0 {
					book.note(m.MessageId, c.Enqueue(m))
					continue
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(20_000))*time.Millisecond)
				err := c.Publish(ctx, m)
				cancel()
				if all, ok := errors.AsType[*PublishError](err); ok {
					err = all.Failed[0]
				}
				book.note(m.MessageId, err)
			}
		})
	}
	time.Sleep(time.Duration(r.IntN(25_000)) * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(40_000))*time.Millisecond)
	defer cancel()
	err := c.Shutdown(ctx)
	var lost *ShutdownError
	if err != nil && !errors.As(err, &lost) {
		t.Errorf("shutdown: %v", err)
	}
	if s := c.Stats(); s.Waiting != 0 || s.WaitingBytes != 0 {
		t.Errorf("after shutdown: %+v", s)
	}
	issuing.Wait() // ErrClosed from now on
	for _, q := range queues {
		q.set(nil)
	}
	if config.Dir != "" {
		config.Logger = slog.New(slog.DiscardHandler)
		c = newClient(t, config, queues...)
		mustClose(t, c)
		if s := c.Stats(); s.DiskBytes > 0 {
			t.Errorf("%d bytes are left on disk after a Close without failures", s.DiskBytes)
		}
	}
	got := map[string]int{}
	for _, q := range queues {
		q.check(t)
		for id, n := range q.got {
			got[id] += n
		}
	}
	book.check(t, got)
}
