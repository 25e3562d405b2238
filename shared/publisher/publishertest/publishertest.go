// Package publishertest has a test double for the unit tests of programs that use package
// publisher. It checks and encodes messages as a publisher.Client does, and records them in memory.
//
// A program under test takes an analytics.Client, or an interface that also has Publish. Its tests
// hand it a [Client] and look at what it enqueued:
//
//	events := publishertest.New()
//	api := newAPI(events)
//	// … call the api …
//	for _, track := range publishertest.Messages[analytics.Track](events) { … }
package publishertest

import (
	"context"
	"slices"
	"sync"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
)

// An Event is one event that a [Client] accepted.
type Event struct {
	// Message is the event as analytics.Track or another type of analytics-go, with MessageId and
	// Timestamp set, or publisher.Raw if it fits none. It is decoded from JSON: it does not change
	// with the maps that were enqueued, numbers in maps are float64, and a Context has no Extra.
	Message analytics.Message
	// JSON is the event as it would be sent.
	JSON []byte
	// Published: it was accepted by Publish, not by Enqueue.
	Published bool
}

// A Client records events instead of sending them. It is safe for concurrent use.
type Client struct {
	mu     sync.Mutex
	events []Event
	fail   func(analytics.Message) error
	closed bool
}

var _ analytics.Client = (*Client)(nil)

// New returns a Client that accepts all valid events.
func New() *Client { return &Client{} }

// Enqueue records a message. It returns the error of publisher.Client's Enqueue for an invalid one,
// the error that Fail or FailFunc asks for, or publisher.ErrClosed.
func (c *Client) Enqueue(message analytics.Message) error { return c.accept(message, false) }

// Publish records messages. Its errors are those of publisher.Client's Publish: a
// *publisher.PublishError names the messages that were not recorded, and why.
func (c *Client) Publish(ctx context.Context, messages ...analytics.Message) error {
	failed := map[int]error{}
	for i, m := range messages {
		err := ctx.Err()
		if err != nil {
			err = &publisher.SendError{Err: err}
		} else {
			err = c.accept(m, true)
		}
		if err != nil {
			failed[i] = err
		}
	}
	if len(failed) > 0 {
		return &publisher.PublishError{Failed: failed}
	}
	return nil
}

func (c *Client) accept(message analytics.Message, published bool) error {
	raw, err := publisher.Encode(message)
	if err != nil {
		return err
	}
	event := Event{Message: raw.Message(), JSON: raw.JSON(), Published: published}
	c.mu.Lock()
	fail := c.fail
	c.mu.Unlock()
	if fail != nil { // without the lock: it may use the Client
		err = fail(event.Message)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return publisher.ErrClosed
	case err != nil:
		return err
	}
	c.events = append(c.events, event)
	return nil
}

// Close makes all further calls return publisher.ErrClosed.
func (c *Client) Close() error { return c.Shutdown(context.Background()) }

// Shutdown is Close.
func (c *Client) Shutdown(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return publisher.ErrClosed
	}
	c.closed = true
	return nil
}

// Fail makes Enqueue and Publish fail with err, such as publisher.ErrFull, until Fail(nil).
func (c *Client) Fail(err error) {
	c.FailFunc(func(analytics.Message) error { return err })
}

// FailFunc makes Enqueue and Publish fail with the error that f returns for a message. A nil error
// lets the message pass, a nil f all messages.
func (c *Client) FailFunc(f func(analytics.Message) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = f
}

// Events returns the recorded events in the order in which they were accepted.
func (c *Client) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// Messages returns the recorded messages of one type, in the order in which they were accepted.
func Messages[T analytics.Message](c *Client) []T {
	var messages []T
	for _, event := range c.Events() {
		if m, ok := event.Message.(T); ok {
			messages = append(messages, m)
		}
	}
	return messages
}

// Reset forgets the recorded events.
func (c *Client) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = nil
}

// Closed reports whether Close or Shutdown was called.
func (c *Client) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
