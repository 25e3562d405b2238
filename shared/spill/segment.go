package spill

// A segment is one file of the log. Its fields are guarded by the store's mu.
type segment struct {
	number  uint64
	path    string
	salt    uint32
	created int64
	file    File // nil while it is neither read nor written
	own     bool // written by this process, which makes appended known
	sealed  bool // not written to any more
	size    int64

	appended    int   // records that were written
	unreadSince int64 // when the oldest unread record was appended, or earlier
	readTo      int64 // offset up to which records were handed out
	exhausted   bool  // the reader has gone past it
	unreadable  bool  // it could not be read to its end: the file is left for the next process
	faults      faults

	times []int64  // when each record that was handed out was appended
	done  []uint64 // a bit for each of these
	left  int      // of these are not done
	low   int      // all before this one are done

	tags map[int64]any // of unread records that have one, by the record's offset
}

// tag keeps the tags of records that were written at the segment's end.
func (s *segment) tag(tags map[int]any) {
	if s.tags == nil && len(tags) > 0 {
		s.tags = make(map[int64]any, len(tags))
	}
	for at, tag := range tags {
		s.tags[s.size+int64(at)] = tag
	}
}

// handOut adds a record and returns its index.
func (s *segment) handOut(appended int64) int {
	i := len(s.times)
	s.times = append(s.times, appended)
	if i%64 == 0 {
		s.done = append(s.done, 0)
	}
	s.left++
	return i
}

// finish marks a record as done. A second call changes nothing.
func (s *segment) finish(i int) {
	word, bit := i/64, uint64(1)<<(i%64)
	if s.done[word]&bit != 0 {
		return
	}
	s.done[word] |= bit
	s.left--
	for s.low < len(s.times) && s.done[s.low/64]&(1<<(s.low%64)) != 0 {
		s.low++
	}
}

// unread returns how many records are known to be unread.
func (s *segment) unread() int {
	if s.own && !s.exhausted {
		return s.appended - len(s.times)
	}
	return 0
}

func (s *segment) waiting() int { return s.left + s.unread() }

// oldest returns when the oldest record that is not done was appended, or 0.
func (s *segment) oldest() int64 {
	switch {
	case s.left > 0:
		return s.times[s.low]
	case s.exhausted || s.own && s.unread() == 0:
		return 0
	case len(s.times) == 0:
		return max(s.created, s.unreadSince)
	default:
		return max(s.times[len(s.times)-1], s.unreadSince)
	}
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
