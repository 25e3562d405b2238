package segmentd

import (
	"slices"
	"strings"
	"time"
)

// maxRingOrigins limits the bytes of batch-level context that the ring references. A thousand events
// alone in batches with half a megabyte of context would otherwise take 500 MB; the ring drops its
// oldest events before that.
const maxRingOrigins = 64 << 20

// Query selects events. The zero value selects every event of the ring.
type Query struct {
	// Limit is how many of the latest matches to return; 0 or less means all.
	Limit int
	// MessageID and WriteKey, if not empty, must be equal to the event's.
	MessageID, WriteKey string
}

// origin is what the events of a request share. It owns its strings.
type origin struct {
	path, writeKey, sentAt string
	context, integrations  string
	refs                   int // how many slots of the ring point here
}

func (o *origin) size() int { return len(o.context) + len(o.integrations) }

func (o *origin) received(raw, messageID, writeKey, sentAt string, at time.Time) Received {
	return Received{
		WriteKey:     strings.Clone(writeKey),
		Path:         o.path,
		MessageID:    strings.Clone(messageID),
		Raw:          []byte(raw),
		At:           at,
		SentAt:       strings.Clone(first(o.sentAt, sentAt)),
		context:      o.context,
		integrations: o.integrations,
	}
}

// slot is an event of the ring. The next event in the slot reuses its buffers, so that adding one
// costs a copy and no allocation.
type slot struct {
	raw, messageID, writeKey, sentAt []byte
	at                               time.Time
	origin                           *origin
}

// ring holds the last events, up to limit of them.
type ring struct {
	limit   int
	slots   []slot // grows to limit, then is used in a circle
	start   int    // the oldest
	n       int
	origins int // bytes of the origins that slots point to
}

func (r *ring) add(e *event, o *origin, at time.Time) {
	if r.limit == 0 {
		return
	}
	if r.n == r.limit {
		r.drop()
	}
	for r.n > 0 && o.refs == 0 && r.origins+o.size() > maxRingOrigins {
		r.drop()
	}
	i := (r.start + r.n) % r.limit
	if i == len(r.slots) {
		r.slots = append(r.slots, slot{})
	}
	s := &r.slots[i]
	s.raw = append(s.raw[:0], e.raw...)
	s.messageID = append(s.messageID[:0], e.messageID...)
	s.writeKey = append(s.writeKey[:0], e.writeKey...)
	s.sentAt = append(s.sentAt[:0], e.sentAt...)
	s.at, s.origin = at, o
	if o.refs == 0 {
		r.origins += o.size()
	}
	o.refs++
	r.n++
}

// drop forgets the oldest event.
func (r *ring) drop() {
	s := &r.slots[r.start]
	if s.origin.refs--; s.origin.refs == 0 {
		r.origins -= s.origin.size()
	}
	s.origin = nil
	r.start = (r.start + 1) % r.limit
	r.n--
}

// find returns copies of the latest matches, oldest first.
func (r *ring) find(q Query) []Received {
	var out []Received
	for k := r.n - 1; k >= 0 && (q.Limit <= 0 || len(out) < q.Limit); k-- {
		s := &r.slots[(r.start+k)%r.limit]
		if q.MessageID != "" && q.MessageID != string(s.messageID) || q.WriteKey != "" && q.WriteKey != string(s.writeKey) {
			continue
		}
		out = append(out, s.origin.received(string(s.raw), string(s.messageID), string(s.writeKey), string(s.sentAt), s.at))
	}
	slices.Reverse(out)
	return out
}
