package sqs

import "container/heap"

// delayStep is the resolution of delays in milliseconds, rounded up, so that counting delayed messages
// takes at most 9,000 counters, however many messages there are.
const delayStep = 100

// delayed counts the delayed messages by the end of their delay.
type delayed struct {
	total  int64
	counts map[int64]int64
	times  timeHeap
}

func (d *delayed) add(at, n int64) {
	if d.counts == nil {
		d.counts = map[int64]int64{}
	}
	if _, ok := d.counts[at]; !ok {
		heap.Push(&d.times, at)
	}
	d.counts[at] += n
	d.total += n
}

// remove subtracts a message that was deleted while it was delayed.
func (d *delayed) remove(at int64) {
	if d.counts[at] > 0 {
		d.counts[at]--
		d.total--
	}
}

// advance drops the messages whose delay has ended at now, and returns how many are still delayed.
func (d *delayed) advance(now int64) int64 {
	for len(d.times) > 0 && d.times[0] <= now {
		at := heap.Pop(&d.times).(int64)
		d.total -= d.counts[at]
		delete(d.counts, at)
	}
	return d.total
}

func (d *delayed) clear() { *d = delayed{} }

type timeHeap []int64

func (h timeHeap) Len() int           { return len(h) }
func (h timeHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h timeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timeHeap) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *timeHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
