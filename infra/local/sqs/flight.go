package sqs

import (
	"container/heap"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// flight is a message in flight: received, and neither deleted nor visible again.
type flight struct {
	message  *store.Message
	place    place  // of the message at the receive
	count    uint64 // with this receive
	first    int64  // when it was received first, Unix milliseconds
	nonce    uint64 // which receive this is; 0: not known
	received int64  // when, Unix milliseconds
	deadline int64  // when its visibility timeout ends, Unix milliseconds
	index    int    // in the heap
	atOnce   bool   // its visibility timeout is 0
	moving   bool   // taken to be moved to another queue, not for a client
}

// receivedBy reports whether h is the handle of the message's last receive.
func (f *flight) receivedBy(h handle) bool {
	return f.nonce == h.nonce || f.nonce == 0 && f.count == h.count
}

// receives is how often the message was received in its queue.
func (f *flight) receives() uint64 { return f.count - min(uint64(f.message.Before), f.count) }

func (f *flight) handle(queue uint32) handle {
	return handle{queue: queue, place: f.place, count: f.count, nonce: f.nonce}
}

// flights are the messages in flight, by seq and by the end of their visibility timeout.
type flights struct {
	bySeq  map[uint64]*flight
	byTime deadlines
}

func (fs *flights) len() int { return len(fs.byTime) }

func (fs *flights) add(f *flight) {
	if fs.bySeq == nil {
		fs.bySeq = map[uint64]*flight{}
	}
	fs.bySeq[f.message.Seq] = f
	heap.Push(&fs.byTime, f)
}

// has reports whether f itself is in the table.
func (fs *flights) has(f *flight) bool { return fs.bySeq[f.message.Seq] == f }

func (fs *flights) remove(f *flight) {
	delete(fs.bySeq, f.message.Seq)
	heap.Remove(&fs.byTime, f.index)
}

func (fs *flights) postpone(f *flight, deadline int64) {
	f.deadline = deadline
	heap.Fix(&fs.byTime, f.index)
}

// due is when the next visibility timeout ends.
func (fs *flights) due() int64 {
	if len(fs.byTime) == 0 {
		return never
	}
	return fs.byTime[0].deadline
}

// ended counts the visibility timeouts that have ended now, up to most.
func (fs *flights) ended(now int64, most int) int { return fs.byTime.ended(0, now, most) }

func (fs *flights) clear() { *fs = flights{} }

type deadlines []*flight

func (d deadlines) Len() int { return len(d) }
func (d deadlines) Less(i, j int) bool {
	if d[i].deadline != d[j].deadline {
		return d[i].deadline < d[j].deadline
	}
	return d[i].place.compare(d[j].place) < 0
}
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// ended counts in the part of the heap below i. A flight ends no earlier than the one above it, so
// only those that have ended are looked at, and their neighbours.
func (d deadlines) ended(i int, now int64, most int) int {
	if most == 0 || i >= len(d) || d[i].deadline > now {
		return 0
	}
	n := 1 + d.ended(2*i+1, now, most-1)
	return n + d.ended(2*i+2, now, most-n)
}

func (d *deadlines) Push(x any) {
	f := x.(*flight)
	f.index = len(*d)
	*d = append(*d, f)
}

func (d *deadlines) Pop() any {
	old := *d
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return f
}
