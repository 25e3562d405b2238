package store

import "time"

// writeLate writes what is late, and returns how much still is.
func (l *Log) writeLate() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLate(true)
	return len(l.late)
}

// Delete deletes messages, on disk within a second. It does not fail: what can't be written, on a
// full disk for example, is written later. Until then the end of the process brings the messages
// back.
func (l *Log) Delete(ms []*Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := make([]byte, 0, 6*len(ms))
	for _, m := range ms {
		if m.segment != nil {
			b = appendOp(b, opDelete, m.number())
			l.drop(m)
		}
	}
	l.lazy(b)
}

// An Update is what changes when a message becomes visible again.
type Update struct {
	Message *Message
	At      int64
	First   int64
	Count   uint32
}

// Update changes messages, on disk within a second. It does not fail, as Delete.
func (l *Log) Update(us []Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b []byte
	for _, u := range us {
		m := u.Message
		m.update(u.At, u.First, u.Count)
		if m.segment != nil {
			b = appendOp(b, opUpdate, m.number(), uint64(m.At), uint64(m.First), uint64(m.Count))
		}
	}
	l.lazy(b)
}

const (
	// maxLate is the size of the pieces in which operations are written that were late.
	maxLate = 1 << 20
	// lateEvery is how often it is tried.
	lateEvery = time.Second
	// maxLatePieces is how many pieces there are before they are compacted: with more than a million
	// operations.
	maxLatePieces = 16
)

// lazy writes operations now, or later if that fails. It is called with mu held.
func (l *Log) lazy(ops []byte) {
	if len(ops) == 0 || l.Failure() != nil && len(l.late) > 0 { // they would never be written
		return
	}
	if len(l.late) == 0 {
		l.compacted = 0
	}
	l.late = appendLate(l.late, ops)
	if len(l.late) > max(maxLatePieces, 2*l.compacted) {
		l.late = compactLate(l.late)
		l.compacted = len(l.late)
	}
	l.flushLate(false)
	l.Wake()
}

// appendLate appends operations to the last piece, or begins another.
func appendLate(late [][]byte, ops []byte) [][]byte {
	if n := len(late); n > 0 && len(late[n-1])+len(ops) <= maxLate {
		late[n-1] = append(late[n-1], ops...)
		return late
	}
	return append(late, ops)
}

// compactLate leaves the last operation of each message. On a disk that is full for days, messages
// that are retried would use up the memory.
func compactLate(late [][]byte) [][]byte {
	type change struct {
		at, first int64
		count     uint32
		deleted   bool
	}
	last := map[uint64]change{}
	for _, ops := range late {
		_ = parseOps(ops, func(o *op) { // as written a moment ago
			if !last[o.number].deleted {
				last[o.number] = change{o.m.At, o.m.First, o.m.Count, o.kind == opDelete}
			}
		})
	}
	var compact [][]byte
	for number, c := range last {
		if c.deleted {
			compact = appendLate(compact, appendOp(nil, opDelete, number))
		} else {
			compact = appendLate(compact, appendOp(nil, opUpdate, number, uint64(c.at), uint64(c.first), uint64(c.count)))
		}
	}
	return compact
}

// flushLate writes what is late, unless it failed in the last second and now is false. It is called
// with mu held.
func (l *Log) flushLate(now bool) {
	if len(l.late) == 0 || !now && time.Since(l.lateAt) < lateEvery {
		return
	}
	w, err := l.begin()
	if err == nil {
		err = w.end()
	}
	if l.lateErr = err; err != nil {
		l.lateAt = time.Now()
	}
}

// Late returns why operations of Delete and Update could not be written yet, or nil.
func (l *Log) Late() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) == 0 {
		return nil
	}
	return l.lateErr
}
