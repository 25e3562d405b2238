package replay

import (
	"crypto/sha256"

	"github.com/spillwayhq/spillway/shared/archive"
)

// An identity is what makes two records the same event: its write key and its bytes, which have its
// messageId and timestamp. Segment drops a repeated messageId only within a day, so an event with
// the same messageId and other bytes is another event.
type identity [16]byte

// identityOf returns a record's identity; outcome says whether two outcomes make two identities.
func identityOf(r *archive.Record, outcome bool) (id identity) {
	h := sha256.New()
	write := func(text string) {
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	write(r.WriteKey)
	if outcome {
		write(r.Outcome + r.Reason)
	}
	h.Write(r.Event)
	copy(id[:], h.Sum(nil))
	return id
}

// maxRemembered bounds the identities of one generation of doubles: two of them take 290 MB.
const maxRemembered = 4 << 20

// doubles remembers which events were there already: at least the last maxRemembered different
// ones, and at most twice as many. Two records of one event are minutes apart as a rule, and days
// if it was a dead letter in between. A double that is further away is sent again with its
// messageId, and Segment drops it.
type doubles struct {
	below        *doubles // what was there before; nil: nothing. It is only read.
	fresh, older map[identity]struct{}
	limit        int
}

func newDoubles(below *doubles) *doubles {
	return &doubles{below: below, fresh: map[identity]struct{}{}, limit: maxRemembered}
}

// has reports whether an event was there.
func (d *doubles) has(id identity) bool {
	if _, ok := d.fresh[id]; ok {
		return true
	}
	if _, ok := d.older[id]; ok {
		return true
	}
	return d.below != nil && d.below.has(id)
}

// add reports whether an event is new, and remembers it.
func (d *doubles) add(id identity) bool {
	if d.has(id) {
		return false
	}
	if len(d.fresh) >= d.limit {
		d.older, d.fresh = d.fresh, make(map[identity]struct{}, d.limit)
	}
	d.fresh[id] = struct{}{}
	return true
}
