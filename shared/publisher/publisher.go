// Package publisher sends the events of a Go program to Spillway, which delivers them to Segment.
// Its [Client] is an analytics.Client of analytics-go v3: a program changes the line that makes its
// client, and no other.
//
// It exists because an API must never wait for its analytics. Enqueue writes the event as JSON,
// copies it into memory that is bounded in bytes, and returns: it does no I/O and waits for
// nothing. In the background events are packed, many to a message, and several senders send them to
// SQS. When a region's queue fails, events go to the next region's. When no queue takes them, they
// go to a bounded log on disk, and are sent from there later. An API that must not lose an event to
// kill -9 or a power cut has each event written to disk first ([Durability]). No event is lost
// silently: each one is in SQS or on disk, or an error, a callback and a count say why it is not.
//
// Package publishertest has a test double for the unit tests of programs that use a Client.
package publisher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A Client accepts events and sends them to SQS. It is safe for concurrent use.
type Client struct {
	// An event is accepted (accept.go, publish.go) into the buffer in memory (buffer.go), packed
	// into a message with others (pack.go), sent to a region (send.go) and settled
	// (settle.go). What the buffer can't hold waits on disk (disk.go) and is replayed (replay.go).

	config   Config
	encoders encoders
	buffer   *buffer
	disk     *disk // nil: none
	sender   *sender
	settler  *settler
	senders  *senders

	life      *lifecycle
	closed    atomic.Bool
	reporting sync.WaitGroup
	ended     chan struct{} // closed when every event is settled
}

var _ analytics.Client = (*Client)(nil)

// A lifecycle says how far the shutdown of a client is.
type lifecycle struct {
	closing   chan struct{}   // closed when nothing more is accepted
	sending   sync.WaitGroup  // goroutines that send from memory
	drained   context.Context // ends when nothing is in memory any more
	drain     context.CancelFunc
	replaying sync.WaitGroup  // goroutines that send from disk
	calls     context.Context // of calls to SQS; ends when Shutdown's time is over
	stopCalls context.CancelFunc
}

func newLifecycle() *lifecycle {
	l := &lifecycle{closing: make(chan struct{})}
	l.calls, l.stopCalls = context.WithCancel(context.Background())
	l.drained, l.drain = context.WithCancel(context.Background())
	return l
}

// New makes a client. The error is a *ConfigError, or says which AWS configuration can't be loaded;
// ctx bounds nothing but New. New asks SQS whether the queues exist, for at most 3 s each. When SQS
// does not answer, New makes the client all the same and logs a warning.
func New(ctx context.Context, config Config) (*Client, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	packing, err := newPacking(&config)
	if err != nil {
		return nil, err
	}
	regions, err := config.regions(ctx)
	if err != nil {
		return nil, err
	}
	c := &Client{senders: packing.senders, config: config, buffer: newBuffer(config.BufferBytes), life: newLifecycle(),
		ended: make(chan struct{})}
	var replay *replayer
	if config.Dir != "" {
		if c.disk, err = openDisk(ctx, &config, packing); err != nil {
			return nil, err
		}
	}
	c.settler = &settler{callback: config.Callback, log: config.Logger, disk: c.disk}
	c.sender = newSender(c, packing, regions)
	if c.disk != nil {
		if replay, err = newReplayer(c.sender, &config); err != nil {
			return nil, errors.Join(err, c.disk.Close())
		}
		if found := c.disk.Stats(); found.Unread > 0 {
			config.Logger.InfoContext(ctx, "sending the events that an earlier process left on disk", "dir", config.Dir, "bytes",
				found.Unread)
		}
		c.life.replaying.Go(replay.run)
	}
	c.life.sending.Go(c.sender.dispatch)
	c.reporting.Go(c.report)
	return c, nil
}

// regions makes the clients of all queues, in the order of preference.
func (c *Config) regions(ctx context.Context) ([]sqsclient.Target, error) {
	var all []sqsclient.Target
	for i, queueURL := range append([]string{c.QueueURL}, c.Fallbacks...) {
		field := "QueueURL"
		if i > 0 {
			field = fmt.Sprintf("Fallbacks[%d]", i-1)
		}
		api, err := c.newAPI(ctx, queueURL)
		if err == nil {
			err = c.check(ctx, api, queueURL)
		}
		if err != nil {
			return nil, &ConfigError{Field: field, Err: err}
		}
		all = append(all, sqsclient.Target{URL: queueURL, Sender: sqsclient.NewSender(api, queueURL)})
	}
	return all, nil
}

// Close is Shutdown with Config.CloseTimeout.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.config.CloseTimeout)
	defer cancel()
	return c.Shutdown(ctx)
}

// Shutdown accepts no more events and sends those that wait. When it returns nil, every accepted
// event is in SQS or on disk, except those that the callback was told before. When ctx ends first,
// Shutdown cancels the calls to SQS and returns a *ShutdownError with the number of events that are
// neither in SQS nor on disk; the callback is told each of them. A second call returns ErrClosed at
// once. No goroutine of the client outlives Shutdown.
func (c *Client) Shutdown(ctx context.Context) error {
	if c.closed.Swap(true) {
		return ErrClosed
	}
	c.buffer.close()
	close(c.life.closing)
	stop := context.AfterFunc(ctx, c.life.stopCalls)
	c.life.sending.Wait()
	c.life.drain()
	c.life.replaying.Wait()
	stop()
	c.life.stopCalls()
	close(c.ended)
	c.reporting.Wait()
	var err error
	if c.disk != nil {
		err = c.disk.Close()
	}
	if n := c.settler.lost.Load(); n > 0 {
		err = errors.Join(&ShutdownError{Events: int(n), Err: context.Cause(ctx)}, err)
	}
	return err
}
