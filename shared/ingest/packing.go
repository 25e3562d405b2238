package ingest

import (
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// packing makes messages of parts. It is reusable memory, for one group at a time.
type packing struct {
	packer *message.Packer
	byKey  map[message.Key][]*part
	order  []message.Key // of byKey, as they came
}

func newPacking(c *message.Compressor) *packing {
	return &packing{packer: message.NewPacker(message.Header{}, c), byKey: map[message.Key][]*part{}}
}

// pack makes messages of the members' parts, those with equal headers together, and notes in each
// part which messages hold it. A part that fits one message is never split over two, so that the
// queue has all of it or nothing.
func (p *packing) pack(members []*member) []message.Message {
	var messages []message.Message
	if len(members) == 1 { // the usual case in a Lambda; a key would cost copies
		for i := range members[0].parts {
			part := &members[0].parts[i]
			messages = p.packParts(messages, part.header, part)
		}
		return messages
	}
	for _, m := range members {
		for i := range m.parts {
			part := &m.parts[i]
			key := part.header.Key()
			same, ok := p.byKey[key]
			if !ok {
				p.order = append(p.order, key)
			}
			p.byKey[key] = append(same, part)
		}
	}
	for _, key := range p.order {
		parts := p.byKey[key]
		header := parts[0].header
		for _, part := range parts {
			if part.header.ReceivedAt.Before(header.ReceivedAt) {
				header.ReceivedAt = part.header.ReceivedAt
			}
		}
		messages = p.packParts(messages, header, parts...)
	}
	clear(p.byKey)
	clear(p.order)
	p.order = p.order[:0]
	return messages
}

// packParts appends the messages of parts with equal headers.
func (p *packing) packParts(messages []message.Message, header message.Header, parts ...*part) []message.Message {
	p.packer.Reset(header)
	room := header.Room()
	size := 0 // of the events in the packer
	flush := func() {
		if p.packer.Len() > 0 {
			messages = append(messages, p.packer.Pack())
		}
		size = 0
	}
	for _, part := range parts {
		if size+part.size > room || p.packer.Len()+len(part.events) > event.MaxBatchEvents {
			flush()
		}
		part.first = len(messages)
		for _, e := range part.events {
			if !p.packer.Fits(len(e)) {
				flush()
			}
			p.packer.Add(e)
			size += len(e) + 1
		}
		part.last = len(messages)
	}
	flush()
	return messages
}
