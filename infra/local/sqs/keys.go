package sqs

import (
	"cmp"
	"encoding/binary"
	"math"
)

// The first byte of a key is its kind.
const (
	kindMessage  = 'm'
	kindVisible  = 'v'
	kindReturned = 's'
	kindQueue    = 'q'
	kindTask     = 't'
)

// never is a time after every other, in milliseconds.
const never = math.MaxInt64

// place is a message's place in the order in which a queue's messages are received. Times are Unix
// milliseconds.
type place struct {
	at   int64  // visible from then on
	sent int64  // when it was sent
	seq  uint64 // unique in the store
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.sent, o.sent), cmp.Compare(p.seq, o.seq))
}

// next is the smallest place after p.
func (p place) next() place {
	p.seq++ // can't overflow: seq starts with the time in nanoseconds
	return p
}

func appendPrefix(b []byte, kind byte, queue uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), queue)
}

func messageKey(queue uint32, sent int64, seq uint64) []byte {
	b := appendPrefix(make([]byte, 0, 21), kindMessage, queue)
	b = binary.BigEndian.AppendUint64(b, uint64(sent))
	return binary.BigEndian.AppendUint64(b, seq)
}

func visibleKey(queue uint32, p place) []byte {
	b := appendPrefix(make([]byte, 0, 29), kindVisible, queue)
	b = binary.BigEndian.AppendUint64(b, uint64(p.at))
	b = binary.BigEndian.AppendUint64(b, uint64(p.sent))
	return binary.BigEndian.AppendUint64(b, p.seq)
}

func returnedKey(queue uint32, seq uint64) []byte {
	b := appendPrefix(make([]byte, 0, 13), kindReturned, queue)
	return binary.BigEndian.AppendUint64(b, seq)
}

// keyRange returns the bounds of the keys of one kind in one queue.
func keyRange(kind byte, queue uint32) (low, high []byte) {
	return appendPrefix(nil, kind, queue), appendPrefix(nil, kind, queue+1)
}

// parseVisibleKey reads what visibleKey wrote.
func parseVisibleKey(k []byte) (place, bool) {
	if len(k) != 29 || k[0] != kindVisible {
		return place{}, false
	}
	return place{
		at:   int64(binary.BigEndian.Uint64(k[5:])),
		sent: int64(binary.BigEndian.Uint64(k[13:])),
		seq:  binary.BigEndian.Uint64(k[21:]),
	}, true
}

// parseMessageKey reads what messageKey wrote.
func parseMessageKey(k []byte) (sent int64, seq uint64, ok bool) {
	if len(k) != 21 || k[0] != kindMessage {
		return 0, 0, false
	}
	return int64(binary.BigEndian.Uint64(k[5:])), binary.BigEndian.Uint64(k[13:]), true
}

// tally is the value of a v key: what the counters and the walk need to know of a message.
type tally struct {
	count  uint64 // how often it was received, in all queues
	first  int64  // when first, Unix milliseconds; 0: never
	events int64  // how many events it carries
	before uint64 // how often it was received before it came to this queue, as a dead letter
}

// receives is how often the message was received in its queue.
func (t tally) receives() uint64 { return t.count - min(t.before, t.count) }

func (t tally) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 12), t.count)
	b = binary.AppendUvarint(b, uint64(t.first))
	b = binary.AppendUvarint(b, uint64(t.events))
	if t.before > 0 {
		b = binary.AppendUvarint(b, t.before)
	}
	return b
}

func parseTally(b []byte) (t tally, ok bool) {
	var vs [4]uint64
	for i := range vs {
		if i == 3 && len(b) == 0 {
			break // it was sent to this queue, or an earlier version moved it here
		}
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return tally{}, false
		}
		vs[i], b = v, b[n:]
	}
	return tally{count: vs[0], first: int64(vs[1]), events: int64(vs[2]), before: vs[3]}, true
}

// encodeReturned returns the value of an s key: the time in the v key of a message that was received
// before, and its receive count.
func encodeReturned(at int64, count uint64) []byte {
	return binary.AppendUvarint(binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(at)), count)
}

func parseReturned(b []byte) (at int64, count uint64, ok bool) {
	if len(b) < 9 {
		return 0, 0, false
	}
	count, n := binary.Uvarint(b[8:])
	return int64(binary.BigEndian.Uint64(b)), count, n > 0
}
