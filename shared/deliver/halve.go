package deliver

import (
	"errors"
	"sync"

	"github.com/spillwayhq/spillway/shared/segment"
)

// span is a run of a batch's events.
type span struct{ from, to int }

// halving is the search for the events that Segment refuses. Both halves of what was refused are
// sent at the same time where a place among the batches under way is free, one after the other
// where none is.
type halving struct {
	r      *run
	b      *batch
	beside sync.WaitGroup

	mu       sync.Mutex
	verdicts map[int]*segment.Error // of the culprits
	stop     *segment.Error         // why the search ended early
	left     []span                 // what it did not get to
}

// halve settles all events of a batch that was refused. More than MaxCulprits are not the events'
// fault: then they stay, and the error says so.
func (r *run) halve(b *batch) *segment.Error {
	h := &halving{r: r, b: b, verdicts: map[int]*segment.Error{}}
	h.halves(span{0, len(b.Events)})
	h.beside.Wait()
	for i, err := range h.verdicts {
		r.settle(b, i, i+1, err)
	}
	for _, s := range h.left {
		r.settle(b, s.from, s.to, h.stop)
	}
	return h.stop
}

func (h *halving) halves(s span) {
	middle := (s.from + s.to) / 2
	if h.r.tryAcquire() {
		h.beside.Go(func() {
			defer h.r.release()
			h.find(span{middle, s.to})
		})
		h.find(span{s.from, middle})
		return
	}
	h.find(span{s.from, middle})
	h.find(span{middle, s.to})
}

func (h *halving) find(s span) {
	if h.stopped(s) {
		return
	}
	err := h.r.send(h.b, s.from, s.to)
	switch {
	case err == nil:
		h.r.settle(h.b, s.from, s.to, nil)
	case !policies[err.Class].Bisect:
		h.end(s, err)
	case s.to-s.from > 1:
		h.halves(s)
	default:
		h.convict(s, err)
	}
}

// stopped leaves s when the search has ended.
func (h *halving) stopped(s span) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop == nil {
		return false
	}
	h.left = append(h.left, s)
	return true
}

// end stops the search with s left; the first reason counts.
func (h *halving) end(s span, err *segment.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = append(h.left, s)
	if h.stop == nil {
		h.stop = err
	}
}

// convict notes that Segment refuses an event that stands alone. One too many acquits them all.
func (h *halving) convict(s span, err *segment.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.verdicts) < MaxRejected && !h.acquitted() {
		h.verdicts[s.from] = err
		return
	}
	h.left = append(h.left, s)
	for i := range h.verdicts {
		h.left = append(h.left, span{i, i + 1})
	}
	clear(h.verdicts)
	h.stop = &segment.Error{Class: segment.Misconfigured, Status: err.Status, Detail: err.Detail, Err: errTooMany}
}

// acquitted is called under mu.
func (h *halving) acquitted() bool { return h.stop != nil && h.stop.Err == errTooMany }

var errTooMany = errors.New("more events of one batch refused than can be the events' fault")
