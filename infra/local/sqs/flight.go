package sqs

import (
	"container/heap"
	"sync/atomic"
)

// flight is a message in flight: received, and neither deleted nor visible again.
type flight struct {
	place       place  // of its v key, which does not change
	storedCount uint64 // the receive count in the v key
	count       uint64 // with this receive
	first       int64  // when it was received first, Unix milliseconds
	events      int64
	nonce       uint64       // which receive this is
	received    int64        // when, Unix milliseconds
	deadline    int64        // when its visibility timeout ends, Unix milliseconds
	index       int          // in the heap
	size        atomic.Int64 // bytes of the message; 0: not read
}

// bytes is about what the message takes on disk.
func (f *flight) bytes() int64 {
	if f == nil {
		return unknownBytes
	}
	return max(f.size.Load(), unknownBytes)
}

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
	fs.bySeq[f.place.seq] = f
	heap.Push(&fs.byTime, f)
}

// has reports whether f itself is in the table.
func (fs *flights) has(f *flight) bool { return fs.bySeq[f.place.seq] == f }

func (fs *flights) remove(f *flight) {
	delete(fs.bySeq, f.place.seq)
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

func (fs *flights) clear() { *fs = flights{} }

type deadlines []*flight

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].deadline < d[j].deadline }
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
