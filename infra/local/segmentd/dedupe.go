package segmentd

import "hash/maphash"

// idGeneration is how many messageIds a generation holds. Two generations of 500,000 take 53 MB
// (measured), and recognise a duplicate among at least the last 500,000 distinct ids. (Segment does
// so for at least 24 hours.)
const idGeneration = 500_000

// idSet knows the last messageIds. It keeps 128 bits of hash of each: at a million ids, the odds
// that one new event is taken for a duplicate are below 1 in 10^32.
type idSet struct {
	size          int
	seeds         [2]maphash.Seed
	current, last map[[2]uint64]struct{}
}

func newIDSet(size int) idSet {
	return idSet{
		size:    size,
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		current: map[[2]uint64]struct{}{},
		last:    map[[2]uint64]struct{}{},
	}
}

// add reports whether id is new, and remembers it. A duplicate is remembered anew, so that an id
// that keeps coming is never forgotten.
func (s *idSet) add(id string) bool {
	h := [2]uint64{maphash.String(s.seeds[0], id), maphash.String(s.seeds[1], id)}
	if _, ok := s.current[h]; ok {
		return false
	}
	_, old := s.last[h]
	if len(s.current) == s.size {
		s.current, s.last = s.last, s.current
		clear(s.current) // its memory is used again
	}
	s.current[h] = struct{}{}
	return !old
}
