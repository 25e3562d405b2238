package contents

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// maxReading bounds one reading of a queue: 120,000 dead letters take some two minutes.
const maxReading = 15 * time.Minute

// Deployed is the dead letters of a queue on AWS. They are read when somebody asks for it, by
// receiving all of them once; what was read is kept for all viewers until it is read again. It is
// safe for concurrent use.
type Deployed struct {
	Actions

	ctx     context.Context // of readings
	cancel  context.CancelCauseFunc
	reading sync.WaitGroup

	mu    sync.Mutex
	index *index // of the last whole reading; nil: there was none
	state console.Reading
	stop  context.CancelCauseFunc // of the reading under way
}

// NewDeployed returns what a dead-letter queue on AWS holds. Nothing is read before Read is called.
func NewDeployed(a Actions) *Deployed {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Deployed{Actions: a, ctx: ctx, cancel: cancel, state: console.Reading{OnRequest: true}}
}

var errStopped = errors.New("the reading was stopped")

// Close ends a reading under way, and returns when the dead letters that it has received are
// visible again.
func (d *Deployed) Close() {
	d.cancel(errStopped)
	d.reading.Wait()
}

// Reading implements console.DeadLetters.
func (d *Deployed) Reading() console.Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// Read implements console.DeadLetters.
func (d *Deployed) Read() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Running || d.ctx.Err() != nil {
		return
	}
	d.state.Running, d.state.Read, d.state.Of, d.state.Err = true, 0, 0, nil
	ctx, stop := context.WithCancelCause(d.ctx)
	d.stop = stop
	d.reading.Go(func() {
		defer stop(nil)
		ctx, cancel := context.WithTimeoutCause(ctx, maxReading, fmt.Errorf("it took longer than %v", maxReading))
		defer cancel()
		d.read(ctx)
	})
}

// StopReading implements console.DeadLetters.
func (d *Deployed) StopReading() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop(errStopped)
	}
}

func (d *Deployed) read(ctx context.Context) {
	began := time.Now()
	x := newIndex()
	q := d.queue()
	visible, _, err := q.Size(ctx)
	d.mu.Lock()
	d.state.Of = visible
	d.mu.Unlock()
	if err == nil {
		_, err = q.Each(ctx, func(received []*deadletter.Received) error { return d.add(x, received) })
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Running, d.state.Err = false, err
	if err == nil {
		d.index, d.state.At = x, began
	}
}

// add puts what one receive has returned into an index.
func (d *Deployed) add(x *index, received []*deadletter.Received) error {
	r, err := deadletter.NewReader()
	if err != nil {
		return err
	}
	defer r.Close()
	for _, l := range received {
		rec, key := recordOf(placeOf(l), l.Sent.UnixMilli(), l, r)
		e, _, _ := r.Entry(l, d.KeyName)
		rec.entry = &e
		x.putBeside(rec, key)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Read = x.size()
	d.state.Of = max(d.state.Of, d.state.Read)
	return nil
}

// placeOf orders by when a dead letter was sent to its queue, then by anything: SQS returns them in
// no order. Two may have the same place. It is the same in every reading of a process.
func placeOf(l *deadletter.Received) uint64 {
	const bits = 20
	return uint64(l.Sent.UnixMilli())<<bits | mark(markID, []byte(l.MessageID))&(1<<bits-1)
}

// last returns the index of the last reading.
func (d *Deployed) last() (*index, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.index == nil {
		return nil, console.ErrNotRead
	}
	return d.index, nil
}

// List implements console.DeadLetters.
func (d *Deployed) List(_ context.Context, q console.DeadLetterQuery) (console.DeadLetterList, error) {
	f, err := q.Filter(d.KeyName)
	if err != nil {
		return console.DeadLetterList{}, err
	}
	x, err := d.last()
	if err != nil {
		return console.DeadLetterList{}, err
	}
	found := x.search(f, time.Now(), q.Before, q.Limit, d.KeyName)
	for _, r := range found.rows {
		found.list.Rows = append(found.list.Rows, console.DeadLetter{Entry: *r.entry, Place: r.place})
	}
	return found.list, nil
}

// Show implements console.DeadLetters.
func (d *Deployed) Show(_ context.Context, id string) (*console.DeadLetter, error) {
	x, err := d.last()
	if err != nil {
		return nil, err
	}
	for _, r := range x.byID(id, 1) {
		return &console.DeadLetter{Entry: *r.entry, Place: r.place}, nil
	}
	return nil, nil
}

// Payload implements console.DeadLetters.
func (d *Deployed) Payload(ctx context.Context, id string) (*dlq.Description, error) {
	found, err := d.queue().Find(ctx, id)
	if err != nil || found == nil {
		return nil, err
	}
	return dlq.Describe(found, d.KeyName)
}

// Export implements console.DeadLetters. It receives all dead letters.
func (d *Deployed) Export(ctx context.Context, f deadletter.Filter,
	write func(lines []byte) error) (deadletter.ExportResult, error) {
	return d.queue().Export(ctx, f, write)
}

var _ console.DeadLetters = (*Deployed)(nil)
