package sqs

import (
	"container/heap"
	"sync/atomic"
)

// flight is a message that was handed out and neither deleted nor returned.
type flight struct {
	place    place  // of its v key, which stays where it is
	stored   uint64 // the receive count that the v key has
	count    uint64 // with this receive
	first    int64  // when it was received first, Unix milliseconds
	events   int64
	nonce    uint64       // which receive this is
	received int64        // when, Unix milliseconds
	deadline int64        // when it comes back, Unix milliseconds
	index    int          // in the heap
	size     atomic.Int64 // bytes of the message; 0: it was not read
}

// bytes is what the message takes on disk, more or less.
func (f *flight) bytes() int64 {
	if f == nil {
		return unknownBytes
	}
	return max(f.size.Load(), unknownBytes)
}

func (f *flight) handle(queue uint32) handle {
	return handle{queue: queue, place: f.place, count: f.count, nonce: f.nonce}
}

// flights is the table of messages in flight, and which comes back next.
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

// due is when the next message comes back.
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
