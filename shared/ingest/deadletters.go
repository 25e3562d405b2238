package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// deadLetterPrefix begins the ids of dead letters that ingest writes; those that deliver writes
// begin with the id of a message.
const deadLetterPrefix = "ingest/"

const (
	// deadLetterLinger is how long the first request with invalid events waits for others that can
	// share its dead letters: longer than for valid events, because such requests should be few.
	deadLetterLinger = 100 * time.Millisecond
	// overRateLinger is the same once the dead letters of its write key are beyond their rate: then
	// one has the events of all that came in the meantime.
	overRateLinger = time.Second
)

// A deadLetterWriter writes the dead letters of requests, those of concurrent requests together. It
// is safe for concurrent use.
type deadLetterWriter struct {
	queue      Sender
	lingers    bool // not in a Lambda, which has one request at a time
	timeout    time.Duration
	compressor *message.Compressor
	draining   <-chan struct{}
	logger     *slog.Logger
	rates      deadLetterRates
	archive    func(context.Context, []*message.DeadLetter) // see Config; nil: nothing is archived

	mu   sync.Mutex
	open *rejectedGroup // that requests can join; nil: none
}

// A rejectedGroup is a number of requests whose dead letters are written together. Its first
// request leads it, as in a group of the committer.
type rejectedGroup struct {
	members []*rejectedPart
	bytes   int
	full    chan struct{} // closed when no more fits
	done    chan struct{} // closed when each member has its result
}

// rejectedPart is a request in a rejectedGroup.
type rejectedPart struct {
	deadLetters []message.DeadLetter
	keyName     string
	dropped     int // events of the dead letters that were not written, because there were too many
	err         error
}

// submit writes the dead letters of a request. The error says that some are not written; those that
// are beyond the rate are no error. They must not change before it returns.
func (w *deadLetterWriter) submit(ctx context.Context, p *rejectedPart) error {
	bytes := 0
	for i := range p.deadLetters {
		for _, e := range p.deadLetters[i].Events {
			bytes += len(e)
		}
	}
	w.mu.Lock()
	g := w.open
	leads := g == nil
	if leads {
		g = &rejectedGroup{full: make(chan struct{}), done: make(chan struct{})}
		w.open = g
	}
	g.members = append(g.members, p)
	if g.bytes += bytes; g.bytes >= maxGroupBytes || len(g.members) >= maxGroupMembers {
		w.open = nil
		close(g.full)
	}
	w.mu.Unlock()
	if !leads {
		<-g.done
		return p.err
	}
	w.lead(ctx, g, p)
	return p.err
}

// lead waits for members, writes the dead letters, and passes on the result.
func (w *deadLetterWriter) lead(ctx context.Context, g *rejectedGroup, leader *rejectedPart) {
	err := errPanic // every member's, unless it becomes nil below
	defer func() {
		w.close(g)
		if err != nil {
			for _, p := range g.members {
				p.err = err
			}
		}
		close(g.done)
	}()
	if w.lingers {
		w.gather(ctx, g, leader)
	}
	w.close(g)
	limit := time.Now().Add(w.timeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		limit = deadline
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	w.write(ctx, g)
	err = nil
}

// gather waits for others to join the group.
func (w *deadLetterWriter) gather(ctx context.Context, g *rejectedGroup, leader *rejectedPart) {
	linger := deadLetterLinger
	if w.rates.over(leader.deadLetters[0].Header.WriteKey, time.Now()) {
		linger = overRateLinger
	}
	t := time.NewTimer(linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.full:
	case <-w.draining:
	case <-ctx.Done():
	}
}

// close lets no more requests join a group.
func (w *deadLetterWriter) close(g *rejectedGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == g {
		w.open = nil
	}
}

// A sharedDeadLetter is a dead letter with the events of one or more members.
type sharedDeadLetter struct {
	message.DeadLetter
	members []*rejectedPart
	counts  []int // events of each
}

// write writes the dead letters of a group, as far as the rates allow.
func (w *deadLetterWriter) write(ctx context.Context, g *rejectedGroup) {
	var messages []message.Message
	var owners []*sharedDeadLetter
	now := time.Now()
	for _, l := range g.share() {
		t := w.rates.take(l.Header.WriteKey, len(l.Events), now)
		if t.log > 0 {
			w.logger.WarnContext(ctx,
				"there are too many dead letters of a write key: its invalid events are counted and sampled",
				"key", l.members[0].keyName, "events", t.log, "problem", l.Detail)
		}
		if !t.ok {
			for i, p := range l.members {
				p.dropped += l.counts[i]
			}
			continue
		}
		l.Detail += t.sample
		for _, m := range l.Messages(w.compressor) {
			messages, owners = append(messages, m), append(owners, l)
		}
	}
	if len(messages) == 0 {
		return
	}
	err := w.queue.Send(ctx, messages)
	failed := sqsclient.Failures(err, len(messages))
	if err != nil {
		w.logger.ErrorContext(ctx, "dead letters could not be written: their requests are answered 429", "requests",
			len(g.members), "error", err)
	}
	for i, err := range failed {
		w.rates.refund(owners[i].Header.WriteKey, now)
		for _, p := range owners[i].members {
			p.err = err
		}
	}
	if w.archive == nil {
		return
	}
	if written := writtenOf(owners, failed); len(written) > 0 {
		w.archive(ctx, written)
	}
}

// writtenOf returns the dead letters of which the queue has every message; owners has one for each
// message, in their order. The requests of the others are refused, and their senders repeat them.
func writtenOf(owners []*sharedDeadLetter, failed map[int]error) (written []*message.DeadLetter) {
	for i := 0; i < len(owners); {
		l, whole := owners[i], true
		for ; i < len(owners) && owners[i] == l; i++ {
			whole = whole && failed[i] == nil
		}
		if whole {
			written = append(written, &l.DeadLetter)
		}
	}
	return written
}

// share puts the events of all members with the same problem and header into one dead letter. One
// request's alone keeps its ID, so that a request that is retried writes it with the same.
func (g *rejectedGroup) share() []*sharedDeadLetter {
	type like struct {
		message.Key
		reason, detail string
	}
	var deadLetters []*sharedDeadLetter
	byKind := map[like]*sharedDeadLetter{}
	for _, p := range g.members {
		for _, d := range p.deadLetters {
			kind := like{d.Header.Key(), d.Reason, d.Detail}
			l := byKind[kind]
			if l == nil {
				l = &sharedDeadLetter{DeadLetter: d}
				byKind[kind] = l
				deadLetters = append(deadLetters, l)
			} else {
				l.ID = deadLetterPrefix + hex.EncodeToString(digestOf([]byte(l.ID), []byte(d.ID)))
				l.Events = append(slices.Clip(l.Events), d.Events...)
				l.Count += d.Count
				if d.FirstSeen.Before(l.FirstSeen) {
					l.FirstSeen, l.Header.ReceivedAt = d.FirstSeen, d.Header.ReceivedAt
				}
				if d.LastSeen.After(l.LastSeen) {
					l.LastSeen = d.LastSeen
				}
			}
			l.members, l.counts = append(l.members, p), append(l.counts, len(d.Events))
		}
	}
	return deadLetters
}

// rejected counts the invalid events by the code of their problem; nil when there are none.
func (q *request) rejected() map[string]int {
	if len(q.invalid) == 0 {
		return nil
	}
	counts := map[string]int{}
	for _, i := range q.invalid {
		counts[q.content.events[i].Problem.Code]++
	}
	return counts
}

// deadLetters returns the invalid events, one dead letter for those with the same problem and
// origin. They are enriched like valid ones, so that an event that is corrected and sent later has
// its messageId and time.
func (q *request) deadLetters() []message.DeadLetter {
	type group struct {
		problem *event.Problem
		origin  event.Origin
	}
	var order []group
	events := map[group][]int{}
	for _, i := range q.invalid {
		g := group{q.content.events[i].Problem, q.origin(i)}
		if events[g] == nil {
			order = append(order, g)
		}
		events[g] = append(events[g], i)
	}
	receivedAt := q.enrichment.ReceivedAt
	deadLetters := make([]message.DeadLetter, 0, len(order))
	for _, g := range order {
		d := message.DeadLetter{
			ID:     deadLetterID(q.enrichment.WriteKey, g.problem, g.origin, q.content.events, events[g]),
			Reason: message.ReasonFor(g.problem), Detail: g.problem.Error(),
			Header: message.Header{
				WriteKey: q.enrichment.WriteKey, Origin: g.origin, Context: q.content.context,
				Integrations: q.content.integrations, ReceivedAt: receivedAt,
			},
			Count: len(events[g]), FirstSeen: receivedAt, LastSeen: receivedAt,
		}
		for _, i := range events[g] {
			d.Events = append(d.Events, q.event(i))
		}
		deadLetters = append(deadLetters, d)
	}
	return deadLetters
}

// deadLetterID is a digest of the events with these indexes, as they came, without what was spliced
// into them: a request that is retried, because its answer was 429 or got lost, writes dead letters
// with the same ids.
func deadLetterID(writeKey string, problem *event.Problem, origin event.Origin, events []event.Received,
	indexes []int) string {
	parts := [][]byte{[]byte(writeKey), []byte(problem.Code), []byte(origin.String())}
	for _, i := range indexes {
		parts = append(parts, events[i].Raw)
	}
	return deadLetterPrefix + hex.EncodeToString(digestOf(parts...))
}

// digestOf is a digest of 16 bytes.
func digestOf(parts ...[]byte) []byte {
	digest := sha256.New()
	for _, p := range parts {
		digest.Write(p)
		digest.Write([]byte{0})
	}
	return digest.Sum(nil)[:16]
}
