package sqs

import (
	"cmp"
	"math"

	"github.com/tidwall/btree"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
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

func placeOf(m *store.Message) place { return place{m.At, m.Sent, m.Seq} }

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.sent, o.sent), cmp.Compare(p.seq, o.seq))
}

// index has a queue's messages in two orders. Its caller holds the backlog's mu.
type index struct {
	bySent  *btree.BTreeG[*store.Message] // all, by when they were sent
	waiting *waiting                      // those that are not in flight

	followers followers
}

func newIndex(f Fairness) index {
	return index{
		bySent: btree.NewBTreeGOptions(func(a, b *store.Message) bool {
			return a.Sent < b.Sent || a.Sent == b.Sent && a.Seq < b.Seq
		}, btree.Options{NoLocks: true}),
		waiting: newWaiting(f),
	}
}

func (x *index) add(m *store.Message) {
	x.bySent.Set(m)
	x.waiting.add(m)
	x.followers.add(m)
}

// remove takes a message out, in flight or not.
func (x *index) remove(m *store.Message) {
	x.bySent.Delete(m)
	x.waiting.remove(m)
	x.followers.remove(m)
}

// find returns the message that was sent then, or nil.
func (x *index) find(sent int64, seq uint64) *store.Message {
	m, _ := x.bySent.Get(&store.Message{Sent: sent, Seq: seq})
	return m
}

// due is when the next message becomes visible that is not in flight.
func (x *index) due(now int64) int64 {
	m := x.waiting.first()
	switch {
	case m == nil:
		return never
	case visible(m, now):
		return now
	}
	return m.At
}

// visible reports whether a message that is not in flight can be received. One without a delay that
// was sent later than now was sent when the clock was ahead: it does not wait for that time.
func visible(m *store.Message, now int64) bool {
	return m.At <= now || m.At == m.Sent || m.At > now+maxDelay*1000
}
