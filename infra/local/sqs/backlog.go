package sqs

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// backlog holds the messages of a queue, those in flight, and the long polls that wait for
// messages. It is safe for concurrent use.
//
// Operations with several phases have types of their own: poll and walk (receive.go), removal
// (remove.go).
type backlog struct {
	s        *Server
	name     string // of the queue, for errors
	id       uint32 // of the queue, in the store
	settings atomic.Pointer[settings]

	// adding is held for reading while messages are being added, so that a purge, which holds it
	// for writing, knows what it removes.
	adding sync.RWMutex

	mu      sync.Mutex // guards what follows
	gone    bool       // the queue was deleted
	index   index
	flights flights
	waiters waiters
	unread  time.Time // when it was last logged that messages can't be read
	unmoved time.Time // the same for dead letters that can't be moved
	counters
}

// counters count a queue's messages.
type counters struct {
	total   int64 // on disk
	events  int64
	delayed delayed

	sent, received, deleted   int64 // since the server was opened
	sentEvents, deletedEvents int64
	expired, expiredEvents    int64
	lost                      int64 // damaged on disk
}

// counts returns how many messages are visible, in flight and delayed. inFlight is how many of them
// are in flight.
func (c *counters) counts(now int64, inFlight int) (visible, flying, delayed int64) {
	delayed = c.delayed.advance(now)
	return max(0, c.total-int64(inFlight)-delayed), int64(inFlight), delayed
}

// found counts a message that is there.
func (c *counters) found(m *store.Message, now int64) {
	c.total++
	c.events += int64(m.Events)
	if m.At > now {
		c.delayed.add(m.At, 1)
	}
}

// added counts a new message. A dead letter that SQS moved here by itself does not count as sent.
func (c *counters) added(m *store.Message, deadLetter bool, now int64) {
	c.found(m, now)
	if !deadLetter {
		c.sent++
		c.sentEvents += int64(m.Events)
	}
}

func (c *counters) removed(m *store.Message, now int64) {
	c.total--
	c.events -= int64(m.Events)
	if m.At > now {
		c.delayed.remove(m.At)
	}
}

// fly puts a message in flight. One that only moves to another queue takes no consumer's time.
func (q *backlog) fly(f *flight, now int64) {
	q.flights.add(f)
	if !f.moving {
		q.index.waiting.took(f.message, now)
	}
}

// land ends it.
func (q *backlog) land(f *flight, now int64) {
	q.flights.remove(f)
	if !f.moving {
		q.index.waiting.ended(f.message, f.received, now)
	}
}

// waiter is a long poll that found nothing.
type waiter struct{ wake chan struct{} }

// waiters are the long polls of a queue, the oldest first.
type waiters []*waiter

func (ws *waiters) add() *waiter {
	w := &waiter{wake: make(chan struct{}, 1)}
	*ws = append(*ws, w)
	return w
}

func (ws *waiters) remove(w *waiter) {
	for i, o := range *ws {
		if o == w {
			*ws = append((*ws)[:i], (*ws)[i+1:]...)
			return
		}
	}
}

// wake ends the wait of up to n long polls, the oldest first.
func (ws *waiters) wake(n int) {
	n = min(n, len(*ws))
	for _, w := range (*ws)[:n] {
		w.wake <- struct{}{} // never blocks: a waiter is woken once
	}
	*ws = append((*ws)[:0], (*ws)[n:]...)
}

// clear deletes every message durably, and a value of the store's state if key is not empty. The
// caller holds adding and mu.
func (q *backlog) clear(key string) error {
	if err := q.s.store.Clear(q.id, q.index.bySent.Items(), key); err != nil {
		return storeError(err)
	}
	q.total, q.events = 0, 0
	following := q.index.followers
	q.index = newIndex(q.s.fairness)
	q.index.followers = following
	following.restart()
	q.flights.clear()
	q.delayed.clear()
	return nil
}

// readAgain is when a message is tried again whose file could not be read.
const readAgain = 30 * time.Second

// load reads the messages that were taken, without those that were deleted meanwhile. Damaged ones
// are lost: they are counted and logged. Those that the disk does not return now, or that a later
// version has written, are tried again later. If the process has no more file handles, nothing is
// taken and that is the error.
func (q *backlog) load(fs []*flight) ([]received, error) {
	ms := make([]*store.Message, len(fs))
	for i, f := range fs {
		ms[i] = f.message
	}
	got := make([]received, 0, len(fs))
	var failed []failedRead
	var noHandles error
	q.s.store.Read(ms, func(i int, content []byte, err error) {
		var m storedMessage
		if err == nil {
			m, err = decodeStoredMessage(content)
		}
		switch {
		case err == nil:
			got = append(got, received{fs[i], m})
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
			noHandles = err
		default:
			failed = append(failed, failedRead{fs[i], err})
		}
	})
	if noHandles != nil {
		q.release(fs)
		return nil, errUnavailable("read messages of %s: %v", q.name, noHandles)
	}
	for _, u := range failed {
		q.unreadable(u.flight, u.err)
	}
	return got, nil
}

// failedRead is a message in flight that could not be read, and why.
type failedRead struct {
	flight *flight
	err    error
}

// unreadable takes care of a message in flight that could not be read.
func (q *backlog) unreadable(f *flight, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.flights.has(f) {
		return // deleted
	}
	now := time.Now()
	if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrGone) {
		if now.Sub(q.unread) >= time.Second {
			q.unread = now
			q.s.log.Error("stored messages can't be read, retrying", "queue", q.name, "error", err)
		}
		q.flights.postpone(f, now.Add(readAgain).UnixMilli())
		return
	}
	q.s.store.Lost(f.message)
	q.land(f, now.UnixMilli())
	q.index.remove(f.message)
	q.removed(f.message, now.UnixMilli())
	q.lost++
}

// release makes messages visible again that no client has received, as if they had not been taken.
func (q *backlog) release(fs []*flight) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now().UnixMilli()
	for _, f := range fs {
		if !q.flights.has(f) {
			continue
		}
		q.land(f, now)
		q.index.waiting.add(f.message)
		if !f.moving {
			q.received--
		}
	}
	q.waiters.wake(len(fs))
}

// returnAll makes everything in flight visible, with its receive count.
func (q *backlog) returnAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now().UnixMilli()
	for q.flights.len() > 0 {
		q.returnFirst(min(q.flights.len(), returnChunk), now)
	}
}
