package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// letterPrefix begins the ids of letters that the door writes; delivery's begin with the id of a
// message.
const deadLetterPrefix = "ingest/"

// writeLetters writes the bad events of a request as dead letters. What it may take is short, for
// the queue may take its time then.
func (h *Handler) writeLetters(ctx context.Context, q *request) error {
	var messages []message.Message
	for _, l := range q.deadLetters() {
		messages = append(messages, l.Messages(h.compressor)...)
	}
	limit := time.Now().Add(h.config.Limits.QueueTimeout / 2)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		limit = deadline
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	return h.config.DeadLetters.Send(ctx, messages)
}

// rejected counts the bad events by the code of their problem; nil when there are none.
func (q *request) rejected() map[string]int {
	if len(q.bad) == 0 {
		return nil
	}
	counts := map[string]int{}
	for _, i := range q.bad {
		counts[q.content.events[i].Problem.Code]++
	}
	return counts
}

// letters are the bad events, in one letter for those with the same problem and origin, spliced as
// if they were good: once mended, they have their identity and their time.
func (q *request) deadLetters() []message.DeadLetter {
	type group struct {
		problem *event.Problem
		origin  event.Origin
	}
	var order []group
	events := map[group][]int{}
	for _, i := range q.bad {
		g := group{q.content.events[i].Problem, q.origin(i)}
		if events[g] == nil {
			order = append(order, g)
		}
		events[g] = append(events[g], i)
	}
	letters := make([]message.DeadLetter, 0, len(order))
	for _, g := range order {
		l := message.DeadLetter{
			ID: q.deadLetterID(g.problem, g.origin, events[g]), Reason: message.ReasonFor(g.problem), Detail: g.problem.Error(),
			Header: message.Header{
				WriteKey: q.enrichment.WriteKey, Origin: g.origin, Context: q.content.context, Integrations: q.content.integrations,
				ReceivedAt: q.enrichment.ReceivedAt,
			},
			Count: len(events[g]), FirstSeen: q.enrichment.ReceivedAt, LastSeen: q.enrichment.ReceivedAt,
		}
		for _, i := range events[g] {
			l.Events = append(l.Events, q.event(i))
		}
		letters = append(letters, l)
	}
	return letters
}

// letterID is made of the events as they came, and not of what was spliced into them: a request
// that comes again, because its answer was lost or was 429, writes letters with the same ids.
func (q *request) deadLetterID(problem *event.Problem, origin event.Origin, events []int) string {
	digest := sha256.New()
	part := func(b []byte) {
		digest.Write(b)
		digest.Write([]byte{0})
	}
	part([]byte(q.enrichment.WriteKey))
	part([]byte(problem.Code))
	part([]byte(origin.String()))
	for _, i := range events {
		part(q.content.events[i].Raw)
	}
	return deadLetterPrefix + hex.EncodeToString(digest.Sum(nil)[:16])
}
