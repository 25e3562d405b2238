package publisher

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// durableRecords is how many records are read at once in the durable modes.
	durableRecords = 256
	// replayRecords is how many messages are replayed at a time beside fresh events: one call.
	replayRecords = sqsclient.MaxEntries
	// lastRead is how long the replay waits for a record after the client was closed.
	lastRead = 100 * time.Millisecond
)

// A replayer sends what is on disk: in the durable modes all events, otherwise what an earlier
// process left or no queue took.
type replayer struct {
	sender  *sender
	disk    *disk
	rate    int // events/s with Durability Memory
	unpack  *unpacker
	records []spill.Record // read at once
}

func newReplayer(s *sender, config *Config) (*replayer, error) {
	unpack, err := newUnpacker(s, config)
	if err != nil {
		return nil, err
	}
	records := replayRecords
	if s.disk.durable {
		records = durableRecords
	}
	return &replayer{sender: s, disk: s.disk, rate: config.ReplayRate, unpack: unpack,
		records: make([]spill.Record, records)}, nil
}

// run sends records until the client is closed and all are read, or no queue takes events: what is
// left is safe on disk.
func (r *replayer) run() {
	defer r.unpack.decoder.Close()
	life := r.sender.life
	for {
		closed := life.drained.Err() != nil
		if life.calls.Err() != nil || closed && (r.disk.Stats().Unread == 0 || r.sender.regions.FirstUp() == "") {
			return
		}
		messages, events := r.gather(closed)
		switch {
		case len(messages) == 0 && closed:
			return
		case len(messages) == 0:
		case r.disk.durable:
			r.sender.slots <- struct{}{}
			life.replaying.Go(func() {
				defer func() { <-r.sender.slots }()
				r.sender.deliver(messages)
			})
		default:
			r.deliverSlowly(messages, events)
		}
	}
}

// deliverSlowly sends messages beside fresh events: one call at a time, at a rate.
func (r *replayer) deliverSlowly(messages []*outgoing, events int) {
	start := time.Now()
	r.sender.deliver(messages)
	due := time.Duration(float64(events) / float64(r.rate) * float64(time.Second))
	wait := time.NewTimer(due - time.Since(start))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-r.sender.life.drained.Done():
	}
}

// gather reads records: a call's worth of messages, or in the durable modes events until there are
// enough for a sender or the interval after the first is over.
func (r *replayer) gather(closed bool) (messages []*outgoing, events int) {
	ctx, cancel := context.WithCancel(r.sender.life.calls)
	defer cancel()
	if closed {
		defer time.AfterFunc(lastRead, cancel).Stop()
	} else {
		defer context.AfterFunc(r.sender.life.drained, cancel)()
	}
	for size := int64(0); ; {
		n, err := r.disk.Read(ctx, r.records)
		if size == 0 && n > 0 {
			defer time.AfterFunc(r.sender.interval, cancel).Stop()
		}
		for _, record := range r.records[:n] {
			size += int64(len(record.Data))
			r.unpack.add(record)
		}
		clear(r.records[:n])
		if err != nil || !r.disk.durable || size >= r.sender.takeBytes {
			break
		}
	}
	messages = r.unpack.take()
	for _, o := range messages {
		events += o.events
	}
	return messages, events
}

// An unpacker makes messages of records. Single events with the same header are packed together.
type unpacker struct {
	log      *slog.Logger
	disk     *disk
	packing  *packing
	counts   *counts
	known    []*single
	decoder  *message.Decoder
	messages []*outgoing
}

// single collects the single events of one header.
type single struct {
	prefix  []byte
	packer  *message.Packer
	waiting *outgoing
}

func newUnpacker(s *sender, config *Config) (*unpacker, error) {
	decoder, err := message.NewDecoder()
	if err != nil {
		return nil, err
	}
	u := &unpacker{log: config.Logger, disk: s.disk, packing: s.packing, counts: &s.settler.counts, decoder: decoder}
	u.addHeader(s.packing.header)
	u.addHeader(s.packing.rawHeader)
	return u, nil
}

func (u *unpacker) addHeader(h message.Header) *single {
	k := &single{prefix: recordPrefix(h), packer: u.packing.newPacker(h), waiting: &outgoing{}}
	u.known = append(u.known, k)
	return k
}

// add takes one record.
func (u *unpacker) add(r spill.Record) {
	events, body, err := parseRecord(r.Data)
	if err != nil {
		u.log.Error("a record on disk can't be read and is dropped", "dir", u.disk.dir, "error", err)
		u.counts.drop(Unreadable, 1)
		u.disk.Done(r)
		return
	}
	if k := u.find(events, body); k != nil {
		raw := body[len(k.prefix) : len(body)-len(batchEnd)]
		if u.packing.full(k.packer, len(raw)) {
			u.flush(k)
		}
		k.packer.Add(raw)
		k.waiting.records = append(k.waiting.records, r)
		return
	}
	m := message.New(string(body), events, event.FromServer)
	if u.packing.fair { // if an earlier process had another write key, its events count for this one
		m.Group = message.GroupID(u.packing.header.WriteKey)
	}
	u.messages = append(u.messages, &outgoing{Message: m, events: events, records: []spill.Record{r}})
}

// maxHeaders bounds the headers that are known at a time.
const maxHeaders = 100

// find returns where the single event in a message belongs; nil: the message has several.
func (u *unpacker) find(events int, body []byte) *single {
	if events != 1 || body[0] != '{' {
		return nil
	}
	for _, k := range u.known {
		if k.matches(body) {
			return k
		}
	}
	// An earlier process had another write key or context.
	var m message.Content
	if len(u.known) > maxHeaders || u.decoder.Decode(body, &m) != nil || len(m.Events) != 1 {
		return nil
	}
	m.Context, m.Integrations = bytes.Clone(m.Context), bytes.Clone(m.Integrations)
	if k := u.addHeader(m.Header); k.matches(body) {
		return k
	}
	u.known = u.known[:len(u.known)-1]
	return nil
}

func (k *single) matches(body []byte) bool {
	return bytes.HasPrefix(body, k.prefix) && bytes.HasSuffix(body, []byte(batchEnd)) &&
		len(body) > len(k.prefix)+len(batchEnd)
}

func (u *unpacker) flush(k *single) {
	if k.packer.Len() > 0 {
		k.waiting.events = k.packer.Len()
		k.waiting.Message = k.packer.Pack()
		u.messages = append(u.messages, k.waiting)
		k.waiting = &outgoing{}
	}
}

// take returns what was added, as messages.
func (u *unpacker) take() []*outgoing {
	for _, k := range u.known {
		u.flush(k)
	}
	messages := u.messages
	u.messages = nil
	return messages
}
