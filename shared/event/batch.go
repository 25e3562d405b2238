package event

import (
	"io"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Batch is what one request to Segment holds. The events' bytes and those of Context and
// Integrations go out as they are.
type Batch struct {
	WriteKey     string
	Origin       Origin
	Context      []byte // JSON object, merged by Segment into every event; nil: none
	Integrations []byte // the same
	Events       [][]byte
}

// Overhead is the size in bytes of what stands around a batch's events in a request's JSON.
func Overhead(writeKey string, context, integrations []byte) int {
	b := Batch{WriteKey: writeKey, Context: context, Integrations: integrations}
	return len(b.appendHead(nil, time.Time{})) + len(tail)
}

// Room is how many bytes of events, with a comma for each, a batch with this overhead may hold; 0
// or less when not even one event of the largest size fits.
func Room(overhead int) int {
	room := min(MaxBatchBytes, MaxBodyBytes-overhead)
	if room < MaxEventBytes+1 {
		return 0
	}
	return room
}

const tail = "]}"

// appendHead appends all that stands in front of the first event. sentAt must be that of the
// attempt: Segment computes an event's time from it, so an old one moves the event by as long as it
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

// body streams a batch's JSON without putting it together in memory: an invocation flushes several
// batches at a time, and a copy of each would be most of what it holds.
type body struct {
	head  []byte
	batch *Batch
	part  []byte // what is left of the piece under way
	next  int    // 0: the head, 1..n: the events, n+1: the tail
	comma bool
}

// NewReader returns the batch as the JSON of a request to Segment, and its size in bytes. The
// events are not copied: they must stay unchanged while the reader is read. Each reader is for one
// goroutine.
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
