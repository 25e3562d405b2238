// Package flush sends events with analytics-go, Segment's client for Go, in the ways that designs
// without Spillway do: with a client for some events that is closed, and with one client that fills
// batches. Each returns only when Segment has answered, for a job or a message is done then.
package flush

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// Decode reads an event as a job or a message carries it: analytics-go takes structs, not JSON.
func Decode(event []byte) (analytics.Track, error) {
	var track analytics.Track
	if err := json.Unmarshal(event, &track); err != nil {
		return track, fmt.Errorf("decode an event of %d bytes: %w", len(event), err)
	}
	return track, nil
}

// AndClose sends events with a client of their own, closes it, and returns when Segment has answered.
// It returns an error if an event was not delivered, which Close does not say: only a callback does.
// It is safe for concurrent use.
func AndClose(segmentURL string, tracks ...analytics.Track) error {
	var first firstFailure
	client, err := newClient(segmentURL, analytics.Config{Callback: &first})
	if err != nil {
		return err
	}
	for _, track := range tracks {
		if err := client.Enqueue(track); err != nil {
			_ = client.Close()
			return fmt.Errorf("enqueue event %s: %w", track.MessageId, err)
		}
	}
	if err := client.Close(); err != nil {
		return fmt.Errorf("close the client: %w", err)
	}
	return first.err
}

// newClient discards what the client logs: with Segment away that is a line for each event, which
// would be measured too.
func newClient(segmentURL string, c analytics.Config) (analytics.Client, error) {
	c.Endpoint, c.Logger = segmentURL, analytics.StdLogger(log.New(io.Discard, "", 0))
	client, err := analytics.NewWithConfig(peer.WriteKey, c)
	if err != nil {
		return nil, fmt.Errorf("make an analytics-go client: %w", err)
	}
	return client, nil
}

// firstFailure is a callback. It is safe for concurrent use.
type firstFailure struct {
	mu  sync.Mutex
	err error // to be read when the client is closed
}

// Success implements analytics.Callback.
func (*firstFailure) Success(analytics.Message) {}

// Failure implements analytics.Callback.
func (f *firstFailure) Failure(_ analytics.Message, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = notDelivered(err)
	}
}

func notDelivered(err error) error { return fmt.Errorf("send to Segment: %w", err) }

// What the design that failed set for its client: a batch is flushed when it is full or the interval
// has passed.
const (
	BatchEvents = 20
	Interval    = 10 * time.Second
)

// A Buffered sends events through one client that fills batches, and waits for each event's outcome.
// It is safe for concurrent use.
type Buffered struct {
	client  analytics.Client
	mu      sync.Mutex
	waiting map[string][]chan<- error // by messageId
}

// NewBuffered returns a Buffered to be closed.
func NewBuffered(segmentURL string) (*Buffered, error) {
	return newBuffered(segmentURL, nil)
}

// newBuffered uses a transport instead of http.DefaultTransport, unless it is nil.
func newBuffered(segmentURL string, transport http.RoundTripper) (b *Buffered, err error) {
	b = &Buffered{waiting: map[string][]chan<- error{}}
	b.client, err = newClient(segmentURL, analytics.Config{
		BatchSize: BatchEvents, Interval: Interval, Callback: b, Transport: transport,
	})
	return b, err
}

// Send returns when the event's batch is flushed and answered.
func (b *Buffered) Send(track analytics.Track) error {
	outcome := make(chan error, 1)
	b.mu.Lock()
	b.waiting[track.MessageId] = append(b.waiting[track.MessageId], outcome)
	b.mu.Unlock()
	if err := b.client.Enqueue(track); err != nil {
		b.finish(track, fmt.Errorf("enqueue event %s: %w", track.MessageId, err))
	}
	return <-outcome
}

// Success implements analytics.Callback.
func (b *Buffered) Success(m analytics.Message) { b.finish(m, nil) }

// Failure implements analytics.Callback.
func (b *Buffered) Failure(m analytics.Message, err error) { b.finish(m, notDelivered(err)) }

// finish tells those who wait for the event what became of it.
func (b *Buffered) finish(m analytics.Message, err error) {
	id := m.(analytics.Track).MessageId // Send enqueues nothing else
	b.mu.Lock()
	waiting := b.waiting[id]
	delete(b.waiting, id)
	b.mu.Unlock()
	for _, outcome := range waiting {
		outcome <- err
	}
}

// Close flushes what is left. A Send fails from then on.
func (b *Buffered) Close() error { return b.client.Close() }
