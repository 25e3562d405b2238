package contents

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

const (
	// step is how many messages are in memory at a time, of up to 1 MiB each.
	step = 32
	// patience is how long a page waits for the index to be current.
	patience = 25 * time.Millisecond
	// idle is after what time without a page the index is given up, with its memory.
	idle = 10 * time.Minute
)

// LocalConfig configures a Local. All fields but Segment are required.
type LocalConfig struct {
	Dead, Events, Bulk *sqs.Queue       // of the SQS emulator
	Segment            *segmentd.Server // nil: there is no Segment emulator
	Archive            Archive
	Actions
}

// Local is the dead letters and the waiting events of the SQS emulator. It receives nothing to show
// them. It is safe for concurrent use.
type Local struct {
	LocalConfig
	index *index

	mu      sync.Mutex
	running bool
	closed  bool
	waiters []chan struct{} // of pages that wait for the index to be current
	left    int64           // messages that are not in the index yet
	late    bool            // a page was made before the index was current
	ask     chan struct{}   // wakes fill
	end     chan struct{}   // closed by Close
	filling sync.WaitGroup
}

// NewLocal returns what the queues hold. Close ends it.
func NewLocal(c LocalConfig) *Local {
	return &Local{LocalConfig: c, index: newIndex(), ask: make(chan struct{}, 1), end: make(chan struct{})}
}

// Close ends the following of the queue. A second call does nothing.
func (l *Local) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.end)
	}
	l.mu.Unlock()
	l.filling.Wait()
}

// Reading implements console.DeadLetters.
func (l *Local) Reading() console.Reading {
	l.mu.Lock()
	running := l.left > 0 || l.late
	l.mu.Unlock()
	n := l.index.size()
	if !running {
		return console.Reading{Read: n, Of: n}
	}
	st := l.Dead.Stats()
	return console.Reading{Running: true, Read: n, Of: max(n, int(st.Visible+st.InFlight+st.Delayed))}
}

// Read implements console.DeadLetters: what is read is always current.
func (*Local) Read() {}

// StopReading implements console.DeadLetters.
func (*Local) StopReading() {}

// current waits until the index has all changes of the queue, at most for a while: it is shown as
// far as it is.
func (l *Local) current(ctx context.Context, patience time.Duration) {
	done := make(chan struct{})
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.waiters = append(l.waiters, done)
	if !l.running {
		l.running = true
		l.filling.Go(l.fill)
	}
	l.mu.Unlock()
	select {
	case l.ask <- struct{}{}:
	default: // it is awake
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		l.isLate(done)
	case <-ctx.Done():
	}
}

// isLate notes that a page does not wait any longer, unless the index has just become current.
func (l *Local) isLate(done chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-done:
	default:
		l.late = true
	}
}

// fill keeps the index while pages ask for it.
func (l *Local) fill() {
	f := l.Dead.Follow()
	defer f.Close()
	r, err := deadletter.NewReader()
	if err != nil {
		return // zstd can't be set up: the same holds for every command
	}
	defer r.Close()
	for {
		l.mu.Lock()
		waiting := l.waiters
		l.waiters = nil
		l.mu.Unlock()
		for l.catchUp(f, r) {
			select {
			case <-l.end:
				return
			default:
			}
		}
		l.mu.Lock()
		l.late = false
		for _, w := range waiting {
			close(w)
		}
		l.mu.Unlock()
		if !l.wanted() {
			return
		}
	}
}

// wanted waits for the next page. It returns false if there was none for long; then the index is
// empty.
func (l *Local) wanted() bool {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-l.ask:
		return true
	case <-timer.C:
	case <-l.end:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters) > 0 && !l.closed {
		return true
	}
	l.running = false
	l.index.reset()
	return false
}

// catchUp brings some changes of the queue into the index and reports whether there are more. While
// it reads what was there before, it works half of the time, so that delivery has the rest.
func (l *Local) catchUp(f *sqs.Follower, r *deadletter.Reader) (more bool) {
	began := time.Now()
	c := f.Next(8 * step)
	if c.Restart {
		l.index.reset()
	}
	// The newest first; those that are read together in the order in which they are on disk.
	slices.SortFunc(c.Added, func(a, b sqs.Ref) int { return cmp.Compare(a.Seq, b.Seq) })
	for rest := c.Added; len(rest) > 0; {
		from := max(0, len(rest)-step)
		l.add(rest[from:], r)
		rest = rest[:from]
	}
	l.index.remove(c.Removed)
	left := max(0, c.Left-int64(l.index.size()))
	if c.Left > 0 {
		left = max(left, 1)
	}
	l.mu.Lock()
	l.left = left
	l.mu.Unlock()
	if c.Left > 0 {
		pause(time.Since(began), l.end)
	}
	return c.Left > 0
}

func pause(d time.Duration, end <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-end:
	}
}

func (l *Local) add(refs []sqs.Ref, r *deadletter.Reader) {
	for _, m := range l.Dead.Look(refs) {
		switch received := asReceived(&m); {
		case received != nil:
			l.index.put(recordOf(m.Ref.Seq, m.Ref.Sent, received, r))
		case m.Err != nil:
			l.index.isBroken(m.Ref.Seq)
		}
	}
}

// List implements console.DeadLetters.
func (l *Local) List(ctx context.Context, q console.DeadLetterQuery) (console.DeadLetterList, error) {
	f, err := q.Filter(l.KeyName)
	if err != nil {
		return console.DeadLetterList{}, err
	}
	l.current(ctx, patience)
	found := l.index.search(f, time.Now(), q.Before, q.Limit, l.KeyName)
	found.list.Rows, err = l.rows(found.rows)
	return found.list, err
}

// rows reads the rows of a page from the queue. One that has gone meanwhile is left out.
func (l *Local) rows(records []*record) ([]console.DeadLetter, error) {
	r, err := deadletter.NewReader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var rows []console.DeadLetter
	for some := range slices.Chunk(records, step) {
		for _, m := range l.look(some) {
			if received := asReceived(&m); received != nil {
				e, _, _ := r.Entry(received, l.KeyName)
				rows = append(rows, console.DeadLetter{Entry: e, Place: m.Ref.Seq, InUse: m.InFlight})
			}
		}
	}
	return rows, nil
}

func (l *Local) look(records []*record) []sqs.Seen {
	refs := make([]sqs.Ref, len(records))
	for i, r := range records {
		refs[i] = sqs.Ref{Sent: r.ref, Seq: r.place}
	}
	return l.Dead.Look(refs)
}

// get returns the newest dead letter with an ID, and the queue's message. It waits until the whole
// queue is in the index if the part that is has none.
func (l *Local) get(ctx context.Context, id string) (*deadletter.Received, *sqs.Seen) {
	l.current(ctx, patience)
	for range 2 {
		for _, m := range l.look(l.index.byID(id, step)) {
			if received := asReceived(&m); received != nil && (received.ID == id || received.MessageID == id) {
				return received, &m
			}
		}
		if !l.Reading().Running {
			break
		}
		l.current(ctx, time.Second)
	}
	return nil, nil
}

// Show implements console.DeadLetters.
func (l *Local) Show(ctx context.Context, id string) (*console.DeadLetter, error) {
	received, m := l.get(ctx, id)
	if received == nil {
		return nil, nil
	}
	r, err := deadletter.NewReader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e, _, _ := r.Entry(received, l.KeyName)
	return &console.DeadLetter{Entry: e, Place: m.Ref.Seq, InUse: m.InFlight}, nil
}

// Payload implements console.DeadLetters.
func (l *Local) Payload(ctx context.Context, id string) (*dlq.Description, error) {
	received, _ := l.get(ctx, id)
	if received == nil {
		return nil, nil
	}
	return dlq.Describe(received, l.KeyName)
}

// Export implements console.DeadLetters. It receives nothing, and writes what came first at the
// beginning.
func (l *Local) Export(ctx context.Context, f deadletter.Filter,
	write func(lines []byte) error) (deadletter.ExportResult, error) {
	refs := allOf(l.Dead)
	return deadletter.Copy(ctx, func(yield func([]*deadletter.Received) bool) {
		for some := range slices.Chunk(refs, step) {
			var received []*deadletter.Received
			for _, m := range l.Dead.Look(some) {
				if d := asReceived(&m); d != nil {
					received = append(received, d)
				}
			}
			if !yield(received) {
				return
			}
		}
	}, f, time.Now(), write)
}

// allOf returns the messages of a queue in the order in which they came.
func allOf(q *sqs.Queue) []sqs.Ref {
	f := q.Follow()
	defer f.Close()
	var refs []sqs.Ref
	for {
		c := f.Next(10_000)
		if c.Restart {
			refs = nil
		}
		refs = append(refs, c.Added...)
		if c.Left == 0 {
			break
		}
	}
	slices.SortFunc(refs, func(a, b sqs.Ref) int { return cmp.Compare(a.Seq, b.Seq) })
	return slices.Compact(refs)
}

var _ console.DeadLetters = (*Local)(nil)
