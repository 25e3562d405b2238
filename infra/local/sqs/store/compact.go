package store

// Messages that are retried for days write an update with each receive. Their segments are needed,
// and so are those after them, for their updates and deletions. Once most of these are superseded,
// it takes less to write again what is still true than to copy the messages.
const (
	// compactBytes is what must become free at least.
	compactBytes = segmentBytes
	// compactGain is how many bytes must become free for each that is written.
	compactGain = 4
	// updateBytes and deleteBytes are what an operation takes.
	updateBytes = 20
	deleteBytes = 6
	// compactChunk limits the messages that are looked at while others wait.
	compactChunk = 1000
)

// superseded returns the segments without messages that can be emptied once the updates and
// deletions of the messages in others, which may be in them, are written again. It returns none if
// that does not pay. It is called with mu held.
func (l *Log) superseded() (over, others []*segment) {
	if len(l.segments) == 0 || !l.damage.None() { // after damage, deletions tell what was lost
		return nil, nil
	}
	var free, cost, all int64
	var before int
	for _, s := range l.segments[:len(l.segments)-1] {
		switch {
		case s.emptied:
		case s.live == 0 && !s.needed && s.users == 0 && s.begin > 0:
			over, before = append(over, s), len(others)
			free += s.size - s.begin
			cost = all
		default:
			others = append(others, s)
			all += int64(s.changed)*updateBytes + int64(len(s.messages)-s.live)*deleteBytes
		}
	}
	if free < l.compactBytes || free < compactGain*cost {
		return nil, nil
	}
	return over, others[:before]
}

// compact empties segments. The others, those before them that are not emptied, have messages whose
// operations are in them.
func (l *Log) compact(over, others []*segment) error {
	for _, s := range others {
		if err := l.repeat(s); err != nil {
			return err
		}
	}
	if err := l.Sync(); err != nil {
		return err
	}
	return l.emptyFiles(over)
}

// repeat writes what has changed since the messages of a segment were written. What changes
// meanwhile is written after that.
func (l *Log) repeat(s *segment) error {
	var ops []byte
	for from := 0; from < len(s.messages); from += compactChunk {
		l.mu.Lock()
		ops = ops[:0]
		for i, m := range s.messages[from:min(len(s.messages), from+compactChunk)] {
			switch number := s.first + uint64(from+i); {
			case m == nil:
				ops = appendOp(ops, opDelete, number)
			case m.changed:
				ops = appendOp(ops, opUpdate, number, uint64(m.At), uint64(m.First), uint64(m.Count))
			}
		}
		err := l.writeOps(ops)
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeOps writes a frame. It is called with mu held.
func (l *Log) writeOps(ops []byte) error {
	if len(ops) == 0 {
		return nil
	}
	w, err := l.begin()
	if err != nil {
		return err
	}
	w.frame(func(b []byte) []byte { return append(b, ops...) })
	return w.end()
}
