package heavy

import (
	"hash/maphash"
	"slices"
)

const (
	// counters is how many names a sketch counts at a time. Its error is at most 2 / counters of
	// all events: less than 0.1 %.
	counters = 2048
	// slots of the index are at most half full, so that few of them are looked at.
	slots = 2 * counters
	// maxName is how many bytes of a name a sketch remembers. Longer names are told apart by all of
	// their bytes.
	maxName = 72
)

// A sketch counts the events of any number of names in bounded memory: of each of the heaviest
// names nearly all events, of the others none or some.
//
// It has a counter for each name until all counters are taken. Then the floor rises to the median
// of the counters' heights, and those that do not rise above it are given to other names. A new
// counter begins at the floor: its height is the floor at its begin, and the events since.
//
// So an event is missed only if it was counted by a counter that was given away later, or never.
// Whenever a name has no counter, all of its events so far are at most the floor: they were below
// it when its counter was given away, by the same rule each time. So of no name are more events
// missed than the floor is high. How high is it? What stands above the floor is at most all events.
// A rise by d takes at least d from each of half of the counters: so floor x counters / 2 is at
// most all events. This is the analysis of "A High-Performance Algorithm for Identifying Frequent
// Items in Data Streams" (Anderson, Bevin, Lang, Liberty, Rhodes, Thaler; 2017), whose counters are
// lowered where the floor rises here. Apache's datasketches-go implements it for one number a name;
// here a counter has two, a name's bytes are cut, and nothing is allocated.
//
// A name is its hash of 64 bits with a seed that nobody knows: another name is taken for one of the
// counted ones with a probability of 2048 / 2^64.
//
// A sketch is not safe for concurrent use. Its zero value must be reset before use.
type sketch struct {
	seed    maphash.Seed
	floor   uint64
	counted []counter // at most counters
	names   []text    // of each, in the same order
	index   []uint16  // for each slot the number of a counter plus one; 0: none
	heights []uint64  // a buffer
}

// A counter has the events and bytes of a name with a code, since it counts this name.
type counter struct {
	id            uint64
	base          uint64 // the floor when it began
	events, bytes uint64
	code          uint8
}

// text is the beginning of a name.
type text struct {
	size  uint8
	cut   bool
	bytes [maxName]byte
}

func (c *counter) height() uint64 { return c.base + c.events }

// reset forgets everything.
func (s *sketch) reset() {
	if s.index == nil {
		s.seed, s.index = maphash.MakeSeed(), make([]uint16, slots)
	}
	clear(s.index)
	s.floor, s.counted, s.names = 0, s.counted[:0], s.names[:0]
}

// add counts events of a name with a code. The slice is not retained.
func (s *sketch) add(name []byte, code uint8, events, bytes uint64) {
	// The odd constant spreads the code over all bits.
	id := maphash.Bytes(s.seed, name) + uint64(code)*0x9e3779b97f4a7c15
	slot := id % slots
	for s.index[slot] != 0 {
		if c := &s.counted[s.index[slot]-1]; c.id == id {
			c.events += events
			c.bytes += bytes
			return
		}
		slot = (slot + 1) % slots
	}
	if len(s.counted) == counters {
		s.raiseFloor()
		for slot = id % slots; s.index[slot] != 0; {
			slot = (slot + 1) % slots
		}
	}
	s.counted = append(s.counted, counter{id: id, base: s.floor, events: events, bytes: bytes, code: code})
	t := text{size: uint8(min(len(name), maxName)), cut: len(name) > maxName}
	copy(t.bytes[:], name)
	s.names = append(s.names, t)
	s.index[slot] = uint16(len(s.counted))
}

// raiseFloor gives away at least half of the counters.
func (s *sketch) raiseFloor() {
	s.heights = s.heights[:0]
	for i := range s.counted {
		s.heights = append(s.heights, s.counted[i].height())
	}
	s.floor = median(s.heights)
	kept := 0
	clear(s.index)
	for i := range s.counted {
		if s.counted[i].height() <= s.floor {
			continue
		}
		s.counted[kept], s.names[kept] = s.counted[i], s.names[i]
		slot := s.counted[kept].id % slots
		for s.index[slot] != 0 {
			slot = (slot + 1) % slots
		}
		kept++
		s.index[slot] = uint16(kept)
	}
	s.counted, s.names = s.counted[:kept], s.names[:kept]
}

// median returns an element that at least half of the others do not exceed, and at least half of
// them are not below. It reorders them.
func median(values []uint64) uint64 {
	middle := len(values) / 2
	for from, to := 0, len(values)-1; from < to; {
		pivot := values[(from+to)/2]
		low, high := from, to
		for low <= high {
			for values[low] < pivot {
				low++
			}
			for values[high] > pivot {
				high--
			}
			if low <= high {
				values[low], values[high] = values[high], values[low]
				low++
				high--
			}
		}
		switch {
		case middle <= high:
			to = high
		case middle >= low:
			from = low
		default:
			return values[middle]
		}
	}
	return values[middle]
}

// heaviest returns the numbers of the counters with the most events that a filter takes, at most
// n of them.
func (s *sketch) heaviest(n int, takes func(*counter) bool) []int {
	var found []int
	for i := range s.counted {
		if takes(&s.counted[i]) {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b int) int {
		if x, y := s.counted[a].events, s.counted[b].events; x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return slices.Compare(s.names[a].bytes[:s.names[a].size], s.names[b].bytes[:s.names[b].size])
	})
	return found[:min(n, len(found))]
}
