// Package publisher is the library with which a Go API gives its events to Spillway. It is an
// analytics.Client of analytics-go v3, so that an API changes the line that makes its client, and
// no other.
//
// It exists because an API must never wait for its analytics. Enqueue writes the event as JSON,
// copies it into memory that is bounded in bytes, and returns: it does no I/O and waits for
// nothing. Behind it, events are packed, many to a message, and sent to SQS by several senders at
// the same time; when a region's queue fails they go to the next region's, and when none takes them
// to a bounded log on disk, from which they come back. An API that must not lose an event to kill
// -9 or a power cut has them written there first (Durability). No event is lost silently: each one
// is in SQS or on disk, or an error, a callback and a count say why not.
package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A Client takes events and sends them to SQS. It may be used by several goroutines at the same
// time.
type Client struct {
	config     Config
	log        *slog.Logger
	header     message.Header // of events of analytics-go's types
	bare       message.Header // of Raw ones
	compressor *message.Compressor
	routes     []*route
	encoders   sync.Pool    // of *encoder
	encoded    atomic.Int64 // encoders made
	packers    sync.Pool    // of *message.Packer
	buffer     *buffer
	takeBytes  int64          // what a sender takes at once: all senders together hold half of the buffer
	disk       *disk          // nil: none
	records    []spill.Record // for the one goroutine that reads the disk
	slots      chan struct{}  // senders under way
	counts     counts
	lost       atomic.Int64 // events that Shutdown gave up

	ctx       context.Context // of calls; ends when Shutdown's time is over
	cancel    context.CancelFunc
	closed    atomic.Bool
	closing   chan struct{}   // closed when nothing more is accepted
	running   sync.WaitGroup  // what sends from memory
	drained   context.Context // ends when nothing is in memory any more
	drain     context.CancelFunc
	replaying sync.WaitGroup // what sends from the disk
	ended     chan struct{}  // closed when everything is settled
	reporting sync.WaitGroup // what writes metrics and says what was dropped
}

var _ analytics.Client = (*Client)(nil)

// takeMost is how much one sender takes at once: what one call to SQS holds when events compress as
// usual, 1 MiB of eight batches.
const takeMost = 4 << 20

// New makes a client. The error is a *ConfigError, or says which AWS configuration can't be loaded;
// ctx bounds nothing but New. It asks SQS for at most some seconds whether the queue exists; when
// SQS is away the client is made all the same, and the log says so.
func New(ctx context.Context, config Config) (*Client, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	c := &Client{
		config: config, log: config.Logger, compressor: compressor, buffer: newBuffer(config.BufferBytes),
		takeBytes: min(takeMost, config.BufferBytes/(2*int64(config.Senders))), slots: make(chan struct{}, config.Senders),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	c.encoders.New = c.newEncoder
	if c.header, err = newHeader(&config); err != nil {
		return nil, err
	}
	c.bare = message.Header{WriteKey: config.WriteKey}
	for i, queueURL := range append([]string{config.QueueURL}, config.Fallbacks...) {
		field := "QueueURL"
		if i > 0 {
			field = fmt.Sprintf("Fallbacks[%d]", i-1)
		}
		api, err := config.newAPI(ctx, queueURL)
		if err == nil {
			err = config.check(ctx, api, queueURL)
		}
		if err != nil {
			return nil, &ConfigError{Field: field, Err: err}
		}
		c.routes = append(c.routes, &route{
			queue: sqsclient.NewSender(api, queueURL), url: queueURL, breaker: sqsclient.NewBreaker(),
		})
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.drained, c.drain = context.WithCancel(context.Background())
	if config.Dir != "" {
		if err := c.openDisk(); err != nil {
			return nil, err
		}
	}
	c.running.Go(c.dispatch)
	c.reporting.Go(c.report)
	return c, nil
}

// openDisk takes up what an earlier process left.
func (c *Client) openDisk() (err error) {
	if c.disk, err = openDisk(&c.config, c.header, c.bare); err != nil {
		return err
	}
	s, err := c.newSorter()
	if err != nil {
		_ = c.disk.Close()
		return err
	}
	if found := c.disk.Stats(); found.Unread > 0 {
		c.log.Info("events of an earlier process are on disk and are sent now", "dir", c.config.Dir, "bytes", found.Unread)
	}
	c.records = make([]spill.Record, readRecords)
	c.replaying.Go(func() { c.replay(s) })
	return nil
}

// newEncoder spreads the encoders over the parts of the buffer. An encoder stays with a processor
// most of the time, and so does a part.
func (c *Client) newEncoder() any { return &encoder{shard: int(c.encoded.Add(1) - 1)} }

// newHeader is what all events have in common. The context is analytics-go's, for what reads
// library.name behind Segment.
func newHeader(config *Config) (message.Header, error) {
	var shared analytics.Context
	if config.DefaultContext != nil {
		shared = *config.DefaultContext
	}
	shared.Library = analytics.LibraryInfo{Name: "analytics-go", Version: analytics.Version}
	var e encoder
	if err := e.context(&shared); err != nil {
		return message.Header{}, &ConfigError{Field: "DefaultContext",
			Err: fmt.Errorf("it can't be written as JSON: %w", err)}
	}
	h := message.Header{WriteKey: config.WriteKey, Context: e.buf}
	if h.Room() == 0 || len(h.Context) > event.MaxEventBytes {
		return h, &ConfigError{Field: "DefaultContext",
			Err: fmt.Errorf("it has %d bytes, and leaves no room for an event in Segment's batch", len(e.buf))}
	}
	return h, nil
}

// Enqueue accepts a message and returns at once. It checks it as analytics-go does, with the same
// errors; besides, it returns an *EventError for an event that can't be sent at all (analytics-go
// tells that to the callback only), ErrFull, and ErrClosed. The message may be changed when Enqueue
// has returned.
func (c *Client) Enqueue(message analytics.Message) error {
	e := c.encoders.Get().(*encoder)
	defer c.encoders.Put(e)
	p, err := e.encode(message, time.Now().UTC().Truncate(time.Millisecond), c.config.Callback != nil)
	if err != nil {
		return c.refuse(err)
	}
	switch {
	case c.config.Durability == Memory:
		err = c.buffer.add(e.shard, e.buf, p)
	case c.closed.Load(): // the disk is open until all of it is sent, which would never be if more came
		err = ErrClosed
	default:
		err = c.disk.write(e, p.bare)
	}
	if err == nil || err == ErrClosed {
		return err
	}
	reason := Full
	if err != ErrFull {
		reason = DiskFailed
	}
	c.counts.drop(reason, 1)
	if p.message != nil {
		c.failed(p.message, err)
	}
	return err
}

// refuse counts an event that could not be encoded, and returns why.
func (c *Client) refuse(err error) error {
	reason := Invalid
	var event *EventError
	if errors.As(err, &event) {
		reason = event.Reason
	}
	c.counts.drop(reason, 1)
	return err
}

// Close is Shutdown with Config.CloseTimeout.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.config.CloseTimeout)
	defer cancel()
	return c.Shutdown(ctx)
}

// Shutdown accepts nothing more and sends what waits. When it returns nil, every event that was
// accepted is in SQS or on disk, but for those that a callback named before. When ctx ends first,
// calls are given up, and the error is a *ShutdownError that counts the events that are neither;
// each of them is told to the callback. A second call returns ErrClosed at once. No goroutine is
// left behind.
func (c *Client) Shutdown(ctx context.Context) error {
	if c.closed.Swap(true) {
		return ErrClosed
	}
	c.buffer.close()
	close(c.closing)
	stop := context.AfterFunc(ctx, c.cancel)
	c.running.Wait()
	c.drain()
	c.replaying.Wait()
	stop()
	c.cancel()
	close(c.ended)
	c.reporting.Wait()
	var err error
	if c.disk != nil {
		err = c.disk.Close()
	}
	if n := c.lost.Load(); n > 0 {
		err = errors.Join(&ShutdownError{Events: int(n), Err: context.Cause(ctx)}, err)
	}
	return err
}
