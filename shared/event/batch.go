package event

import (
	"io"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Batch is the content of one request to Segment. The bytes of Events, Context and Integrations
// are sent as they are; each must be valid JSON.
type Batch struct {
	WriteKey     string
	Origin       Origin
	Context      []byte // JSON object, merged by Segment into every event; nil: none
	Integrations []byte // the same
	Events       [][]byte
}

// Overhead returns the size in bytes of a request's JSON without its events. context and
// integrations are JSON objects, nil for none.
func Overhead(writeKey string, context, integrations []byte) int {
	b := Batch{WriteKey: writeKey, Context: context, Integrations: integrations}
	return len(b.appendHead(nil, time.Time{})) + len(tail)
}

// Room returns how many bytes of events, with a comma for each, a batch with this overhead may
// hold; 0 when it could not hold an event of [MaxEventBytes].
func Room(overhead int) int {
	room := min(MaxBatchBytes, MaxBodyBytes-overhead)
	if room < MaxEventBytes+1 {
		return 0
	}
	return room
}

const tail = "]}"

// appendHead appends everything before the first event. sentAt must be the time of this attempt:
// Segment computes an event's time from it, so an old one would shift the event by the time it
// waited in the queue.
func (b *Batch) appendHead(dst []byte, sentAt time.Time) []byte {
	dst = append(dst, `{"sentAt":"`...)
	dst = sentAt.UTC().AppendFormat(dst, TimeFormat)
	dst = append(dst, `","writeKey":`...)
	dst = rawjson.AppendQuoted(dst, b.WriteKey)
	if len(b.Context) > 0 {
		dst = append(dst, `,"context":`...)
		dst = append(dst, b.Context...)
	}
	if len(b.Integrations) > 0 {
		dst = append(dst, `,"integrations":`...)
		dst = append(dst, b.Integrations...)
	}
	return append(dst, `,"batch":[`...)
}

// body streams a batch's JSON without joining it in memory: an invocation flushes several batches
// at a time, and a copy of each would be most of its memory.
type body struct {
	head  []byte
	batch *Batch
	part  []byte // what is left of the current piece
	next  int    // 0: the head, 1..n: the events, n+1: the tail
	comma bool
}

// NewReader returns a reader of the batch as the JSON of a request to Segment, and its size in
// bytes. sentAt is the time of the attempt. The reader does not copy the events, so they must not
// change while it is read. Readers of one batch may be used concurrently, each by one goroutine. A
// reader returns no error but io.EOF.
func (b *Batch) NewReader(sentAt time.Time) (r io.Reader, size int64) {
	whole := &body{batch: b, head: b.appendHead(nil, sentAt)}
	size = int64(len(whole.head) + len(tail) + max(0, len(b.Events)-1))
	for _, e := range b.Events {
		size += int64(len(e))
	}
	whole.part = whole.head
	return whole, size
}

func (r *body) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.part) == 0 && !r.advance() {
			if n == 0 {
				return 0, io.EOF
			}
			break
		}
		if r.comma {
			p[n] = ','
			n++
			r.comma = false
			continue
		}
		c := copy(p[n:], r.part)
		r.part = r.part[c:]
		n += c
	}
	return n, nil
}

func (r *body) advance() bool {
	events := r.batch.Events
	r.next++
	switch {
	case r.next <= len(events):
		r.part = events[r.next-1]
		r.comma = r.next > 1
	case r.next == len(events)+1:
		r.part = []byte(tail)
	default:
		r.next = len(events) + 2
		return false
	}
	return true
}
