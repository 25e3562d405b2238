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
	// patience is how long whoever waits for the acknowledgement waits for the queue: then the
	// messages are written to disk. SQS answers within tens of milliseconds, that of another
	// continent within 200.
	patience = 250 * time.Millisecond
	// maxLate is how many calls may be under way that took longer. With more, messages are written
	// to disk without a call.
	maxLate = 64
	// fullFor is how long messages are refused after the log took none, before it is tried again.
	fullFor = time.Second
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
	ended context.Context // by Close
	end   context.CancelFunc

	spilling atomic.Bool  // messages are or were on disk since the log was last empty
	fullAt   atomic.Int64 // when the log last took no message, as Unix nanoseconds; 0: it takes them
	late     atomic.Int64 // calls that are under way and took longer than patience
	pace     pace
	flow     flow
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
	b := &Outbox{queue: o.Queue, log: log, dir: o.Dir, out: o.Logger, flow: newFlow()}
	b.ended, b.end = context.WithCancel(context.WithoutCancel(ctx))
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

// Send returns nil when each message is in the queue or on disk. It returns after about 250 ms and
// the time that the disk takes, or if the disk takes no message, within ctx's deadline. Otherwise
// the error is a *sqsclient.SendError with those that are neither: there is no room on disk, or SQS
// would refuse them again.
//
// A call to the queue that takes longer goes on until ctx's deadline, and when it succeeds, what is
// on disk is not sent again. From then on messages go to disk without a call of their own, until
// one from there has succeeded quickly.
func (b *Outbox) Send(ctx context.Context, messages []message.Message) error {
	slow := b.pace.slow()
	if (isClosed(slow) || b.late.Load() >= maxLate) && !b.full(time.Now()) && b.writeAll(messages, nil) {
		return nil
	}
	if isClosed(slow) {
		slow = nil // the disk takes nothing: wait for the queue
	}
	c, letGo := b.call(ctx, messages)
	defer letGo()
	if !c.endsBefore(slow) {
		b.pace.slowDown()
		if b.writeAll(messages, c) {
			b.late.Add(1)
			context.AfterFunc(c.ended, func() { b.late.Add(-1) })
			return nil
		}
		<-c.ended.Done()
	}
	return b.settle(messages, c.failed)
}

// settle writes the messages to disk that the queue did not take.
func (b *Outbox) settle(messages []message.Message, failed map[int]error) error {
	var indexes []int
	var records [][]byte
	for i := range messages {
		if err, bad := failed[i]; bad && !permanent(err) {
			indexes = append(indexes, i)
			records = append(records, appendRecord(nil, &messages[i]))
		}
	}
	if len(indexes) == len(messages) {
		b.pace.slowDown()
	}
	if err := b.write(records, nil); err != nil {
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

// writeAll puts messages on disk and reports whether they are. c is the call that sends them; nil:
// none does.
func (b *Outbox) writeAll(messages []message.Message, c *call) bool {
	records := make([][]byte, len(messages))
	var tags []any
	for i := range messages {
		if messages[i].Size() > message.MaxBytes {
			return false // the queue refuses it, which its sender is told
		}
		records[i] = appendRecord(nil, &messages[i])
		if c != nil {
			tags = append(tags, sent{c, i})
		}
	}
	return b.write(records, tags) == nil
}

var errPanic = errors.New("the call to the queue panicked")

// permanent reports whether SQS would refuse a message again.
func permanent(err error) bool {
	var refused *sqsclient.RefusedError
	return errors.Is(err, sqsclient.ErrTooLarge) || errors.As(err, &refused) && refused.SenderFault
}

// write puts records on disk, all or none, with tags as AppendTagged takes them.
func (b *Outbox) write(records [][]byte, tags []any) error {
	if len(records) == 0 {
		return nil
	}
	if err := b.log.AppendTagged(tags, records...); err != nil {
		if b.fullAt.Swap(time.Now().UnixNano()) == 0 {
			b.out.Error("messages that the queue does not take can't be written to disk; they are not accepted until it takes "+
				"them again: make room, or raise the limit for the directory", "dir", b.dir, "error", err)
		}
		return err
	}
	b.fullAt.Store(0)
	b.counts.spilled.Add(int64(len(records)))
	if b.spilling.CompareAndSwap(false, true) {
		b.out.Warn("the queue takes no messages in time; they are written to disk and sent when it takes them again",
			"dir", b.dir)
	}
	return nil
}

// Stats returns the current numbers, also after Close.
func (b *Outbox) Stats() Stats {
	s := b.log.Stats()
	return Stats{Spilled: b.counts.spilled.Load(), Replayed: b.counts.replayed.Load(), Dropped: b.counts.dropped.Load(),
		Bytes: s.Bytes, Unsent: !s.Oldest.IsZero(), Oldest: s.Oldest, Full: b.full(time.Now())}
}

// Close unlocks the directory. Run must have returned. Messages that are not in the queue are for
// the next process.
func (b *Outbox) Close() error {
	b.end()
	return b.log.Close()
}
