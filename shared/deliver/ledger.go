package deliver

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// ledger is the third part of an invocation: it records each event's disposition and whether a
// message is complete. It is safe for concurrent use until finish is called.
type ledger struct {
	h      *Handler
	began  time.Time
	watch  Watch
	paused operator.Keys

	mu              sync.Mutex
	withDeadLetters []*delivery // complete once their dead letters are written
	archiving       archiving
	retained        []retained
	report          Report
}

// retained is what is still needed of a message that is retained for retry. Its events are released
// at once, because all messages of an invocation are retained when Segment is down.
type retained struct {
	messageID, receipt, writeKey string
	receives, events             int
	seen                         time.Time // as backlogged says
	failure                      *failure
	bulk                         bool
	archiveOnly                  bool // an archive-only message, whose events are not counted
}

func newLedger(h *Handler, began time.Time) *ledger {
	return &ledger{h: h, began: began, watch: h.config.Observer(), paused: h.config.PausedKeys(), report: newReport(),
		archiving: h.newArchiving()}
}

// retainUnread retains a message without decoding it.
func (l *ledger) retainUnread(rec *record, f *failure, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.received(rec.events)
	seen := rec.backlogged(rec.sent)
	l.report.aged(rec, seen, now)
	l.retained = append(l.retained, retained{
		messageID: rec.messageID, receipt: text(rec.receipt), receives: rec.receives, events: rec.events, seen: seen,
		failure: f, bulk: rec.bulk,
	})
}

// receive counts a decoded message.
func (l *ledger) receive(m *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !m.canary {
		l.report.received(m.count())
		return
	}
	l.report.received(0)
	l.report.CanaryEvents += m.count()
}

// panicked counts a panic that was caught.
func (l *ledger) panicked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Panics++
}

// recordAttempt counts a call to Segment.
func (l *ledger) recordAttempt(events int, bulk bool, latency time.Duration, f *failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.attempted(events, bulk, latency, f)
}

// settle records the disposition of some events of a batch: delivered if f is nil.
func (l *ledger) settle(b *batch, events span, f *failure) {
	disposition := Delivered
	if f != nil {
		disposition = f.policy().Disposition
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first := 0 // index in b.Events of the part's first event
	for _, pt := range b.parts {
		n := pt.to - pt.from
		for i := max(events.from, first); i < min(events.to, first+n); i++ {
			pt.m.settle(pt.from+i-first, disposition, f)
		}
		first += n
	}
}

// done is called when all events of a batch are settled.
func (l *ledger) done(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pt := range b.parts {
		if pt.m.parts--; pt.m.parts == 0 {
			l.completed(pt.m)
		}
	}
}

// complete is called when all events of a message are settled.
func (l *ledger) complete(m *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.completed(m)
}

// observe tells of a message that is read although the breaker is open.
func (l *ledger) observe(m *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch.observe(m)
}

// drop ends a message of the canary that is not to arrive.
func (l *ledger) drop(m *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.CanariesDropped += m.count()
	l.h.release(m)
}

// completed is called under mu. A message without dead letters is not needed any more, and its
// buffers are reused.
func (l *ledger) completed(m *delivery) {
	// A message expires only if all of its events were tried.
	expired := m.failure != nil && m.failure.reason != reasonNoTime && tooOld(m.sent, l.began)
	switch {
	case expired:
		m.expire()
		m.failure = nil
		l.withDeadLetters = append(l.withDeadLetters, m)
		return
	case m.failure != nil:
		l.retain(m)
	case len(m.deadLetters) > 0:
		l.withDeadLetters = append(l.withDeadLetters, m)
		return
	default:
		l.deliver(m, m.count())
		l.archiving.add(m, time.Now())
	}
	l.h.release(m)
}

// release keeps a message's buffers for the next one.
func (h *Handler) release(m *delivery) {
	m.body, m.receipt = nil, nil
	h.deliveries.Put(m)
}

// tooOld reports whether a message is older than MaxAge.
func tooOld(sent, now time.Time) bool { return !sent.IsZero() && now.Sub(sent) > MaxAge }

// deliver counts n delivered events of a message that is done, and what was left out of its events.
func (l *ledger) deliver(m *delivery, n int) {
	key := m.content.WriteKey
	if m.bulk || !l.h.keys.refusedLately(key, m.taken) && !heldLately(l.paused, &l.h.keyID, key, m.taken) {
		l.report.aged(&m.record, m.backlogged(m.seen()), m.taken)
	}
	if m.canary {
		now := time.Now()
		for i := range n {
			l.report.CanaryAges = append(l.report.CanaryAges, since(m.seen(), now))
			l.report.CanaryTimes = append(l.report.CanaryTimes, m.scheduled(i, now))
		}
		return
	}
	l.report.Delivered += n
	l.report.omitted(&m.omitted)
	l.h.countSenders(m)
	l.watch.observe(m)
}

func (l *ledger) retain(m *delivery) {
	l.h.countSenders(m)
	l.watch.observe(m)
	var seen time.Time
	// Much has waited when a key is resumed, so that Segment may throttle what comes at once.
	resumed := m.failure.class == segment.Throttled && heldLately(l.paused, &l.h.keyID, m.content.WriteKey, m.taken)
	if m.bulk || m.failure.class != segment.Misconfigured && !resumed {
		seen = m.backlogged(m.seen())
		l.report.aged(&m.record, seen, m.taken)
	}
	r := m.retained(m.failure)
	r.seen = seen
	l.retained = append(l.retained, r)
}

// retained is what is needed of the message if it is retained for a failure.
func (m *delivery) retained(f *failure) retained {
	return retained{messageID: m.messageID, receipt: text(m.receipt), writeKey: m.content.WriteKey,
		receives: m.receives, events: m.count(), failure: f, bulk: m.bulk}
}

// carry takes over an archive-only message. False: its frame is damaged, which makes it
// undecodable.
func (l *ledger) carry(m *delivery) bool {
	records, err := recordsOf(m.content.ArchiveFrame)
	if err != nil {
		m.deadLetters[0].Detail = "an archive-only message whose frame can't be read: " + err.Error()
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.received(0)
	l.archiving.carry(m, records)
	l.h.release(m)
	return true
}

// finish writes the dead letters, archives what has ended, and changes the visibility of the
// messages that are retained.
func (l *ledger) finish(ctx context.Context) {
	l.writeDeadLetters(ctx, time.Now())
	for _, m := range l.withDeadLetters {
		if m.failure != nil {
			l.retain(m)
			continue
		}
		dead := 0
		for i := range m.deadLetters {
			n := eventsOf(&m.deadLetters[i])
			l.report.DeadLettered[m.deadLetters[i].Reason] += n
			dead += n
		}
		l.deliver(m, m.count()-dead)
		l.archiving.add(m, time.Now())
	}
	l.archive(ctx)
	for i := range l.retained {
		l.report.retained(&l.retained[i])
	}
	l.changeVisibility(ctx)
}

// writeDeadLetters writes the dead letters of all complete messages in as few calls as possible. A
// message whose dead letter can't be written is retained.
func (l *ledger) writeDeadLetters(ctx context.Context, now time.Time) {
	var out []message.Message
	var owners []*delivery
	for _, m := range l.withDeadLetters {
		for i := range m.deadLetters {
			for _, written := range m.messages(&m.deadLetters[i], l.h.compressor, now) {
				out = append(out, written)
				owners = append(owners, m)
			}
		}
	}
	if len(out) == 0 {
		return
	}
	ctx, cancel := halfTheTime(ctx)
	defer cancel()
	err := l.h.config.DeadLetters.Send(ctx, out)
	if err == nil {
		return
	}
	l.report.DeadLetterErrors++
	l.h.config.Logger.ErrorContext(ctx, "dead letters could not be written; their messages are retained for retry",
		"error", err)
	for i, err := range sqsclient.Failures(err, len(out)) {
		owners[i].failure = newFailure(reasonNotWritten, err)
	}
}

// changeVisibility makes the retained messages invisible until their next attempt, each in its own
// queue.
func (l *ledger) changeVisibility(ctx context.Context) {
	var fresh, bulk []sqsclient.VisibilityChange
	now := time.Now()
	for i := range l.retained {
		m := &l.retained[i]
		change := sqsclient.VisibilityChange{ReceiptHandle: m.receipt, Timeout: l.h.backoff(m)}
		l.h.waiting.add(m.seen, now.Add(change.Timeout), now)
		if m.bulk {
			bulk = append(bulk, change)
		} else {
			fresh = append(fresh, change)
		}
	}
	l.changeVisibilityIn(ctx, l.h.config.Queue, fresh)
	l.changeVisibilityIn(ctx, l.h.config.BulkQueue, bulk)
}

func (l *ledger) changeVisibilityIn(ctx context.Context, queue VisibilityChanger,
	changes []sqsclient.VisibilityChange) {
	if len(changes) == 0 {
		return
	}
	ctx, cancel := halfTheTime(ctx)
	defer cancel()
	if err := queue.ChangeVisibility(ctx, changes); err != nil {
		l.report.VisibilityErrors++
		l.h.config.Logger.WarnContext(ctx,
			"visibility could not be changed; the messages are retried when their visibility timeout ends",
			"error", err)
	}
}

// backoff is how long a retained message stays invisible.
func (h *Handler) backoff(m *retained) time.Duration {
	if m.failure.policy().CountsForBreaker && m.failure.wait == 0 {
		if pause, open := h.breaker.backoff(m.receives, time.Now(), rand.Float64()); open {
			return pause
		}
	}
	return Backoff(m.receives, m.failure.wait, since(m.seen, time.Now()), rand.Float64())
}
