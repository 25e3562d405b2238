package contents

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/deadletter"
)

const (
	// maxRecords is how many dead letters an index remembers, the newest: with an event each they
	// take 60 MB.
	maxRecords = 250_000
	// sparePart is the part of that by which it may be more before the oldest are forgotten: to
	// find these takes a millisecond, which must not be spent on each dead letter that comes.
	sparePart = 16
	// maxMarks is how many marks all records may have together, to bound the memory to 32 MB more:
	// dead letters of 2,500 events have 7,500 each.
	maxMarks = 4_000_000
)

// index has what dead letters are counted, ordered and selected by. It is safe for concurrent use.
//
// IDs, names, users and messageIds are marks, which are hashes with a secret seed: two texts with
// the same hash are found together once in 2⁶⁴ times.
type index struct {
	most int // maxRecords; less in a test

	mu      sync.Mutex
	byPlace map[uint64]*record
	order   []*record // by place, including those that are gone
	fresh   []*record // not yet in order
	marks   int       // of all records
	partial int       // records that have not all marks
	beyond  int       // dead letters that were left out or forgotten
	floor   uint64    // the place before which dead letters were forgotten
	groups  map[groupKey]*group
	// copies counts the records of each identity, and repeated the identities with several.
	copies   map[deadletter.Identity]int32
	repeated int
	broken   map[uint64]bool // places of those that can't be read from the disk
}

type groupKey struct {
	reason, writeKey string
	readable         bool
}

// group is a reason and a write key that dead letters have. It lives as long as one has them.
type group struct {
	groupKey
	records int
}

// record is a dead letter.
type record struct {
	place    uint64
	ref      int64 // Sent of its sqs.Ref
	sent     int64 // Unix milliseconds
	first    int64 // when its events came in, Unix nanoseconds
	identity deadletter.Identity
	group    *group
	ids      [2]uint64         // the marks of its ID and of the ID that SQS gave it
	marks    []uint64          // the others, sorted
	entry    *deadletter.Entry // nil if it is read from the queue when it is shown
	events   int32
	partial  bool // it has more marks than these
	gone     bool
}

// seed is that of the marks of this process.
var seed = maphash.MakeSeed()

func newIndex() *index {
	x := &index{most: maxRecords}
	x.reset()
	return x
}

// reset forgets all dead letters.
func (x *index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byPlace, x.order, x.fresh = map[uint64]*record{}, nil, nil
	x.marks, x.partial, x.beyond, x.floor, x.repeated = 0, 0, 0, 0, 0
	x.groups, x.copies, x.broken = map[groupKey]*group{}, map[deadletter.Identity]int32{}, map[uint64]bool{}
}

// The kinds of marks: a name that is also a user is another mark.
const (
	markID      = 'i'
	markEvent   = 'e'
	markUser    = 'u'
	markMessage = 'm'
)

func mark(kind byte, text []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_ = h.WriteByte(kind)
	_, _ = h.Write(text)
	return h.Sum64()
}

func marksOf(kind byte, texts []string) []uint64 {
	marks := make([]uint64, len(texts))
	for i, t := range texts {
		marks[i] = mark(kind, []byte(t))
	}
	return marks
}

// maxOwnMarks is how many marks one dead letter may have: those of 1,000 events.
const maxOwnMarks = 4_000

// recordOf reads what the index needs of a dead letter. name is not asked: the index has the key
// itself, which is in memory only.
func recordOf(place uint64, ref int64, l *deadletter.Received, r *deadletter.Reader) (*record, groupKey) {
	rec := &record{place: place, ref: ref, sent: l.Sent.UnixMilli(), first: nanoseconds(l.FirstSeen)}
	key := groupKey{reason: l.Reason}
	e, m, err := r.Entry(l, func(writeKey string) string { key.writeKey = writeKey; return "" })
	key.readable = err == nil
	rec.events = int32(e.Events)
	rec.identity = deadletter.Identify(l, m)
	rec.ids = [2]uint64{mark(markID, []byte(l.ID)), mark(markID, []byte(l.MessageID))}
	if m != nil {
		for i := range m.Events {
			if rec.partial = len(rec.marks) > maxOwnMarks; rec.partial {
				break
			}
			ev := &m.Events[i]
			rec.marks = append(rec.marks, mark(markEvent, ev.Name()), mark(markUser, ev.User()),
				mark(markUser, ev.Anonymous()), mark(markMessage, l.EventID(ev, i)))
			if i%500 == 499 {
				slices.Sort(rec.marks)
				rec.marks = slices.Compact(rec.marks)
			}
		}
	}
	slices.Sort(rec.marks)
	rec.marks = slices.Clip(slices.Compact(rec.marks))
	return rec, key
}

// nanoseconds is a time as far as 64 bits go.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Year() < 1700:
		return -1 << 62
	case t.Year() > 2200:
		return 1 << 62
	}
	return t.UnixNano()
}

// put adds a record. One that is there already is left as it is.
func (x *index) put(rec *record, key groupKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byPlace[rec.place] == nil {
		x.add(rec, key)
	}
}

// putBeside adds a record that is not there, at its place or the next that is free.
func (x *index) putBeside(rec *record, key groupKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.byPlace[rec.place] != nil {
		rec.place++
	}
	x.add(rec, key)
}

// add is called with mu held.
func (x *index) add(rec *record, key groupKey) {
	delete(x.broken, rec.place)
	if x.marks+len(rec.marks) > maxMarks {
		rec.marks, rec.partial = nil, true
	}
	if len(x.byPlace) >= x.most && rec.place < x.floor {
		x.beyond++
		return
	}
	g := x.groups[key]
	if g == nil {
		g = &group{groupKey: key}
		x.groups[key] = g
	}
	g.records++
	rec.group = g
	if x.copies[rec.identity]++; x.copies[rec.identity] == 2 {
		x.repeated++
	}
	x.marks += len(rec.marks)
	if rec.partial {
		x.partial++
	}
	x.byPlace[rec.place] = rec
	x.fresh = append(x.fresh, rec)
	if len(x.byPlace) >= x.most+x.most/sparePart {
		x.forgetOldest()
	}
}

// forgetOldest leaves as many of the newest as there may be. mu is held.
func (x *index) forgetOldest() {
	x.merge()
	i := 0
	for ; len(x.byPlace) > x.most; i++ {
		if r := x.order[i]; !r.gone {
			x.drop(r)
			x.beyond++
		}
	}
	clear(x.order[:i])
	x.order = x.order[i:]
	x.floor = x.order[0].place
}

// merge brings what is fresh into the order. mu is held.
func (x *index) merge() {
	if len(x.fresh) == 0 {
		return
	}
	byPlace := func(a, b *record) int { return cmp.Compare(a.place, b.place) }
	slices.SortFunc(x.fresh, byPlace)
	merged := make([]*record, 0, len(x.byPlace))
	older, fresh := x.order, x.fresh
	for len(older)+len(fresh) > 0 {
		from := &older
		if len(older) == 0 || len(fresh) > 0 && fresh[0].place < older[0].place {
			from = &fresh
		}
		if r := (*from)[0]; !r.gone {
			merged = append(merged, r)
		}
		*from = (*from)[1:]
	}
	x.order, x.fresh = merged, nil
}

// remove forgets the dead letters of these places.
func (x *index) remove(places []uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range places {
		delete(x.broken, p)
		if r := x.byPlace[p]; r != nil {
			x.drop(r)
		}
	}
}

// drop forgets a record. mu is held.
func (x *index) drop(r *record) {
	delete(x.byPlace, r.place)
	r.gone = true
	x.marks -= len(r.marks)
	if r.partial {
		x.partial--
	}
	switch x.copies[r.identity]--; x.copies[r.identity] {
	case 0:
		delete(x.copies, r.identity)
	case 1:
		x.repeated--
	}
	if r.group.records--; r.group.records == 0 {
		delete(x.groups, r.group.groupKey)
	}
}

// isBroken notes that the dead letter of a place can't be read from the disk.
func (x *index) isBroken(place uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.broken) < maxRecords {
		x.broken[place] = true
	}
}

// notSearched is how many dead letters have too many events to be searched for one.
func (x *index) notSearched() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.partial
}

// size is how many dead letters the index knows.
func (x *index) size() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.byPlace) + len(x.broken) + x.beyond
}
