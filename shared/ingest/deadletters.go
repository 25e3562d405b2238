package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// deadLetterPrefix begins the ids of dead letters that ingest writes; those that deliver writes
// begin with the id of a message.
const deadLetterPrefix = "ingest/"

// writeDeadLetters writes the invalid events of a request as dead letters. It may take half of
// QueueTimeout, because the valid events still have to reach the queue.
func (h *Handler) writeDeadLetters(ctx context.Context, q *request) error {
	var messages []message.Message
	for _, d := range q.deadLetters() {
		messages = append(messages, d.Messages(h.compressor)...)
	}
	limit := time.Now().Add(h.config.Limits.QueueTimeout / 2)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		limit = deadline
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	return h.config.DeadLetters.Send(ctx, messages)
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
	digest := sha256.New()
	add := func(b []byte) {
		digest.Write(b)
		digest.Write([]byte{0})
	}
	add([]byte(writeKey))
	add([]byte(problem.Code))
	add([]byte(origin.String()))
	for _, i := range indexes {
		add(events[i].Raw)
	}
	return deadLetterPrefix + hex.EncodeToString(digest.Sum(nil)[:16])
}
