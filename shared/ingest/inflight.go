package ingest

import "sync"

// inFlight counts the requests whose body has arrived and that have not been answered.
type inFlight struct {
	limit    int
	draining chan struct{} // closed when no more are taken
	idle     chan struct{} // closed when draining and none is left

	mu    sync.Mutex
	count int
}

func newInFlight(limit int) inFlight {
	return inFlight{limit: limit, draining: make(chan struct{}), idle: make(chan struct{})}
}

// refuse returns why a request is refused now, or nil. It is called before the body is read.
func (f *inFlight) refuse() *refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refuseLocked()
}

func (f *inFlight) refuseLocked() *refusal {
	switch {
	case f.isDraining():
		return refusalShutdown
	case f.count >= f.limit:
		return refusalOverloaded
	}
	return nil
}

// enter counts a request in, unless it is refused.
func (f *inFlight) enter() *refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	refused := f.refuseLocked()
	if refused == nil {
		f.count++
	}
	return refused
}

func (f *inFlight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count--; f.count == 0 && f.isDraining() {
		close(f.idle)
	}
}

func (f *inFlight) isDraining() bool {
	select {
	case <-f.draining:
		return true
	default:
		return false
	}
}

// drain refuses all requests from now on.
func (f *inFlight) drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDraining() {
		return
	}
	close(f.draining)
	if f.count == 0 {
		close(f.idle)
	}
}
