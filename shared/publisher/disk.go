package publisher

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Durability says when an event that Enqueue accepted is safe.
type Durability int

const (
	// Memory: once it is in SQS. With a directory, also once it had to be put there. Enqueue does
	// no I/O.
	Memory Durability = iota
	// Process: when Enqueue returns. kill -9 at any moment loses nothing. Enqueue writes to a file,
	// but waits for no disk.
	Process
	// Disk: when Enqueue returns. Nor does a power cut lose anything. Enqueue waits for a disk,
	// together with all that are under way.
	Disk
)

// A record in the log is one message: how many events it holds, as a varint, and its body as SQS
// gets it (package message). So a record carries its own write key, also when the next process has
// another one. An event for itself, as the durable modes write it, is a message of one, and shares
// a message with others when it is sent.
func appendRecord(dst []byte, events int, body string) []byte {
	return append(binary.AppendUvarint(dst, uint64(events)), body...)
}

// parseRecord reads what appendRecord wrote.
func parseRecord(record []byte) (events int, body []byte, err error) {
	n, size := binary.Uvarint(record)
	if size <= 0 || n == 0 || n > event.MaxBatchEvents || len(record) == size {
		return 0, nil, fmt.Errorf("a record of %d bytes is none of the publisher's", len(record))
	}
	return int(n), record[size:], nil
}

// disk is the log and what is known of it.
type disk struct {
	*spill.Log
	durable bool   // every event goes through it, and not only what memory can't hold
	prefix  []byte // what an event of this client has in front of it in its record
	bare    []byte // the same of a Raw one
	trouble atomic.Bool
}

// around is what stands in front of an event that is a message of its own; behind it stands
// batchEnd.
func around(h message.Header) []byte {
	whole := message.AppendJSON(nil, h)
	return whole[:len(whole)-len(batchEnd)]
}

const batchEnd = "]}"

func openDisk(config *Config, header, bare message.Header) (*disk, error) {
	log, err := spill.Open(spill.Options{Dir: config.Dir, MaxBytes: config.DiskBytes, Sync: config.Durability == Disk,
		Logger: config.Logger})
	if err != nil {
		return nil, &ConfigError{Field: "Dir", Err: err}
	}
	return &disk{Log: log, durable: config.Durability != Memory, prefix: around(header), bare: around(bare)}, nil
}

// write puts the event in the encoder on disk, on its caller's goroutine.
func (d *disk) write(e *encoder, bare bool) error {
	prefix := d.prefix
	if bare {
		prefix = d.bare
	}
	e.record = appendRecord(e.record[:0], 1, "")
	e.record = append(e.record, prefix...)
	e.record = append(e.record, e.buf...)
	e.record = append(e.record, batchEnd...)
	switch err := d.Append(e.record); {
	case err == nil:
		return nil
	case errors.Is(err, spill.ErrClosed):
		return ErrClosed
	case errors.Is(err, spill.ErrFull), errors.Is(err, syscall.ENOSPC):
		return ErrFull
	default:
		return &SendError{Err: err}
	}
}

// spill moves parcels from memory to disk, and returns those that have to stay. Nobody who enqueued
// waits for it.
func (c *Client) spill(parcels []*parcel) (left []*parcel) {
	var record []byte
	for _, p := range parcels {
		if p.waited() || p.records != nil {
			left = append(left, p)
			continue
		}
		record = appendRecord(record[:0], p.events, p.Body)
		if err := c.disk.Append(record); err != nil {
			left = append(left, p)
			if c.disk.trouble.CompareAndSwap(false, true) {
				c.log.Error("the disk takes no more events; they stay in memory, and are dropped when that is full", "dir",
					c.config.Dir, "error", err)
			}
			continue
		}
		c.disk.trouble.Store(false)
		c.counts.spilled.Add(int64(p.events))
	}
	return left
}

// sorter makes parcels of records. Events that are messages of their own are packed, those of one
// header together.
type sorter struct {
	c       *Client
	known   []*kind
	decoder *message.Decoder
	parcels []*parcel
}

// kind is the events of one header.
type kind struct {
	prefix  []byte
	packer  *message.Packer
	waiting *parcel
}

func (c *Client) newSorter() (*sorter, error) {
	decoder, err := message.NewDecoder()
	if err != nil {
		return nil, err
	}
	s := &sorter{c: c, decoder: decoder}
	s.kind(c.header)
	s.kind(c.bare)
	return s, nil
}

func (s *sorter) kind(h message.Header) *kind {
	k := &kind{prefix: around(h), packer: message.NewPacker(h, s.c.compressor), waiting: &parcel{}}
	s.known = append(s.known, k)
	return k
}

// add takes one record.
func (s *sorter) add(r spill.Record) {
	events, body, err := parseRecord(r.Data)
	if err != nil {
		s.c.log.Error("a record of the spill log can't be read and is left out", "dir", s.c.config.Dir, "error", err)
		s.c.counts.drop(Unreadable, 1)
		s.c.disk.Done(r)
		return
	}
	if k := s.find(events, body); k != nil {
		raw := body[len(k.prefix) : len(body)-len(batchEnd)]
		if !k.packer.Fits(len(raw)) || k.packer.Len() == s.c.config.MessageEvents {
			s.flush(k)
		}
		k.packer.Add(raw)
		k.waiting.records = append(k.waiting.records, r)
		return
	}
	m := message.New(string(body), events, event.FromServer)
	s.parcels = append(s.parcels, &parcel{Message: m, events: events, records: []spill.Record{r}})
}

// find is the kind of an event that is a message of its own, nil for any other message.
func (s *sorter) find(events int, body []byte) *kind {
	if events != 1 || body[0] != '{' {
		return nil
	}
	is := func(k *kind) bool {
		return bytes.HasPrefix(body, k.prefix) && bytes.HasSuffix(body, []byte(batchEnd)) &&
			len(body) > len(k.prefix)+len(batchEnd)
	}
	for _, k := range s.known {
		if is(k) {
			return k
		}
	}
	// An earlier process had another write key or context.
	var m message.Content
	if len(s.known) > 100 || s.decoder.Decode(body, &m) != nil || len(m.Events) != 1 {
		return nil
	}
	m.Context, m.Integrations = bytes.Clone(m.Context), bytes.Clone(m.Integrations)
	if k := s.kind(m.Header); is(k) {
		return k
	}
	s.known = s.known[:len(s.known)-1]
	return nil
}

func (s *sorter) flush(k *kind) {
	if k.packer.Len() > 0 {
		k.waiting.events = k.packer.Len()
		k.waiting.Message = k.packer.Pack()
		s.parcels = append(s.parcels, k.waiting)
		k.waiting = &parcel{}
	}
}

// take returns what was added, as messages.
func (s *sorter) take() []*parcel {
	for _, k := range s.known {
		s.flush(k)
	}
	parcels := s.parcels
	s.parcels = nil
	return parcels
}

const (
	readRecords = 256
	// replayRecords is how many messages are replayed at a time beside fresh events: one call.
	replayRecords = sqsclient.MaxEntries
	// lastRead is how long a record may take to be read when the client is closed.
	lastRead = 100 * time.Millisecond
)

// replay sends what is on disk: in the durable modes all events, otherwise what an earlier process
// or a queue that was away has left. When the client is closed it goes on until all is read, or
// until no queue takes anything: what is left then is safe where it is.
func (c *Client) replay(s *sorter) {
	defer s.decoder.Close()
	for {
		ended := c.drained.Err() != nil
		if c.ctx.Err() != nil || ended && (c.disk.Stats().Unread == 0 || c.away()) {
			return
		}
		parcels, events := c.gather(s, ended)
		switch {
		case len(parcels) == 0 && ended:
			return
		case len(parcels) == 0:
		case c.disk.durable:
			c.slots <- struct{}{}
			c.replaying.Go(func() {
				defer func() { <-c.slots }()
				c.deliver(parcels)
			})
		default: // beside fresh events: one call at a time, at a rate
			start := time.Now()
			c.deliver(parcels)
			wait := time.NewTimer(time.Duration(float64(events)/float64(c.config.ReplayRate)*float64(time.Second)) - time.Since(start))
			select {
			case <-wait.C:
			case <-c.drained.Done():
			}
			wait.Stop()
		}
	}
}

// gather reads records: a call's worth of messages, or in the durable modes events until there are
// enough for a sender or the interval behind the first is over.
func (c *Client) gather(s *sorter, ended bool) (parcels []*parcel, events int) {
	records := c.records[:replayRecords]
	if c.disk.durable {
		records = c.records
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	if ended {
		defer time.AfterFunc(lastRead, cancel).Stop()
	} else {
		defer context.AfterFunc(c.drained, cancel)()
	}
	for size := int64(0); ; {
		n, err := c.disk.Read(ctx, records)
		if size == 0 && n > 0 {
			defer time.AfterFunc(c.config.Interval, cancel).Stop()
		}
		for _, r := range records[:n] {
			size += int64(len(r.Data))
			s.add(r)
		}
		clear(records[:n])
		if err != nil || !c.disk.durable || size >= c.takeBytes {
			break
		}
	}
	parcels = s.take()
	for _, p := range parcels {
		events += p.events
	}
	return parcels, events
}

// away reports whether no queue takes anything.
func (c *Client) away() bool {
	for _, r := range c.routes {
		if !r.down.Load() {
			return false
		}
	}
	return true
}

// messages are the events of a parcel from the disk, for the callback: as analytics-go's types, or
// as Raw what does not fit them.
func (c *Client) messages(p *parcel) []analytics.Message {
	var m message.Content
	decoder, err := message.NewDecoder()
	if err == nil {
		defer decoder.Close()
		err = decoder.Decode([]byte(p.Body), &m)
	}
	if err != nil {
		c.log.Error("events that were on disk can't be read for the callback", "events", p.events, "error", err)
	}
	messages := make([]analytics.Message, len(m.Events))
	for i := range m.Events {
		messages[i] = decodeMessage(m.Events[i].Raw)
	}
	return messages
}

func decodeMessage(raw []byte) analytics.Message {
	var kind struct{ Type string }
	_ = json.Unmarshal(raw, &kind) // no type is no known type
	switch kind.Type {
	case "track":
		return decodeAs[analytics.Track](raw)
	case "identify":
		return decodeAs[analytics.Identify](raw)
	case "page":
		return decodeAs[analytics.Page](raw)
	case "screen":
		return decodeAs[analytics.Screen](raw)
	case "group":
		return decodeAs[analytics.Group](raw)
	case "alias":
		return decodeAs[analytics.Alias](raw)
	}
	return Raw{bytes.Clone(raw)}
}

func decodeAs[T analytics.Message](raw []byte) analytics.Message {
	var m T
	if json.Unmarshal(raw, &m) != nil {
		return Raw{bytes.Clone(raw)}
	}
	return m
}
