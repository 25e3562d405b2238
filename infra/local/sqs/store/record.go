package store

import (
	"encoding/binary"
	"errors"
)

// Message is a stored message: what its queue has to know of it without reading it. Its content is
// on disk. A Message takes 80 bytes.
//
// At, First and Count change in Update only; a reader needs the lock of whoever calls it.
type Message struct {
	At    int64  // visible from then on, Unix milliseconds
	Sent  int64  // Unix milliseconds
	First int64  // when it was received first, Unix milliseconds; 0: never
	Seq   uint64 // unique in the store
	Queue uint32 // the queue's id
	Count uint32 // how often it was received
	// Before is how often of Count it was received before it came to this queue, as a dead letter.
	Before uint32
	// Events is how many events it carries.
	Events uint32
	// Group is the caller's: messages with the same have something in common. It is not stored, see
	// Options.Group.
	Group uint32

	// Where it is; guarded by the log's mu.
	index   uint32 // in the segment's messages
	offset  uint32 // of its frame
	size    uint32 // of its frame
	segment *segment
	changed bool // by an update after its frame
}

// The kinds of operations in a frame.
const (
	opPut    = 'p' // number, queue, sent, seq, at, first, count, before, events, content
	opDelete = 'd' // number
	opUpdate = 'u' // number, at, first, count
	opClear  = 'c' // queue: all of its messages before
	opState  = 's' // key, value
	opForget = 'f' // key
	opBegin  = 'b' // the segment's number; number and first message of the oldest one
	opOldest = 'o' // number and first message of the oldest segment
)

func appendPut(b []byte, number uint64, m *Message, content []byte) []byte {
	b = append(b, opPut)
	for _, v := range [...]uint64{number, uint64(m.Queue), uint64(m.Sent), m.Seq, uint64(m.At), uint64(m.First),
		uint64(m.Count), uint64(m.Before), uint64(m.Events)} {
		b = binary.AppendUvarint(b, v)
	}
	return appendBytes(b, content)
}

func appendOp(b []byte, kind byte, values ...uint64) []byte {
	b = append(b, kind)
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func appendState(b []byte, key string, value []byte) []byte {
	if value == nil {
		return appendBytes(append(b, opForget), []byte(key))
	}
	return appendBytes(appendBytes(append(b, opState), []byte(key)), value)
}

func appendBytes(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

// op is an operation as it was read.
type op struct {
	kind   byte
	values [3]uint64 // of the kinds with numbers
	number uint64    // of a message
	m      Message   // of opPut and opUpdate
	key    string
	value  []byte // state or content; aliases what was parsed
}

var errFormat = errors.New("a frame has an operation that this version does not know")

// parseOps calls f for each operation in a frame's data, which must not keep it.
func parseOps(data []byte, f func(*op)) error {
	r := opReader{rest: data}
	var o op // one for all: f makes it escape to the heap
	for len(r.rest) > 0 {
		o = op{kind: r.rest[0]}
		r.rest = r.rest[1:]
		switch o.kind {
		case opPut:
			o.number = r.uvarint()
			o.m.Queue, o.m.Sent, o.m.Seq = uint32(r.uvarint()), int64(r.uvarint()), r.uvarint()
			o.m.At, o.m.First = int64(r.uvarint()), int64(r.uvarint())
			o.m.Count, o.m.Before, o.m.Events = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
			o.value = r.bytes()
		case opDelete:
			o.number = r.uvarint()
		case opUpdate:
			o.number = r.uvarint()
			o.m.At, o.m.First, o.m.Count = int64(r.uvarint()), int64(r.uvarint()), uint32(r.uvarint())
		case opState:
			o.key, o.value = string(r.bytes()), r.bytes()
		case opForget:
			o.key = string(r.bytes())
		case opClear:
			o.values[0] = r.uvarint()
		case opOldest:
			o.values[0], o.values[1] = r.uvarint(), r.uvarint()
		case opBegin:
			o.values[0], o.values[1], o.values[2] = r.uvarint(), r.uvarint(), r.uvarint()
		default:
			return errFormat
		}
		if r.bad {
			return errFormat
		}
		f(&o)
	}
	return nil
}

type opReader struct {
	rest []byte
	bad  bool
}

func (r *opReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *opReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
