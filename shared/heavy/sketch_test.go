package heavy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func newSketch() *sketch {
	s := new(sketch)
	s.reset()
	return s
}

// loads are streams of names that are hard to count in different ways.
func loads() map[string]func(i int) (name string, events uint64) {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.05, 1, 1<<20)
	return map[string]func(int) (string, uint64){
		"few":      func(i int) (string, uint64) { return fmt.Sprint(i % 1000), 1 },
		"distinct": func(i int) (string, uint64) { return fmt.Sprint(i), 1 },
		"skewed":   func(int) (string, uint64) { return fmt.Sprint(zipf.Uint64()), 1 },
		"weighted": func(int) (string, uint64) { return fmt.Sprint(zipf.Uint64()), 1 + r.Uint64N(500) },
		// As many names as there are counters, all of the same weight, and then as many others.
		"in turn": func(i int) (string, uint64) { return fmt.Sprint(i % (3 * counters)), 1 },
		// A source that begins late, among names that never come again.
		"late": func(i int) (string, uint64) {
			if i > 70_000 && i%10 == 0 {
				return "late", 1
			}
			return fmt.Sprint("once", i), 1
		},
	}
}

// The oracle counts exactly. A sketch counts no event twice, and misses of no name more than its
// floor, which is at most 0.1 % of all events.
func TestASketchMissesOfNoNameMoreThanItsStatedError(t *testing.T) {
	for name, next := range loads() {
		t.Run(name, func(t *testing.T) {
			s := newSketch()
			exact := map[string]uint64{}
			total, reached := uint64(0), 0
			for i := range 100_000 {
				name, events := next(i)
				s.add([]byte(name), 0, events, 10*events)
				exact[name] += events
				total += events
				if len(s.counted) == counters {
					reached++
				}
			}
			if bound := float64(total) * ErrorShare; float64(s.floor) > bound || ErrorShare > 0.001 {
				t.Errorf("the floor is %d, want at most %v of %d events", s.floor, bound, total)
			}
			counted := map[string]uint64{}
			for i := range s.counted {
				name := string(s.names[i].bytes[:s.names[i].size])
				if counted[name] > 0 {
					t.Errorf("%s has two counters", name)
				}
				if counted[name] = s.counted[i].events; s.counted[i].bytes != 10*counted[name] {
					t.Errorf("%s has %d bytes, want %d", name, s.counted[i].bytes, 10*counted[name])
				}
			}
			for name, n := range exact {
				if got := counted[name]; got > n || n-got > s.floor {
					t.Fatalf("%s is counted as %d, want %d to %d (%d counters)", name, got, n-min(n, s.floor), n, len(s.counted))
				}
			}
			if name == "few" && s.floor != 0 {
				t.Errorf("as many names as counters are not counted exactly: %d", s.floor)
			}
			if name != "few" && (reached == 0 || s.floor == 0) {
				t.Error("the load does not fill the sketch")
			}
		})
	}
}

func TestTheHeaviestComeFirst(t *testing.T) {
	s := newSketch()
	for i := range 5000 {
		s.add(fmt.Appendf(nil, "rare %d", i), 0, 1, 1)
		if i%2 == 0 {
			s.add([]byte("half"), 0, 1, 1)
		}
		s.add([]byte("always"), 0, 1, 1)
	}
	var names []string
	for _, i := range s.heaviest(2, func(*counter) bool { return true }) {
		names = append(names, string(s.names[i].bytes[:s.names[i].size]))
	}
	if !slices.Equal(names, []string{"always", "half"}) {
		t.Errorf("the heaviest are %v", names)
	}
	if got := s.heaviest(3, func(*counter) bool { return false }); len(got) > 0 {
		t.Errorf("a filter that takes nothing finds %v", got)
	}
}

func TestMedian(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		values := make([]uint64, 1+r.IntN(40))
		for i := range values {
			values[i] = r.Uint64N(10)
		}
		sorted := slices.Sorted(slices.Values(values))
		if got := median(values); got != sorted[len(sorted)/2] {
			t.Fatalf("the median of %v is %d", sorted, got)
		}
	}
}

func TestAMillionNamesTakeAQuarterOfAMegabyteAndNoAllocations(t *testing.T) {
	s := newSketch()
	name := make([]byte, 0, 100)
	add := func(from, to int) {
		for i := from; i < to; i++ {
			name = fmt.Appendf(name[:0], "%d and a name that is longer than what is remembered of it, all of it counts", i)
			s.add(name, 0, 1, 1)
		}
	}
	add(0, 1_000_000)
	size := cap(s.counted)*int(unsafe.Sizeof(counter{})) + cap(s.names)*int(unsafe.Sizeof(text{})) +
		2*cap(s.index) + 8*cap(s.heights)
	if size > 512<<10 { // three sketches may have 2 MB
		t.Errorf("a sketch takes %d bytes", size)
	}
	if n := testing.AllocsPerRun(5, func() {
		for i := range uint64(3000) {
			s.add(name[:i%50], uint8(i), 1, 1)
		}
	}); n > 0 {
		t.Errorf("a full sketch allocates %v times", n)
	}
}

func BenchmarkSketch(b *testing.B) {
	names := make([][]byte, 1<<20)
	for i := range names {
		names[i] = fmt.Appendf(nil, "event number %d", i)
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(len(names)-1))
	skewed := make([][]byte, 1<<20)
	for i := range skewed {
		skewed[i] = names[zipf.Uint64()]
	}
	for name, load := range map[string][][]byte{"million distinct": names, "few": names[:500], "skewed": skewed} {
		b.Run(name, func(b *testing.B) {
			s := newSketch()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.add(load[i], 0, 1, 1000)
				if i++; i == len(load) {
					i = 0
				}
			}
		})
	}
}
