package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// How many calls at a time send what is on disk.
const (
	// callEvery: as many that one begins in this time, 2,000 messages a second, however long each
	// takes. So a queue that is slow for hours gets what comes meanwhile.
	callEvery = 5 * time.Millisecond
	// minCalls is enough for calls of 20 ms, and maxCalls is what a queue gets that hangs.
	minCalls, maxCalls = 4, 16
	// maxReplayBytes bounds the messages of these calls, if there is more than one.
	maxReplayBytes = 16 << 20
)

// A flow bounds the calls that send what is on disk. It is safe for concurrent use.
type flow struct {
	mu           *sync.Mutex
	changed      *sync.Cond
	calls, bytes int
	limit        int // of calls
}

func newFlow() flow {
	mu := new(sync.Mutex)
	return flow{mu: mu, changed: sync.NewCond(mu), limit: minCalls}
}

// enter waits until there is room for a call with messages of so many bytes.
func (f *flow) enter(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.calls >= f.limit || f.calls > 0 && f.bytes+bytes > maxReplayBytes {
		f.changed.Wait()
	}
	f.calls++
	f.bytes += bytes
}

func (f *flow) leave(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls--
	f.bytes -= bytes
	f.changed.Signal()
}

// report is told how long a call took, and whether the queue took a message.
func (f *flow) report(took time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = minCalls
	if ok {
		f.limit = min(max(int(took/callEvery), minCalls), maxCalls)
	}
	f.changed.Signal()
}

// Run sends the messages on disk until ctx ends, in few calls at a time, so that fresh ones come
// first. What is left remains on disk. Only one Run may be called at a time.
func (b *Outbox) Run(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		records := make([]spill.Record, sqsclient.MaxEntries)
		n, err := b.log.Read(ctx, records)
		if err != nil {
			return // the end, or the log is closed
		}
		var ready, underWay []spill.Record
		for _, r := range records[:n] {
			if s, ok := r.Tag.(sent); ok && s.call.ended.Err() == nil {
				underWay = append(underWay, r)
			} else {
				ready = append(ready, r)
			}
		}
		b.resend(ctx, &calls, ready)
		if len(underWay) > 0 { // no more than there are calls
			calls.Go(func() {
				if awaitCalls(ctx, underWay) {
					b.resend(ctx, &calls, underWay)
				}
			})
		}
	}
}

// awaitCalls waits for the calls that send the records' messages; false: ctx has ended before.
func awaitCalls(ctx context.Context, records []spill.Record) bool {
	for _, r := range records {
		select {
		case <-r.Tag.(sent).call.ended.Done():
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// resend begins a call with the records whose own call has ended without success, when there is
// room for one.
func (b *Outbox) resend(ctx context.Context, calls *sync.WaitGroup, records []spill.Record) {
	bytes := 0
	var failed []spill.Record
	for _, r := range records {
		if s, ok := r.Tag.(sent); ok {
			if _, bad := s.call.failed[s.index]; !bad {
				b.counts.replayed.Add(1)
				b.log.Done(r)
				continue
			}
		}
		bytes += len(r.Data)
		failed = append(failed, r)
	}
	if len(failed) == 0 {
		b.sayEmpty(ctx)
		return
	}
	b.flow.enter(bytes) // each ends soon after ctx
	calls.Go(func() {
		defer b.flow.leave(bytes)
		b.replay(ctx, failed)
		b.sayEmpty(ctx)
	})
}

// sayEmpty logs when nothing is on disk any more.
func (b *Outbox) sayEmpty(ctx context.Context) {
	if b.log.Stats().Oldest.IsZero() && b.spilling.CompareAndSwap(true, false) {
		b.out.InfoContext(ctx, "the queue has all messages that were on disk", "dir", b.dir)
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
		began := time.Now()
		calling, cancel := context.WithTimeout(ctx, sqsclient.CallTimeout)
		failed := sqsclient.Failures(b.queue.Send(calling, messages), len(messages))
		cancel()
		took, ok := time.Since(began), len(failed) < len(messages)
		b.flow.report(took, ok)
		if ok && took < patience {
			b.pace.speedUp()
		}
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
