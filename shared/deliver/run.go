package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// run is one invocation. take, flushAll and finish are called one after the other by one goroutine;
// what flushing batches share with it is guarded by mu.
type run struct {
	h       *Handler
	ctx     context.Context // ends with the time for calling Segment
	packer  packer
	freed   chan struct{} // something has ended: there may be room
	flushes sync.WaitGroup

	began    time.Time
	writeKey string            // of messages that carry none
	watcher  func(Observation) // nil: nobody looks

	mu       sync.Mutex
	underWay int
	letters  []*delivery // done but for their letters
	stays    []stay
	summary  Report
}

// stay is what is left of a message that stays in the queue. Its events are let go of at once: when
// Segment is away, all messages of an invocation are such.
type stay struct {
	messageID, receipt, writeKey string
	receives, events             int
	why                          *segment.Error
}

// pause is how long the message is to be hidden.
func (r *run) pause(s *stay) time.Duration {
	if policies[s.why.Class].CountsForBreaker && s.why.RetryAfter == 0 {
		if pause, open := r.h.breaker.pause(s.receives, time.Now(), rand.Float64()); open {
			return pause
		}
	}
	return Backoff(s.receives, s.why.RetryAfter, rand.Float64())
}

// errNoTime is why events stay that the invocation did not get to.
var errNoTime = &segment.Error{Class: segment.Transient, Err: errors.New("the invocation's time was used up")}

func (h *Handler) newRun(ctx context.Context) (*run, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline))))
	}
	return &run{h: h, ctx: ctx, freed: make(chan struct{}, 1), began: time.Now(), writeKey: h.CurrentWriteKey(),
		watcher: h.Observer(), summary: newSummary()}, cancel
}

// take reads a record and packs its events. It waits while as many batches as may be are under way,
// which is what bounds memory.
//
// While the breaker is open bodies are not read: that would be most of the work, and its result
// would be thrown away. Only what is to expire is, because its dead letter holds it; what may be
// the canary, which is not for Segment; and everything where somebody watches.
func (r *run) take(rec *record) {
	now := time.Now()
	if r.summary.Messages == 0 {
		r.h.breaker.follow(rec.queue)
	}
	if refused := r.h.breaker.refusal(now); refused != nil && r.watcher == nil && !r.old(rec.sent) && !r.mayEndHere(rec) {
		r.summary.took(rec.events, rec.sent, now)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stays = append(r.stays,
			stay{messageID: rec.messageID, receipt: text(rec.receipt), receives: rec.receives, events: rec.events, why: refused})
		return
	}
	m, _ := r.h.messages.Get().(*delivery)
	if m == nil {
		m = new(delivery)
	}
	d, err := r.h.decoder()
	if err != nil { // can't happen with constant options, and would be no fault of the message's
		*m = delivery{record: *rec, waits: &segment.Error{Class: segment.Transient, Err: err}}
	} else {
		m.read(rec, d, r.writeKey, &r.packer)
		r.h.decoders.Put(d)
	}
	if !r.isCanary(m) {
		r.summary.took(m.count(), m.seen(), now)
	} else {
		r.summary.took(0, m.seen(), now)
		r.summary.CanaryEvents += m.count()
		if r.h.CanaryEndsHere {
			r.endHere(m)
			return
		}
	}

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

// partDone is called, under mu, when the fates of one more part are known. Of a message that has
// arrived whole, or that stays, nothing more is needed: its buffers serve the next.
func (r *run) partDone(m *delivery) {
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
		r.arrived(m, m.count())
	}
	m.body, m.text, m.receipt = nil, nil, nil
	r.h.messages.Put(m)
}

// expired: it was tried, failed, and has been tried for long enough. What was only out of time is
// not.
func (r *run) expired(m *delivery) bool {
	return m.waits != nil && m.waits != errNoTime && r.old(m.sent)
}

func (r *run) old(sent time.Time) bool { return !sent.IsZero() && r.began.Sub(sent) > MaxAge }

// arrived counts n events of a message that is done, those that Segment has.
func (r *run) arrived(m *delivery, n int) {
	if r.isCanary(m) {
		age := m.age(time.Now())
		for range n {
			r.summary.CanaryAges = append(r.summary.CanaryAges, age)
		}
	} else {
		r.summary.Delivered += n
	}
	r.observe(m)
}

func (r *run) isCanary(m *delivery) bool {
	return r.h.CanaryWriteKey != "" && m.content.WriteKey == r.h.CanaryWriteKey
}

// maxCanary is how large the body of a message can be that is looked at for a canary while the
// breaker is open.
const maxCanary = 8 << 10

// mayEndHere reports whether a record that is not read is worth reading because it may be the
// canary: it is small and plain, and its write key stands in it. A mistake costs that reading and
// nothing else.
func (r *run) mayEndHere(rec *record) bool {
	return r.h.CanaryEndsHere && r.h.CanaryWriteKey != "" && len(rec.body) <= maxCanary &&
		bytes.Contains(rec.body, []byte(r.h.CanaryWriteKey))
}

// endHere delivers the canary without Segment. Bad events of it become dead letters like all
// others.
func (r *run) endHere(m *delivery) {
	r.summary.endHere++
	for i := range m.fates {
		m.fates[i] = delivered
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.parts = 1
	r.partDone(m)
}

// keep lets a message stay in the queue.
func (r *run) keep(m *delivery) {
	r.observe(m)
	r.stays = append(r.stays, stay{
		messageID: m.messageID, receipt: text(m.receipt), writeKey: m.content.WriteKey, receives: m.receives,
		events: m.count(), why: m.waits,
	})
}

// start flushes a batch in the background as soon as the window has room.
func (r *run) start(b *batch) {
	if !r.acquire() {
		r.settle(b, 0, len(b.Events), errNoTime)
		r.done(b)
		return
	}
	r.flushes.Go(func() {
		defer r.release()
		defer r.done(b)
		r.flush(b)
	})
}

// acquire waits for a place among the batches under way; false when the time for it has ended. Only
// one goroutine may wait.
func (r *run) acquire() bool {
	for !r.tryAcquire() {
		select {
		case <-r.freed:
		case <-r.ctx.Done():
			return false
		}
	}
	return true
}

func (r *run) tryAcquire() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.h.window.room(r.underWay) {
		return false
	}
	r.underWay++
	return true
}

func (r *run) release() {
	r.mu.Lock()
	r.underWay--
	r.mu.Unlock()
	select {
	case r.freed <- struct{}{}:
	default:
	}
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
	case policies[err.Class].Bisect && len(b.Events) > 1:
		err = r.halve(b)
	default:
		r.settle(b, 0, len(b.Events), err)
	}
	if err == nil {
		r.h.keys.resume(b.WriteKey, time.Now())
	} else if policies[err.Class].PauseWriteKey {
		if r.h.keys.pause(b.WriteKey, err, time.Now()) && err.Class == segment.Throttled {
			r.h.window.cut()
		}
	}
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
				pt.m.fates[at] = delivered
			case policies[err.Class].Disposition == DeadLettered:
				pt.m.fates[at] = inLetter
				pt.m.reject(at, err)
			case pt.m.waits != errNoTime: // of what was not tried nobody can say that its time is over
				pt.m.waits = err
			}
		}
		first += n
	}
}

// send flushes events from..to of a batch, more than once while Segment can't be reached, does not
// say when to come back, and time allows. While the breaker is open Segment is not called, and a
// probe has one try.
func (r *run) send(b *batch, from, to int) *segment.Error {
	piece := b.Batch
	piece.Events = b.Events[from:to]
	var failure *segment.Error
	for try := 1; ; try++ {
		if r.ctx.Err() != nil {
			return errNoTime
		}
		start := time.Now()
		ticket, refused := r.h.breaker.allow(start)
		if refused != nil && failure == nil {
			return refused
		}
		if refused != nil {
			return failure
		}
		failure = r.attempt(&piece, ticket)
		r.mu.Lock()
		r.summary.flushed(len(piece.Events), time.Since(start), failure)
		r.mu.Unlock()
		if failure == nil {
			r.h.window.grow()
			return nil
		}
		if !policies[failure.Class].RetryNow || failure.RetryAfter > 0 || ticket.Probe || try == Tries || !r.rest(try) ||
			r.ctx.Err() != nil {
			return failure
		}
	}
}

// attempt makes one call and tells the breaker of it. A panic in it is a failed attempt, and not
// the end of the process and of the other batches.
func (r *run) attempt(piece *event.Batch, ticket breaker.Ticket) (failure *segment.Error) {
	defer func() {
		if p := recover(); p != nil {
			failure = &segment.Error{Class: segment.Transient, Err: errors.New("the attempt panicked")}
			r.h.Logger.Error("attempt panicked", "panic", harmless(p), "stack", string(debug.Stack()))
			r.h.breaker.report(time.Now(), ticket, breaker.Unknown, nil)
		}
	}()
	err := r.h.Segment.Flush(r.ctx, piece)
	if err != nil && !errors.As(err, &failure) {
		failure = &segment.Error{Class: segment.Transient, Err: err}
	}
	result := breaker.Success
	if failure != nil && policies[failure.Class].CountsForBreaker {
		result = breaker.Failure
		if r.ctx.Err() != nil { // cut short by our own deadline
			result = breaker.Unknown
		}
	}
	r.h.breaker.report(time.Now(), ticket, result, failure)
	return failure
}

// harmless says what a panic was about. A text that anybody but the runtime made may quote an
// event: then it is only the type.
func harmless(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("%T", p)
}

// rest waits before another try: 200 ms, then twice as long, a random half of it. False when there
// is no time for that.
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

// finish writes the dead letters of messages that are otherwise done, hides those that stay, and
// answers with the report.
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
		r.arrived(m, m.count()-letters)
	}
	var hidden []sqsclient.VisibilityChange
	response := []byte(`{"batchItemFailures":[`)
	for i := range r.stays {
		m := &r.stays[i]
		r.summary.stays(m)
		hidden = append(hidden, sqsclient.VisibilityChange{ReceiptHandle: m.receipt, Timeout: r.pause(m)})
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
		if err := r.h.Queue.ChangeVisibility(ctx, hidden); err != nil {
			r.summary.VisibilityErrors++
			r.h.Logger.Warn("messages could not be hidden and come again when their visibility timeout ends", "error", err)
		}
	}
	return append(response, "]}"...)
}

// writeLetters writes the letters of all messages that have any and of which nothing waits. A
// message whose letter can't be written stays.
func (r *run) writeLetters(ctx context.Context, now time.Time) {
	var out []message.Message
	var owners []*delivery
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
	r.summary.DeadLetterErrors++
	r.h.Logger.Error("dead letters could not be written; their messages stay in the queue", "error", err)
	for i, err := range sqsclient.Failures(err, len(out)) {
		owners[i].waits = &segment.Error{Class: segment.Transient, Err: err}
	}
}
