package ingest

import (
	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// A part is the events of a request that go to the queue under one header.
type part struct {
	header message.Header
	events [][]byte
	size   int // bytes of the events and a comma for each

	first, last int // indexes of the group's messages that hold its events
}

// leaveRoom removes a context and integrations that leave no room for an event.
func (q *request) leaveRoom(writeKey string) {
	c := &q.content
	header := message.Header{WriteKey: writeKey, Context: c.context, Integrations: c.integrations}
	c.omitted |= header.LeaveRoom()
	c.context, c.integrations = header.Context, header.Integrations
	q.omitted.Add(c.omitted)
}

// partition enriches every event, and divides the events into valid and invalid ones, and the valid
// ones into parts by origin. When no event is valid, the request is refused for the first one's
// problem.
func (q *request) partition() *refusal {
	c := &q.content
	header := message.Header{WriteKey: q.enrichment.WriteKey, Context: c.context, Integrations: c.integrations,
		ReceivedAt: q.enrichment.ReceivedAt}
	for i := range c.events {
		e := &c.events[i]
		e.Inherit(q.enrichment.Shared, q.enrichment.PathType)
		from := len(q.enriched)
		var omitted event.Omitted
		q.enriched, omitted = e.AppendEnriched(q.enriched, &q.enrichment)
		q.omitted.Add(omitted)
		q.spans = append(q.spans, span{from, len(q.enriched)})
		if e.Problem == nil && len(q.enriched)-from > event.MaxEventBytes {
			e.Problem = event.TooLarge
		}
		if e.Problem != nil {
			q.invalid = append(q.invalid, i)
		}
	}
	if len(q.invalid) == len(c.events) {
		return eventRefusal(c.events[0].Problem)
	}
	// q.enriched no longer moves, so parts can refer to it.
	for i := range c.events {
		if c.events[i].Problem != nil {
			continue
		}
		origin := q.origin(i)
		p := &q.parts[origin]
		p.header = header
		p.header.Origin = origin
		p.events = append(p.events, q.event(i))
		p.size += len(q.event(i)) + 1
	}
	return nil
}

// origin says who sent an event.
func (q *request) origin(i int) event.Origin {
	if q.content.events[i].SentByClient(&q.enrichment) {
		return event.FromClient
	}
	return event.FromServer
}

// event returns an event after enrichment.
func (q *request) event(i int) []byte { return q.enriched[q.spans[i].from:q.spans[i].to] }

// filled returns the parts that have events.
func filled(parts *[2]part) []part {
	switch {
	case len(parts[0].events) == 0:
		return parts[1:]
	case len(parts[1].events) == 0:
		return parts[:1]
	}
	return parts[:]
}

// appendID appends a random messageId. It reads the system's generator, which costs up to 0.4 µs,
// but the SDKs give their events a messageId themselves.
func appendID(dst []byte) []byte {
	text, _ := uuid.New().MarshalText() // never fails
	return append(dst, text...)
}
