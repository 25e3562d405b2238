package segmentd

import (
	"hash/maphash"
	"math/bits"
)

// idGeneration is how many messageIds a generation holds. Two generations of 500,000 take 11 MB and
// recognise duplicates of at least the last 500,000 distinct ids. (Segment recognises them for at
// least 24 hours.)
const idGeneration = 500_000

// idSet remembers the last messageIds as hashes of 64 bits: with a million ids, the probability that
// a new event is taken for a duplicate is below 1 in 10^13.
type idSet struct {
	size          int
	seed          maphash.Seed
	current, last hashSet
}

func newIDSet(size int) idSet { return idSet{size: size, seed: maphash.MakeSeed()} }

// add reports whether id is new, and remembers it. A duplicate is remembered again, so that an id
// that repeats is never forgotten.
func (s *idSet) add(id string) bool {
	h := maphash.String(s.seed, id)
	if s.current.has(h) {
		return false
	}
	old := s.last.has(h)
	if s.current.n == s.size {
		s.current, s.last = s.last, s.current
		s.current.clear()
	}
	s.current.add(h, s.size)
	return !old
}

// hashSet is a set of hashes: a table in which each stands at its place or, if that is taken, at the
// next free one. A map would take five times the memory. The zero value is empty.
type hashSet struct {
	table []uint64 // 0: free
	n     int
}

// minTable is the first size of a table.
const minTable = 256

// at returns where h is in the table, or the free place where it belongs.
func (s *hashSet) at(h uint64) *uint64 {
	high, _ := bits.Mul64(h, uint64(len(s.table)))
	for i := int(high); ; i++ {
		if i == len(s.table) {
			i = 0
		}
		if s.table[i] == h || s.table[i] == 0 {
			return &s.table[i]
		}
	}
}

func (s *hashSet) has(h uint64) bool {
	return s.n > 0 && *s.at(max(h, 1)) != 0
}

// add adds h, which must not be there. The table grows so that over a quarter of it is free, up to
// what most hashes need.
func (s *hashSet) add(h uint64, most int) {
	if 4*s.n >= 3*len(s.table)-4 {
		full := s.table
		s.table = make([]uint64, max(minTable, min(2*len(full), most+2*most/5)))
		for _, h := range full {
			if h != 0 {
				*s.at(h) = h
			}
		}
	}
	h = max(h, 1)
	*s.at(h) = h
	s.n++
}

// clear empties the set. The memory is used again.
func (s *hashSet) clear() {
	clear(s.table)
	s.n = 0
}
