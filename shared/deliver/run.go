package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/queue"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
)

// run is one invocation. take, flushAll and finish are called one after the other by one goroutine; what flushing batches share
// with it is guarded by mu.
type run struct {
	h       *Handler
	ctx     context.Context // ends with the time for calling Segment
	packer  packer
	slots   chan struct{}
	flushes sync.WaitGroup

	began time.Time

	mu      sync.Mutex
	letters []*message // done but for their letters
	stays   []stay
	summary Summary
}

// stay is what is left of a message that stays in the queue. Its events are let go of at once: when Segment is away, all messages
// of an invocation are such.
type stay struct {
	messageID, receipt, writeKey string
	receives, events             int
	why                          *segment.Error
}

// errNoTime is why events stay that the invocation did not get to.
var errNoTime = &segment.Error{Class: segment.Transient, Err: errors.New("the invocation's time was used up")}

func (h *Handler) newRun(ctx context.Context) (*run, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline))))
	}
	return &run{h: h, ctx: ctx, slots: make(chan struct{}, h.Flushes), began: time.Now(), summary: newSummary()}, cancel
}

// take reads a record and packs its events. It waits while as many batches as may be are under way, which is what bounds memory.
func (r *run) take(rec *record) {
	m, _ := r.h.messages.Get().(*message)
	if m == nil {
		m = new(message)
	}
	d, err := r.h.decoder()
	if err != nil { // can't happen with constant options, and would be no fault of the message's
		*m = message{record: *rec, waits: &segment.Error{Class: segment.Transient, Err: err}}
	} else {
		m.read(rec, d, r.h.WriteKey, &r.packer)
		r.h.decoders.Put(d)
	}
	r.summary.took(m, time.Now())

	h := &m.content.Header
	room := r.packer.roomFor(h)
	m.parts = 1 // until all of its parts are packed
	split(m, room, func(pt part, size int) {
		r.mu.Lock()
		m.parts++
		r.mu.Unlock()
		for _, b := range r.packer.add(h, pt, size, room) {
			r.start(b)
		}
	})
	r.mu.Lock()
	r.partDone(m)
	r.mu.Unlock()
}

// partDone is called, under mu, when the fates of one more part are known. Of a message that has arrived whole, or that stays,
// nothing more is needed: its buffers serve the next.
func (r *run) partDone(m *message) {
	m.parts--
	if m.parts > 0 {
		return
	}
	switch {
	case r.expired(m):
		m.expire()
		m.waits = nil
		r.letters = append(r.letters, m)
		return
	case m.waits != nil:
		r.keep(m)
	case len(m.letters) > 0:
		r.letters = append(r.letters, m)
		return
	default:
		r.summary.Delivered += m.count()
	}
	m.body, m.text, m.receipt = nil, nil, nil
	r.h.messages.Put(m)
}

// expired: it was tried, failed, and has been tried for long enough. What was only out of time is not.
func (r *run) expired(m *message) bool {
	return m.waits != nil && m.waits != errNoTime && !m.sent.IsZero() && r.began.Sub(m.sent) > MaxAge
}

// keep lets a message stay in the queue.
func (r *run) keep(m *message) {
	r.stays = append(r.stays, stay{
		messageID: m.messageID, receipt: text(m.receipt), writeKey: m.content.WriteKey, receives: m.receives, events: m.count(), why: m.waits,
	})
}

// start flushes a batch in the background as soon as a slot is free.
func (r *run) start(b *batch) {
	select {
	case r.slots <- struct{}{}:
	case <-r.ctx.Done():
		r.settle(b, 0, len(b.Events), errNoTime)
		r.done(b)
		return
	}
	r.flushes.Go(func() {
		defer func() { <-r.slots }()
		defer r.done(b)
		r.flush(b)
	})
}

func (r *run) done(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pt := range b.parts {
		r.partDone(pt.m)
	}
}

// flushAll sends what is still open and waits for all answers.
func (r *run) flushAll() {
	for _, b := range r.packer.rest() {
		r.start(b)
	}
	r.flushes.Wait()
}

// abandon waits for what is under way; its outcome is not reported.
func (r *run) abandon() { r.flushes.Wait() }

// flush sends a batch and settles every event of it.
func (r *run) flush(b *batch) {
	if err, left := r.h.keys.paused(b.WriteKey, time.Now()); err != nil {
		waiting := *err
		waiting.RetryAfter = left
		r.settle(b, 0, len(b.Events), &waiting)
		return
	}
	err := r.send(b, 0, len(b.Events))
	switch {
	case err == nil:
		r.settle(b, 0, len(b.Events), nil)
	case err.Class.Outcome().Split && len(b.Events) > 1:
		err = r.halve(b, err)
	default:
		r.settle(b, 0, len(b.Events), err)
	}
	if err == nil {
		r.h.keys.resume(b.WriteKey)
	} else if err.Class.Outcome().PausesWriteKey {
		r.h.keys.pause(b.WriteKey, err, time.Now())
	}
}

// span is a run of a batch's events.
type span struct{ from, to int }

// halves are those of s, the first one last: spans wait on a stack.
func (s span) halves() []span {
	middle := (s.from + s.to) / 2
	return []span{{middle, s.to}, {s.from, middle}}
}

// halve finds the events that Segment refuses by sending halves of what it refused, and settles all of them. More than
// MaxCulprits are not the events' fault: then they stay, and the error says so.
func (r *run) halve(b *batch, refused *segment.Error) *segment.Error {
	var culprits []int
	verdicts := map[int]*segment.Error{}
	todo := span{0, len(b.Events)}.halves()
	var stop *segment.Error
	for len(todo) > 0 && stop == nil {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		err := r.send(b, s.from, s.to)
		switch {
		case err == nil:
			r.settle(b, s.from, s.to, nil)
		case !err.Class.Outcome().Split:
			stop = err
			todo = append(todo, s)
		case s.to-s.from > 1:
			todo = append(todo, s.halves()...)
		case len(culprits) == MaxCulprits:
			stop = &segment.Error{Class: segment.Misconfigured, Status: err.Status, Detail: err.Detail,
				Err: errors.New("more events of one batch refused than can be the events' fault")}
			todo = append(todo, s)
			for _, i := range culprits {
				todo = append(todo, span{i, i + 1})
			}
			culprits = nil
		default:
			culprits = append(culprits, s.from)
			verdicts[s.from] = err
		}
	}
	for _, i := range culprits {
		r.settle(b, i, i+1, verdicts[i])
	}
	for _, s := range todo {
		r.settle(b, s.from, s.to, stop)
	}
	return stop
}

// settle notes the fate of the events from..to of a batch: nil is delivered.
func (r *run) settle(b *batch, from, to int, err *segment.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := 0 // index in b.Events of the part's first event
	for _, pt := range b.parts {
		n := pt.to - pt.from
		for i := max(from, first); i < min(to, first+n); i++ {
			at := pt.from + i - first
			switch {
			case err == nil:
				pt.m.delivered[at] = true
			case err.Class.Outcome().Fate == segment.DeadLetter:
				pt.m.delivered[at] = true // no more to be delivered
				pt.m.reject(at, err)
			case pt.m.waits != errNoTime: // of what was not tried nobody can say that its time is over
				pt.m.waits = err
			}
		}
		first += n
	}
}

// send flushes events from..to of a batch, more than once while Segment can't be reached and time allows.
func (r *run) send(b *batch, from, to int) *segment.Error {
	piece := b.Batch
	piece.Events = b.Events[from:to]
	for try := 1; ; try++ {
		if r.ctx.Err() != nil {
			return errNoTime
		}
		start := time.Now()
		err := r.attempt(&piece)
		r.mu.Lock()
		r.summary.flushed(len(piece.Events), time.Since(start), err)
		r.mu.Unlock()
		if err == nil || !err.Class.Outcome().Again || try == Tries || !r.rest(try) || r.ctx.Err() != nil {
			return err
		}
	}
}

// attempt makes one call. A panic in it is a failed attempt, and not the end of the process and of the other batches.
func (r *run) attempt(piece *segment.Batch) (failure *segment.Error) {
	defer func() {
		if p := recover(); p != nil {
			failure = &segment.Error{Class: segment.Transient, Err: errors.New("the attempt panicked")}
			r.h.Logger.Error("attempt panicked", "panic", harmless(p), "stack", string(debug.Stack()))
		}
	}()
	err := r.h.Segment.Flush(r.ctx, piece)
	if err == nil {
		return nil
	}
	if errors.As(err, &failure) {
		return failure
	}
	return &segment.Error{Class: segment.Transient, Err: err}
}

// harmless says what a panic was about. A text that anybody but the runtime made may quote an event: then it is only the type.
func harmless(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("%T", p)
}

// rest waits before another try: 200 ms, then twice as long, a random half of it. False when there is no time for that.
func (r *run) rest(try int) bool {
	delay := 100 * time.Millisecond << try
	t := time.NewTimer(delay/2 + rand.N(delay/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// finish writes the dead letters of messages that are otherwise done, hides those that stay, and answers with the report.
func (r *run) finish(ctx context.Context) []byte {
	r.writeLetters(ctx, time.Now())
	for _, m := range r.letters {
		if m.waits != nil {
			r.keep(m)
			continue
		}
		letters := 0
		for i := range m.letters {
			r.summary.DeadLettered[m.letters[i].reason] += m.letters[i].count
			letters += m.letters[i].count
		}
		r.summary.Delivered += m.count() - letters
	}
	var hidden []queue.Hidden
	response := []byte(`{"batchItemFailures":[`)
	for i := range r.stays {
		m := &r.stays[i]
		r.summary.stays(m)
		hidden = append(hidden, queue.Hidden{ReceiptHandle: m.receipt, For: Pause(m.receives, m.why.RetryAfter, rand.Float64())})
		if response[len(response)-1] == '}' {
			response = append(response, ',')
		}
		response = append(response, `{"itemIdentifier":`...)
		response = rawjson.AppendQuoted(response, m.messageID)
		response = append(response, '}')
	}
	if len(hidden) > 0 {
		ctx, cancel := half(ctx)
		defer cancel()
		if err := r.h.Queue.Hide(ctx, hidden); err != nil {
			r.summary.HideErrors++
			r.h.Logger.Warn("messages could not be hidden and come again when their visibility timeout ends", "error", err)
		}
	}
	return append(response, "]}"...)
}

// writeLetters writes the letters of all messages that have any and of which nothing waits. A message whose letter can't be written stays.
func (r *run) writeLetters(ctx context.Context, now time.Time) {
	var out []queue.Message
	var owners []*message
	for _, m := range r.letters {
		for i := range m.letters {
			for _, written := range m.write(&m.letters[i], r.h.compressor, now) {
				out = append(out, written)
				owners = append(owners, m)
			}
		}
	}
	if len(out) == 0 {
		return
	}
	ctx, cancel := half(ctx)
	defer cancel()
	err := r.h.DeadLetters.Send(ctx, out)
	if err == nil {
		return
	}
	r.summary.LetterErrors++
	r.h.Logger.Error("dead letters could not be written; their messages stay in the queue", "error", err)
	failed := map[int]error{}
	var partial *queue.SendError
	if errors.As(err, &partial) {
		failed = partial.Failed
	} else {
		for i := range owners {
			failed[i] = err
		}
	}
	for i, err := range failed {
		owners[i].waits = &segment.Error{Class: segment.Transient, Err: err}
	}
}
