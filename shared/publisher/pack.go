package publisher

import (
	"fmt"
	"sync"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
)

// An outgoing is one message to SQS, the events in it, and the results of the calls that held it.
type outgoing struct {
	message.Message
	events  int
	items   []item         // the events, if they come from memory
	records []spill.Record // their records, if they come from disk
	tries   int            // calls that held it
	unknown bool           // one of them got no answer
	refused int            // calls in which SQS refused it for its own fault
	err     error          // of the last call
}

// published reports whether callers of Publish wait for it. Such a message is never written to
// disk, and is given up after a few seconds.
func (o *outgoing) published() bool { return len(o.items) > 0 && o.items[0].pub != nil }

// abandoned reports whether all callers of Publish that waited for it have stopped waiting.
func (o *outgoing) abandoned() bool {
	for i := range o.items {
		if !o.items[i].pub.gone.Load() {
			return false
		}
	}
	return true
}

// packing packs events into messages.
type packing struct {
	header     message.Header // of the events of analytics-go's types
	rawHeader  message.Header // of Raw events, which get no context
	compressor *message.Compressor
	maxEvents  int  // in a message; 0: as many as fit
	fair       bool // messages have the group of their write key
	senders    *senders
	packers    sync.Pool // of *message.Packer
}

func newPacking(config *Config) (*packing, error) {
	header, err := newHeader(config)
	if err != nil {
		return nil, err
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	return &packing{senders: newSenders(config), header: header, rawHeader: message.Header{WriteKey: config.WriteKey},
		compressor: compressor, maxEvents: config.MessageEvents, fair: config.FairQueues}, nil
}

func (p *packing) newPacker(h message.Header) *message.Packer {
	packer := message.NewPacker(h, p.compressor)
	packer.Fair = p.fair
	return packer
}

// newHeader makes what all events of analytics-go's types have in common. Its context names
// analytics-go as the library, for destinations that read library.name.
func newHeader(config *Config) (message.Header, error) {
	var shared analytics.Context
	if config.DefaultContext != nil {
		shared = *config.DefaultContext
	}
	shared.Library = analytics.LibraryInfo{Name: "analytics-go", Version: analytics.Version}
	var e encoder
	if err := e.context(&shared); err != nil {
		return message.Header{}, &ConfigError{Field: "DefaultContext",
			Err: fmt.Errorf("can't be written as JSON: %w", err)}
	}
	h := message.Header{WriteKey: config.WriteKey, Context: e.buf}
	if h.Room() == 0 || len(h.Context) > event.MaxEventBytes {
		return h, &ConfigError{Field: "DefaultContext",
			Err: fmt.Errorf("must have at most %d bytes as JSON, has %d", event.MaxEventBytes, len(e.buf))}
	}
	return h, nil
}

// pack fills messages with the events of chunks. Published events get messages of their own because
// they are given up sooner, Raw events because a message's context is that of all its events.
func (p *packing) pack(chunks []*chunk) []*outgoing {
	packer, ok := p.packers.Get().(*message.Packer)
	if !ok {
		packer = p.newPacker(p.header)
	}
	defer p.packers.Put(packer)
	var messages []*outgoing
	for _, group := range [...]struct{ published, raw bool }{{true, false}, {true, true}, {false, false}, {false, true}} {
		header := p.header
		if group.raw {
			header = p.rawHeader
		}
		packer.Reset(header)
		o := &outgoing{}
		flush := func() {
			if packer.Len() > 0 {
				o.events = packer.Len()
				o.Message = packer.Pack()
				messages = append(messages, o)
				o = &outgoing{}
			}
		}
		for _, ch := range chunks {
			if ch.published() != group.published {
				continue
			}
			if !group.raw { // each chunk once
				p.senders.count(ch.items, "")
			}
			for i := range ch.items {
				it := &ch.items[i]
				if it.raw != group.raw || it.pub != nil && it.pub.gone.Load() {
					continue
				}
				if p.full(packer, len(it.json)) {
					flush()
				}
				packer.Add(it.json)
				o.items = append(o.items, *it)
			}
		}
		flush()
	}
	return messages
}

// full reports whether an event of n bytes needs another message.
func (p *packing) full(packer *message.Packer, n int) bool {
	return !packer.Fits(n) || packer.Len() == p.maxEvents && p.maxEvents > 0
}
