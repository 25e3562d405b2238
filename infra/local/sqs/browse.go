package sqs

import (
	"encoding/hex"
	"errors"
	"slices"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// A Ref names a message of a queue.
type Ref struct {
	Sent int64  // when it was sent, Unix milliseconds; of one that was moved, to the queue before
	Seq  uint64 // grows in the order in which messages come to the server's queues; never used twice
}

// A Follower is told which messages come to a queue and which leave it, without receiving any. It
// is not safe for concurrent use.
type Follower struct {
	q      *Queue
	log    *changeLog
	begun  bool // older is the next to be told
	older  Ref  // those sent before it have not been told
	listed bool // all that were there have been told
}

// changeLog is what a Follower has not been told. The backlog's mu guards it.
type changeLog struct {
	added   []Ref
	removed []uint64
	again   bool // there were too many changes, or the queue was cleared
}

// maxChanges bounds what waits for a Follower, to 16 bytes each. One that asks too rarely begins
// again.
const maxChanges = 100_000

// followers are the logs of a queue's Followers.
type followers []*changeLog

func (fs followers) add(m *store.Message) {
	for _, l := range fs {
		if l.room() {
			l.added = append(l.added, Ref{m.Sent, m.Seq})
		}
	}
}

func (fs followers) remove(m *store.Message) {
	for _, l := range fs {
		if l.room() {
			l.removed = append(l.removed, m.Seq)
		}
	}
}

func (fs followers) restart() {
	for _, l := range fs {
		*l = changeLog{again: true}
	}
}

// room reports whether a change is to be noted.
func (l *changeLog) room() bool {
	if len(l.added)+len(l.removed) >= maxChanges {
		*l = changeLog{again: true}
	}
	return !l.again
}

// Follow returns a new Follower of the queue. Close ends it; until then each change of the queue
// costs some nanoseconds.
func (q *Queue) Follow() *Follower {
	f := &Follower{q: q, log: &changeLog{}}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.index.followers = append(q.index.followers, f.log)
	return f
}

// Close ends the following.
func (f *Follower) Close() {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	f.q.index.followers = slices.DeleteFunc(f.q.index.followers, func(l *changeLog) bool { return l == f.log })
}

// Changes are what a Follower is told.
type Changes struct {
	// Restart says that everything that was told before is void: the queue was purged, or the
	// Follower has not asked for too long. What is there is told anew.
	Restart bool
	Added   []Ref    // a message may be told twice
	Removed []uint64 // Seq of messages that have left the queue, some of which were never told
	Left    int64    // how many more are in the queue, at most
}

// Next returns what has happened since the last call: what has come, then what has left. Besides it
// tells up to max of the messages that were there before, the one sent last first, until Left is 0.
// It holds the queue's lock for some microseconds per 1,000 messages.
func (f *Follower) Next(max int) Changes {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	var c Changes
	if f.log.again {
		*f.log, f.begun, f.listed = changeLog{}, false, false
		c.Restart = true
	}
	c.Added, c.Removed = f.log.added, f.log.removed
	f.log.added, f.log.removed = nil, nil
	if !f.listed {
		c.Added = append(c.Added, f.list(max)...)
		c.Left = f.q.total
	}
	if f.listed {
		c.Left = 0
	}
	return c
}

// list returns up to max messages sent before the last that it returned, the latest first.
func (f *Follower) list(max int) []Ref {
	var refs []Ref
	visit := func(m *store.Message) bool {
		if len(refs) == max {
			return false
		}
		r := Ref{m.Sent, m.Seq}
		if !f.begun || r != f.older {
			refs = append(refs, r)
		}
		return true
	}
	if f.begun {
		f.q.index.bySent.Descend(&store.Message{Sent: f.older.Sent, Seq: f.older.Seq}, visit)
	} else {
		f.q.index.bySent.Reverse(visit)
	}
	if len(refs) > 0 {
		f.begun, f.older = true, refs[len(refs)-1]
	}
	f.listed = len(refs) < max
	return refs
}

// A Seen message is one that was looked at without receiving it.
type Seen struct {
	// Message has no receipt handle: nobody may delete it by having looked at it. Its receive count
	// is that of the receives so far.
	Message
	Ref      Ref
	InFlight bool  // received, and neither deleted nor visible again
	Gone     bool  // it has left the queue: there is no Message
	Err      error // why it can't be read: there is no Message
}

// Look returns messages without receiving them: they do not become invisible, and no count changes.
// A message that can't be read stays as it is.
func (q *Queue) Look(refs []Ref) []Seen {
	seen := make([]Seen, len(refs))
	if err := q.s.enter(); err != nil {
		for i, r := range refs {
			seen[i] = Seen{Ref: r, Err: err}
		}
		return seen
	}
	defer q.s.exit()
	messages, as := q.lookUp(refs, seen)
	q.s.store.Read(messages, func(i int, content []byte, err error) {
		s := as[i]
		var stored storedMessage
		if s.Err = err; err == nil {
			stored, s.Err = decodeStoredMessage(content)
		}
		switch {
		case s.Err == nil:
			s.fill(&stored)
		case errors.Is(s.Err, store.ErrGone):
			s.Gone, s.Err = true, nil
		}
	})
	return seen
}

// lookUp finds the messages that are there, and what the queue knows of them.
func (q *Queue) lookUp(refs []Ref, seen []Seen) (messages []*store.Message, as []*Seen) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, r := range refs {
		s := &seen[i]
		s.Ref = r
		m := q.index.find(r.Sent, r.Seq)
		if s.Gone = m == nil; s.Gone {
			continue
		}
		f := q.flights.bySeq[r.Seq]
		if f == nil {
			f = &flight{message: m, count: uint64(m.Count), first: m.First}
		} else {
			s.InFlight = true
		}
		known := received{flight: f}
		s.Attributes = make(map[string]string, 5)
		known.systemAttributes(q.s.account, func(name, value string) { s.Attributes[name] = value })
		messages, as = append(messages, m), append(as, s)
	}
	return messages, as
}

// fill adds what is stored.
func (s *Seen) fill(m *storedMessage) {
	s.MessageID, s.Body = m.id.String(), m.body
	s.MD5OfBody, s.MD5OfMessageAttributes = hex.EncodeToString(m.bodyMD5[:]), attributesMD5(m.attributes)
	m.systemAttributes(func(name, value string) { s.Attributes[name] = value })
	s.MessageAttributes = m.messageAttributes()
}
