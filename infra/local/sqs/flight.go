package sqs

import (
	"container/heap"
	"sync/atomic"
)

// flight is a message in flight: received, and neither deleted nor visible again. It is also what
// memory has of a message that has become visible again.
type flight struct {
	place       place        // of its v key
	tally       tally        // with this receive
	storedCount uint64       // the receive count in the v key
	nonce       uint64       // which receive this is; 0: not known
	received    int64        // when, Unix milliseconds
	deadline    int64        // when its visibility timeout ends, Unix milliseconds
	index       int          // in the heap
	size        atomic.Int64 // bytes of the message; 0: not read
	atOnce      bool         // its visibility timeout is 0
	moving      bool         // taken to be moved to another queue, not for a client
}

// receivedBy reports whether h is the handle of the message's last receive.
func (f *flight) receivedBy(h handle) bool {
	return f.nonce == h.nonce || f.nonce == 0 && f.tally.count == h.count
}

// bytes is about what the message takes on disk.
func (f *flight) bytes() int64 {
	if f == nil {
		return unknownBytes
	}
	return max(f.size.Load(), unknownBytes)
}

func (f *flight) handle(queue uint32) handle {
	return handle{queue: queue, place: f.place, count: f.tally.count, nonce: f.nonce}
}

// flights are messages by seq and by deadline: those in flight, or those that are visible again in
// the places that they had, whose deadline is then the time in their place.
type flights struct {
	bySeq  map[uint64]*flight
	byTime deadlines
}

func (fs *flights) len() int { return len(fs.byTime) }

func (fs *flights) add(f *flight) {
	if fs.bySeq == nil {
		fs.bySeq = map[uint64]*flight{}
	}
	fs.bySeq[f.place.seq] = f
	heap.Push(&fs.byTime, f)
}

// has reports whether f itself is in the table.
func (fs *flights) has(f *flight) bool { return fs.bySeq[f.place.seq] == f }

func (fs *flights) remove(f *flight) {
	delete(fs.bySeq, f.place.seq)
	heap.Remove(&fs.byTime, f.index)
}

// first returns the one with the earliest deadline. There must be one.
func (fs *flights) first() *flight { return fs.byTime[0] }

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
