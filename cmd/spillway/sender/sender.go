// Package sender sends a feed of events to a queue as fast as the queue accepts them, and reports
// from which line to continue if it could not send all.
//
// Events go through the publisher in large loads. Lines that were exported from the dead-letter
// queue are messages already and bypass it: each has its own write key.
package sender

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/publisher"
)

const (
	workers = 4
	// loadBytes is how much is published in one call: four full messages.
	loadBytes = 4*event.MaxBatchBytes - event.MaxEventBytes
	// flushIdle is how long a load waits for more events while the feed pauses.
	flushIdle = 200 * time.Millisecond
)

// Config says where and how to send.
type Config struct {
	QueueURL string
	WriteKey string                      // for events without one
	Single   bool                        // one event per message
	Skipped  func(line int, cause error) // called for each line that can't be sent, one call at a time
	Sent     func(events int)            // called when events were sent; must be safe for concurrent use
}

// A Result says what was sent.
type Result struct {
	Events, Messages int64
	Skipped          int64 // lines that can't be sent
	Next             int   // the first line that was not sent: where to continue after an error
}

// A Sender sends to one queue.
type Sender struct {
	Config
	client *publisher.Client
}

// New returns a Sender for one Send.
func New(ctx context.Context, c Config) (*Sender, error) {
	// The publisher logs nothing: what fails is the verb's error.
	config := publisher.Config{QueueURL: c.QueueURL, WriteKey: c.WriteKey, FairQueues: true,
		Logger: slog.New(slog.DiscardHandler)}
	if c.Single {
		config.MessageEvents = 1
	}
	client, err := publisher.New(ctx, config)
	if err != nil {
		return nil, queues.Explain(err, c.QueueURL)
	}
	return &Sender{c, client}, nil
}

// Close releases the connections.
func (s *Sender) Close() { _ = s.client.Close() }

// run sends one feed: a feeder reads the lines, a collector groups them into loads, and workers
// publish the loads.
type run struct {
	*Sender
	lines    chan feed.Line
	stop     context.CancelCauseFunc // with the reason to send no more
	progress progress

	sent         atomic.Int64 // events
	sentMessages atomic.Int64 // of exported lines; the publisher counts its own
	mu           sync.Mutex   // guards skipped, and calls of Skipped
	skipped      int64
}

// Send sends a feed. It returns when everything was sent or, after ctx has ended or SQS has failed,
// when the calls in progress have been answered. The result is right in either case.
func (s *Sender) Send(ctx context.Context, events iter.Seq2[feed.Line, error]) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Sender: s, lines: make(chan feed.Line, 1024), stop: cancel}
	go r.feed(ctx, events) // not waited for, because a read of standard input can't be interrupted
	loads := make(chan []loaded)
	var publishing sync.WaitGroup
	for range workers {
		publishing.Go(func() {
			for load := range loads {
				r.publish(ctx, load)
			}
		})
	}
	r.collect(ctx, loads)
	close(loads)
	publishing.Wait()
	if ctx.Err() != nil {
		r.drain()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return Result{
		Events: r.sent.Load(), Messages: s.client.Stats().Messages + r.sentMessages.Load(),
		Skipped: r.skipped, Next: r.progress.next(),
	}, context.Cause(ctx)
}

// feed passes lines on and closes the channel after the last one.
func (r *run) feed(ctx context.Context, events iter.Seq2[feed.Line, error]) {
	defer close(r.lines)
	for line, err := range events {
		if err != nil {
			var wrong *feed.LineError
			if !errors.As(err, &wrong) {
				r.stop(err)
				return
			}
			r.skip(wrong.Number, wrong.Err)
			r.progress.read(wrong.Number)
			continue
		}
		select {
		case r.lines <- line:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // the collector may have ended
			r.progress.fail(line.Number)
			return
		}
		r.progress.read(line.Number)
	}
}

// skip reports a line that can't be sent.
func (r *run) skip(line int, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped++
	r.Skipped(line, cause)
}

// drain records the lines that were read and not collected as not sent.
func (r *run) drain() {
	for {
		select {
		case line, ok := <-r.lines:
			if ok {
				r.progress.fail(line.Number)
				continue
			}
		default:
		}
		return
	}
}

// loaded is an event in a load.
type loaded struct {
	event publisher.Raw
	line  int
}

// collect puts events together into loads, and sends exported lines itself.
func (r *run) collect(ctx context.Context, loads chan<- []loaded) {
	exported := exported{run: r}
	defer exported.close()
	var load []loaded
	size := 0
	flush := func() {
		if len(load) == 0 {
			return
		}
		select {
		case loads <- load:
		case <-ctx.Done():
			r.progress.fail(load[0].line)
		}
		load, size = nil, 0
	}
	idle := time.NewTimer(flushIdle)
	defer idle.Stop()
	for {
		select {
		case line, ok := <-r.lines:
			switch {
			case !ok:
				flush()
				exported.flush(ctx)
				return
			case line.Exported != nil:
				exported.add(ctx, line)
			default:
				n := len(line.Event.JSON()) + 1
				if size+n > loadBytes {
					flush()
				}
				load = append(load, loaded{line.Event, line.Number})
				size += n
			}
			idle.Reset(flushIdle)
		case <-idle.C:
			flush()
			exported.flush(ctx)
		case <-ctx.Done():
			if len(load) > 0 {
				r.progress.fail(load[0].line)
			}
			return
		}
	}
}

// publish sends a load and counts it. A failure ends the run: the queue is unreachable or full.
func (r *run) publish(ctx context.Context, load []loaded) {
	if ctx.Err() != nil {
		r.progress.fail(load[0].line)
		return
	}
	messages := make([]analytics.Message, len(load))
	for i := range load {
		messages[i] = load[i].event
	}
	// A call that has begun is finished: one that is cut off leaves open whether SQS has the
	// events.
	err := r.client.Publish(context.WithoutCancel(ctx), messages...)
	failed := 0
	if failures, ok := errors.AsType[*publisher.PublishError](err); ok {
		failed = len(failures.Failed)
		for i := range failures.Failed {
			r.progress.fail(load[i].line)
		}
	}
	r.count(len(load) - failed)
	if err != nil {
		r.stop(err)
	}
}

func (r *run) count(events int) {
	r.sent.Add(int64(events))
	r.Sent(events)
}
