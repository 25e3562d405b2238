// Package outbox is a queue's place on disk for the messages that the queue does not take: it
// writes them to a bounded log, and sends them when the queue takes messages again.
//
// With it a server can acknowledge what it got while its queue is away: a message is in the queue,
// or in the log, which survives kill -9 and a power cut. A message whose call got no answer may be
// sent twice, with the same events, which Segment recognises by their messageIds.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A Queue is what an Outbox is for; *sqsclient.Failover is one. The error of Send is nil or a
// *sqsclient.SendError. Refusing reports whether Send would fail at once.
type Queue interface {
	Send(context.Context, []message.Message) error
	Refusing(now time.Time) bool
}

// Options configure an Outbox. All but MaxBytes are required.
type Options struct {
	Dir      string // of the log; for one process at a time
	MaxBytes int64  // of the files in Dir; default: spill.DefaultMaxBytes
	Queue    Queue
	Logger   *slog.Logger // gets no message
}

const (
	// queueTime is how long the queue may take for messages before they are written to disk: SQS
	// answers within tens of milliseconds, and whoever waits for the acknowledgement waits so long.
	queueTime = 2 * time.Second
	// fullFor is how long messages are refused after the log took none, before it is tried again.
	fullFor = time.Second
	// replayCalls is how many calls at a time send what is on disk: with calls of 20 ms some 2,000
	// messages a second.
	replayCalls = 4
	// refusedRounds is how many times SQS may refuse a message for the message's own fault before
	// it is dropped.
	refusedRounds = 3
)

// An Outbox is safe for concurrent use.
type Outbox struct {
	queue Queue
	log   *spill.Log
	dir   string
	out   *slog.Logger

	spilling atomic.Bool  // messages are or were on disk since the log was last empty
	fullAt   atomic.Int64 // when the log last took no message, as Unix nanoseconds; 0: it takes them
	counts   counts
}

type counts struct{ spilled, replayed, dropped atomic.Int64 }

// Stats are what an Outbox has done since Open, and what it holds now.
type Stats struct {
	Spilled  int64 // messages written to disk
	Replayed int64 // messages from disk that the queue has
	Dropped  int64 // messages from disk that SQS refused for their own fault, and records that can't be read

	Bytes  int64     // of the files on disk
	Unsent bool      // there are messages that the queue does not have
	Oldest time.Time // when the oldest of them was written, or earlier; zero: there is none
	Full   bool      // the log took no message a moment ago: the disk or the log is full, or the disk fails
}

// Open opens the directory with the messages that an earlier process left, and locks it. ctx is for
// spill.WithFS only.
func Open(ctx context.Context, o Options) (*Outbox, error) {
	log, err := spill.Open(spill.Options{Dir: o.Dir, MaxBytes: o.MaxBytes, Sync: true, Logger: o.Logger,
		FS: spill.FSFrom(ctx)})
	if err != nil {
		return nil, err
	}
	b := &Outbox{queue: o.Queue, log: log, dir: o.Dir, out: o.Logger}
	if left := log.Stats().Unread; left > 0 {
		b.spilling.Store(true)
		o.Logger.InfoContext(ctx, "sending the messages that an earlier process left on disk", "dir", o.Dir, "bytes", left)
	}
	return b, nil
}

// Refusing reports whether Send would fail at once.
func (b *Outbox) Refusing(now time.Time) bool { return b.queue.Refusing(now) && b.full(now) }

func (b *Outbox) full(now time.Time) bool {
	at := b.fullAt.Load()
	return at != 0 && now.Sub(time.Unix(0, at)) < fullFor
}

// Send returns nil when each message is in the queue or on disk. It returns within ctx's deadline,
// and the time that the disk takes. Otherwise the error is a *sqsclient.SendError with those that
// are neither: there is no room on disk, or SQS would refuse them again.
func (b *Outbox) Send(ctx context.Context, messages []message.Message) error {
	limit := queueTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	calling, cancel := context.WithTimeout(ctx, limit)
	failed := sqsclient.Failures(b.queue.Send(calling, messages), len(messages))
	cancel()
	if len(failed) == 0 {
		return nil
	}
	var indexes []int
	var records [][]byte
	for i := range messages {
		if err, bad := failed[i]; bad && !permanent(err) {
			indexes = append(indexes, i)
			records = append(records, appendRecord(nil, &messages[i]))
		}
	}
	if err := b.write(records); err != nil {
		for _, i := range indexes {
			failed[i] = fmt.Errorf("%w; and it can't be written to disk: %w", failed[i], err)
		}
	} else {
		for _, i := range indexes {
			delete(failed, i)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &sqsclient.SendError{URL: "the queue or " + b.dir, Failed: failed}
}

// permanent reports whether SQS would refuse a message again.
func permanent(err error) bool {
	var refused *sqsclient.RefusedError
	return errors.Is(err, sqsclient.ErrTooLarge) || errors.As(err, &refused) && refused.SenderFault
}

// write puts records on disk, all or none.
func (b *Outbox) write(records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	if err := b.log.Append(records...); err != nil {
		if b.fullAt.Swap(time.Now().UnixNano()) == 0 {
			b.out.Error("messages that the queue does not take can't be written to disk; they are not accepted until it takes "+
				"them again: make room, or raise the limit for the directory", "dir", b.dir, "error", err)
		}
		return err
	}
	b.fullAt.Store(0)
	b.counts.spilled.Add(int64(len(records)))
	if b.spilling.CompareAndSwap(false, true) {
		b.out.Warn("the queue takes no messages; they are written to disk and sent when it takes them again", "dir", b.dir)
	}
	return nil
}

// Run sends the messages on disk until ctx ends, in few calls at a time, so that fresh ones come
// first. What is left remains on disk. Only one Run may be called at a time.
func (b *Outbox) Run(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, replayCalls)
	for {
		slots <- struct{}{} // each ends soon after ctx
		records := make([]spill.Record, sqsclient.MaxEntries)
		n, err := b.log.Read(ctx, records)
		if err != nil {
			return // the end, or the log is closed
		}
		calls.Go(func() {
			defer func() { <-slots }()
			b.replay(ctx, records[:n])
			if b.log.Stats().Oldest.IsZero() && b.spilling.CompareAndSwap(true, false) {
				b.out.InfoContext(ctx, "the queue has all messages that were on disk", "dir", b.dir)
			}
		})
	}
}

// replay sends records until the queue has each, or ctx ends.
func (b *Outbox) replay(ctx context.Context, records []spill.Record) {
	var messages []message.Message
	var waiting []spill.Record
	var refused []int // rounds in which SQS refused it for its own fault
	for _, r := range records {
		m, err := parseRecord(r.Data)
		if err != nil {
			b.drop(r, err)
			continue
		}
		messages, waiting, refused = append(messages, m), append(waiting, r), append(refused, 0)
	}
	for round := 1; len(messages) > 0; round++ {
		calling, cancel := context.WithTimeout(ctx, sqsclient.CallTimeout)
		failed := sqsclient.Failures(b.queue.Send(calling, messages), len(messages))
		cancel()
		left := 0
		for i := range messages {
			err, bad := failed[i]
			if bad && permanent(err) {
				refused[i]++
			}
			switch {
			case !bad:
				b.counts.replayed.Add(1)
				b.log.Done(waiting[i])
			case refused[i] >= refusedRounds:
				b.drop(waiting[i], err)
			default:
				messages[left], waiting[left], refused[left] = messages[i], waiting[i], refused[i]
				left++
			}
		}
		messages, waiting, refused = messages[:left], waiting[:left], refused[:left]
		if left > 0 && !sqsclient.Backoff(ctx, round) {
			return
		}
	}
}

func (b *Outbox) drop(r spill.Record, err error) {
	b.counts.dropped.Add(1)
	b.out.Error("a message on disk is dropped, because it can't be sent", "dir", b.dir, "written", r.Appended.UTC(),
		"error", err)
	b.log.Done(r)
}

// Stats returns the current numbers, also after Close.
func (b *Outbox) Stats() Stats {
	s := b.log.Stats()
	return Stats{Spilled: b.counts.spilled.Load(), Replayed: b.counts.replayed.Load(), Dropped: b.counts.dropped.Load(),
		Bytes: s.Bytes, Unsent: !s.Oldest.IsZero(), Oldest: s.Oldest, Full: b.full(time.Now())}
}

// Close unlocks the directory. Run must have returned. Messages that are not in the queue are for
// the next process.
func (b *Outbox) Close() error { return b.log.Close() }
