package ingest

import (
	"math/rand/v2"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// sort splices every event and puts it among the good or the bad ones. The fault is that none is
// good: then the request is refused, for a reason that its first event shows.
func (q *request) partition() *refusal {
	c := &q.content
	header := message.Header{WriteKey: q.enrichment.WriteKey, Context: c.context, Integrations: c.integrations,
		ReceivedAt: q.enrichment.ReceivedAt}
	if header.Room() == 0 {
		return refusalContext
	}
	for i := range c.events {
		e := &c.events[i]
		from := len(q.enriched)
		q.enriched = e.AppendEnriched(q.enriched, &q.enrichment)
		q.spans = append(q.spans, span{from, len(q.enriched)})
		if e.Problem == nil && len(q.enriched)-from > event.MaxEventBytes {
			e.Problem = event.TooLarge
		}
		if e.Problem != nil {
			q.bad = append(q.bad, i)
		}
	}
	if len(q.bad) == len(c.events) {
		p := c.events[0].Problem
		return &refusal{status: 400, code: p.Code, message: p.Message}
	}
	// The buffer has its place now.
	for i := range c.events {
		e := &c.events[i]
		if e.Problem != nil {
			continue
		}
		origin := q.origin(i)
		l := &q.parts[origin]
		l.header = header
		l.header.Origin = origin
		l.events = append(l.events, q.event(i))
		l.size += len(q.event(i)) + 1
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

// event is an event as it is to travel.
func (q *request) event(i int) []byte { return q.enriched[q.spans[i].from:q.spans[i].to] }

// filled are the loads that have events.
func (q *request) filledParts() []part {
	switch {
	case len(q.parts[0].events) == 0:
		return q.parts[1:]
	case len(q.parts[1].events) == 0:
		return q.parts[:1]
	}
	return q.parts[:]
}

// appendID appends a random UUID (RFC 9562, version 4), in 36 bytes. The generator is ChaCha8,
// seeded by the system: what comes cannot be told from what came, and it costs a few nanoseconds.
func appendID(dst []byte) []byte {
	const digits = "0123456789abcdef"
	hi, lo := rand.Uint64(), rand.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		half := hi
		if i >= 16 {
			half = lo
		}
		dst = append(dst, digits[half>>(60-4*(i%16))&0xf])
	}
	return dst
}
