package segmentd

import "hash/maphash"

// idGeneration is how many messageIds a generation holds. Two generations of 500,000 take 53 MB
// (measured) and recognise duplicates of at least the last 500,000 distinct ids. (Segment recognises
// them for at least 24 hours.)
const idGeneration = 500_000

// idSet remembers the last messageIds as hashes of 128 bits: with a million ids, the probability that
// a new event is taken for a duplicate is below 1 in 10^32.
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

// add reports whether id is new, and remembers it. A duplicate is remembered again, so that an id
// that repeats is never forgotten.
func (s *idSet) add(id string) bool {
	h := [2]uint64{maphash.String(s.seeds[0], id), maphash.String(s.seeds[1], id)}
	if _, ok := s.current[h]; ok {
		return false
	}
	_, old := s.last[h]
	if len(s.current) == s.size {
		s.current, s.last = s.last, s.current
		clear(s.current) // its memory is reused
	}
	s.current[h] = struct{}{}
	return !old
}
