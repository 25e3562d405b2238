package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
)

// stepFS calls step before and after each change of a file or a name, if it is not nil.
type stepFS struct {
	*Mem
	step *func()
}

func (f stepFS) at() {
	if *f.step != nil {
		(*f.step)()
	}
}

func (f stepFS) Create(name string) (File, error) {
	f.at()
	file, err := f.Mem.Create(name)
	return stepFile{file, f}, err
}

func (f stepFS) Remove(name string) error {
	defer f.at()
	return f.Mem.Remove(name)
}

func (f stepFS) SyncDir(dir string) error {
	defer f.at()
	return f.Mem.SyncDir(dir)
}

func (f stepFS) Empty(name, renamed string, size int64) error {
	whole, err := f.Size(name)
	if err != nil {
		return err
	}
	if err := f.Mem.Empty(name, renamed, whole); err != nil {
		return err
	}
	f.at()
	defer f.at()
	return f.Truncate(renamed, size)
}

type stepFile struct {
	File
	fs stepFS
}

func (f stepFile) WriteAt(b []byte, off int64) (int, error) {
	defer f.fs.at()
	return f.File.WriteAt(b, off)
}

func (f stepFile) Sync() error {
	defer f.fs.at()
	return f.File.Sync()
}

// compacting is a log beside what it must have: the messages by seq with their counts, and the state.
type compacting struct {
	*testing.T
	random *rand.Rand
	fs     stepFS
	l      *Log
	there  map[uint64]*Message
	counts map[uint64]uint32
	state  map[string]string
	seq    uint64
}

// newCompacting is an open log that has nothing.
func newCompacting(t *testing.T, seed uint64) *compacting {
	t.Helper()
	c := &compacting{T: t, random: rand.New(rand.NewPCG(seed, 9)), counts: map[uint64]uint32{}, state: map[string]string{}}
	c.open(new(Mem))
	return c
}

func (c *compacting) open(fs *Mem) {
	c.fs = stepFS{fs, new(func())}
	c.l = openIn(c, c.fs)
	c.l.compactBytes = 1
	c.there = c.check(c.l)
}

// check compares a log with what it must have.
func (c *compacting) check(l *Log) map[uint64]*Message {
	c.Helper()
	if d := l.Damage(); !d.None() {
		c.Fatalf("damage: %+v", d)
	}
	got := readable(c, l)
	for seq, m := range got {
		if count, ok := c.counts[seq]; !ok || m.Count != count {
			c.Fatalf("message %d has the count %d, want %d, %v", seq, m.Count, count, ok)
		}
	}
	if len(got) != len(c.counts) {
		c.Fatalf("%d messages, want %d", len(got), len(c.counts))
	}
	state := map[string]string{}
	for k, v := range l.State() {
		state[k] = string(v)
	}
	if !maps.Equal(state, c.state) {
		c.Fatalf("state %v, want %v", state, c.state)
	}
	return got
}

// some returns messages at random.
func (c *compacting) some(of int) (ms []*Message) {
	for _, seq := range slices.Sorted(maps.Keys(c.there)) {
		if c.random.IntN(of) == 0 {
			ms = append(ms, c.there[seq])
		}
	}
	return ms
}

func (c *compacting) put(n int) {
	for _, m := range putAll(c, c.l, c.seq+1, c.seq+1+uint64(n)) {
		c.there[m.Seq], c.counts[m.Seq] = m, 0
	}
	c.seq += uint64(n)
}

func (c *compacting) remove(ms []*Message) {
	c.l.Delete(ms)
	for _, m := range ms {
		delete(c.there, m.Seq)
		delete(c.counts, m.Seq)
	}
}

func (c *compacting) update() {
	for range 1 + c.random.IntN(30) {
		for _, m := range c.some(3) {
			c.counts[m.Seq]++
			c.l.Update([]Update{{Message: m, At: m.At, First: 1, Count: c.counts[m.Seq]}})
		}
	}
}

// move replaces a message by one with another seq.
func (c *compacting) move() {
	for _, m := range c.some(20) {
		c.seq++
		moved := &Message{Queue: m.Queue, Seq: c.seq, Count: m.Count}
		if err := c.l.Put([]Addition{{Message: moved, Content: content(c.seq), Replaces: m}}, true); err != nil {
			c.Fatal(err)
		}
		delete(c.there, m.Seq)
		delete(c.counts, m.Seq)
		c.there[c.seq], c.counts[c.seq] = moved, m.Count
	}
}

func (c *compacting) set() {
	key, value := fmt.Sprint("key", c.random.IntN(3)), fmt.Appendf(nil, "%d", c.random.IntN(9))
	if c.state[key] = string(value); c.random.IntN(2) == 0 {
		value = nil
		delete(c.state, key)
	}
	if err := c.l.Set(key, value, true); err != nil {
		c.Fatal(err)
	}
}

func (c *compacting) clear() {
	ms := slices.Collect(maps.Values(c.there))
	if err := c.l.Clear(7, ms, ""); err != nil {
		c.Fatal(err)
	}
	clear(c.there)
	clear(c.counts)
}

func (c *compacting) roll() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if err := c.l.roll(); err != nil {
		c.Error(err)
	}
}

// reclaim cuts the power at each step, and goes on after one of them at random.
func (c *compacting) reclaim() (steps int) {
	c.Helper()
	if err := c.l.Sync(); err != nil {
		c.Fatal(err)
	}
	var after []*Mem
	*c.fs.step = func() { after = append(after, c.fs.Crash(c.random), c.fs.Crash(nil)) }
	if err := c.l.Reclaim(false); err != nil {
		c.Fatal(err)
	}
	*c.fs.step = nil
	for _, fs := range after {
		l := openIn(c, fs)
		c.check(l)
		kill(fs)(l)
	}
	if len(after) > 0 && c.random.IntN(2) == 0 {
		c.open(after[c.random.IntN(len(after))])
	}
	return len(after)
}

func TestAPowerCutAtAnyStepOfACompactionChangesNothing(t *testing.T) {
	emptied, steps := 0, 0
	for seed := range uint64(10) {
		c := newCompacting(t, seed)
		c.put(30)
		c.roll()
		for range 60 {
			switch n := c.random.IntN(100); {
			case n < 10:
				c.put(1 + c.random.IntN(5))
			case n < 25:
				c.remove(c.some(10))
			case n < 60:
				c.update()
			case n < 65:
				c.move()
			case n < 70:
				c.set()
			case n < 71:
				c.clear()
			case n < 88:
				c.roll()
			default:
				steps += c.reclaim()
			}
			for _, name := range files(t, c.fs) {
				if strings.HasSuffix(name, emptiedExt) {
					emptied++
				}
			}
		}
		if err := c.l.Sync(); err != nil {
			t.Fatal(err)
		}
		c.open(c.fs.Crash(nil))
	}
	if emptied == 0 || steps < 200 {
		t.Errorf("%d times a file was emptied, in %d steps", emptied, steps)
	}
}

// TestACompactionBringsNoDeletedMessageBack has the deletions in a later file than the messages, both
// of which are emptied.
func TestACompactionBringsNoDeletedMessageBack(t *testing.T) {
	c := newCompacting(t, 1)
	c.put(30)
	c.roll()
	c.put(5)
	c.roll()
	c.remove(slices.DeleteFunc(slices.Collect(maps.Values(c.there)), func(m *Message) bool { return m.Seq <= 30 }))
	for range 10 {
		c.update()
	}
	c.roll()
	c.put(1)
	if c.reclaim() == 0 {
		t.Error("nothing was emptied")
	}
}

func TestACompactionBringsNoDeletedValueBack(t *testing.T) {
	c := newCompacting(t, 1)
	set := func(value []byte) {
		if err := c.l.Set("queue", value, true); err != nil {
			t.Fatal(err)
		}
	}
	set([]byte("x"))
	c.put(30)
	c.roll()
	set(nil)
	for range 10 {
		c.update()
	}
	c.roll()
	c.put(1)
	c.reclaim()
	c.open(c.fs.Crash(nil))
	for range 10 {
		c.update()
	}
	c.roll()
	c.reclaim() // what was written by an earlier process
	c.open(c.fs.Crash(nil))
}

// TestADamageBesideAnEmptiedFileIsFoundAndCounted damages the messages before and after it.
func TestADamageBesideAnEmptiedFileIsFoundAndCounted(t *testing.T) {
	c := newCompacting(t, 1)
	c.put(30)
	c.roll()
	c.put(5)
	c.remove(slices.DeleteFunc(slices.Collect(maps.Values(c.there)), func(m *Message) bool { return m.Seq <= 30 }))
	for range 10 {
		c.update()
	}
	c.roll()
	c.put(10)
	c.reclaim()
	kill(c.fs.Mem)(c.l)
	names := files(t, c.fs)
	if !strings.HasSuffix(names[1], emptiedExt) {
		t.Fatalf("nothing was emptied: %v", names)
	}
	clean := c.fs.Mem
	for round := range 300 {
		fs := clean.Crash(nil)
		i := c.random.IntN(2)
		what := damageFile(fs, path.Join(dir, names[i]), c.random)
		l := openIn(t, fs)
		missing := int64(len(c.counts) - len(readable(t, l)))
		if d := l.Damage(); d.Messages != missing && !(i == 1 && what == "missing") || i == 1 && missing > 0 {
			t.Fatalf("round %d: %s in %s: %d messages are missing, reported are %d: %v", round, what, names[i], missing, d.Messages,
				d.Files)
		}
	}
}

func TestMessagesThatAreRetriedForLongTakeNoMoreSpaceEachTime(t *testing.T) {
	fs := new(Mem)
	l := openIn(t, fs)
	big := make([]byte, 100<<10)
	var us []Update
	for seq := uint64(1); seq <= 400; seq++ {
		m := &Message{Queue: 7, Seq: seq}
		if err := l.Put([]Addition{{Message: m, Content: big}}, false); err != nil {
			t.Fatal(err)
		}
		us = append(us, Update{Message: m, At: 1 << 62, First: 1 << 62})
	}
	size := func() (bytes int64) {
		for _, name := range files(t, fs) {
			if n, err := fs.Size(path.Join(dir, name)); err == nil {
				bytes += n
			}
		}
		return bytes
	}
	limit, most := size()+2*segmentBytes+1<<20, int64(0)
	for range 5000 { // 50 MB
		for i := range us {
			us[i].Count++
		}
		l.Update(us)
		if us[0].Count%100 == 0 {
			if err := l.Reclaim(false); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, size())
	}
	if most > limit {
		t.Errorf("%d MB were taken, want at most %d", most>>20, limit>>20)
	}
	closeLog(t, l)
	n := 0
	openIn(t, fs).Each(func(m *Message) {
		if n++; m.Count != 5000 {
			t.Fatalf("message %d has the count %d", m.Seq, m.Count)
		}
	})
	if n != len(us) {
		t.Errorf("%d messages, want %d", n, len(us))
	}
}
