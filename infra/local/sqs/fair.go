package sqs

import (
	"container/heap"
	"hash/crc32"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// Fairness is an assumption about how SQS hands out the messages of a queue in which senders set
// MessageGroupId. A group that is noisy waits while a quiet one has a message that is visible.
// Every message without a MessageGroupId is a group of its own, and quiet. Among quiet ones the
// oldest message is first.
type Fairness uint8

const (
	// FairAsDocumented is what AWS has published ("How Amazon SQS fair queues work" in the developer
	// guide, 2026), with its thresholds taken as exact, which AWS says they are not. A group is noisy
	// when it has at least 30 messages and over a tenth of all messages in flight, or took over a
	// tenth of the time for which messages were in flight lately. It is quiet again when its backlog
	// is gone, or when none of it has been in flight for 5 minutes. Of several noisy groups the one
	// with the fewest messages in flight is first. Our own assumption is what lately means: this minute
	// and the one before.
	FairAsDocumented Fairness = iota
	// FairLate is less: what was known at the announcement in 2025, seen late. A group is noisy when
	// it has over a tenth of the messages in flight, which is looked at every 5 s. Noisy groups have
	// no order among each other but that of their messages.
	FairLate
	// Unfair hands out the oldest message first, as SQS did before.
	Unfair
)

const (
	noisyPart     = 10 // a noisy group has over one part in so many
	noisyInFlight = 30
	quietAfter    = int64(5 * time.Minute / time.Millisecond)
	lateness      = int64(5 * time.Second / time.Millisecond)
	recently      = int64(time.Minute / time.Millisecond)
)

// groupOf returns the group of a MessageGroupId, which is in memory with each message; 0: it is
// empty. Two ids are one group by accident once in four thousand million pairs.
func groupOf(id string) uint32 {
	if id == "" {
		return 0
	}
	return max(1, crc32.ChecksumIEEE([]byte(id)))
}

// A group is the messages with one MessageGroupId.
type group struct {
	id       uint32
	waiting  *btree.BTreeG[*store.Message] // those that are not in flight, by place
	first    *store.Message                // of waiting; nil: there is none
	noisy    bool
	inFlight int
	landed   int64 // when its last message stopped being in flight, Unix milliseconds
	busy     busy
	index    int // in the heap of quiet groups
}

// busy is for how long messages were in flight in this minute and the one before, in milliseconds.
type busy struct{ minute, current, before int64 }

func (b *busy) add(now, took int64) {
	b.roll(now)
	b.current += took
}

func (b *busy) roll(now int64) {
	switch minute := now / recently; minute {
	case b.minute:
	case b.minute + 1:
		*b = busy{minute, 0, b.current}
	default:
		*b = busy{minute: minute}
	}
}

func (b *busy) recent(now int64) int64 {
	b.roll(now)
	return b.current + b.before
}

// waiting has a queue's messages that are not in flight, by group and place, and decides which of
// them is received next. Its caller holds the backlog's mu.
type waiting struct {
	fairness Fairness
	none     *group            // the messages without a MessageGroupId; never noisy
	groups   map[uint32]*group // the others
	quiet    quietGroups       // with messages, by the place of the first
	noisy    []*group          // with messages
	inFlight int
	busy     busy
	judged   int64 // FairLate: when it was last looked which groups are noisy
	sweepAt  int   // at how many groups those without messages are removed
}

func newWaiting(f Fairness) *waiting {
	return &waiting{fairness: f, none: newGroup(0), groups: map[uint32]*group{}, sweepAt: 64}
}

func newGroup(id uint32) *group {
	return &group{id: id, index: -1, waiting: btree.NewBTreeGOptions(func(a, b *store.Message) bool {
		return placeOf(a).compare(placeOf(b)) < 0
	}, btree.Options{NoLocks: true})}
}

// of returns a message's group.
func (w *waiting) of(m *store.Message) *group {
	if m.Group == 0 || w.fairness == Unfair {
		return w.none
	}
	g := w.groups[m.Group]
	if g == nil {
		if len(w.groups) >= w.sweepAt {
			w.sweep()
		}
		g = newGroup(m.Group)
		w.groups[m.Group] = g
	}
	return g
}

// sweep forgets the groups without messages, so that their number is bounded by that of messages.
func (w *waiting) sweep() {
	for id, g := range w.groups {
		if g.first == nil && g.inFlight == 0 {
			delete(w.groups, id)
		}
	}
	w.sweepAt = max(64, 2*len(w.groups))
}

// add adds a message that is not in flight.
func (w *waiting) add(m *store.Message) {
	g := w.of(m)
	g.waiting.Set(m)
	if g.first == nil || placeOf(m).compare(placeOf(g.first)) < 0 {
		w.lead(g, m)
	}
}

// remove removes a message; it need not be there.
func (w *waiting) remove(m *store.Message) {
	g := w.of(m)
	g.waiting.Delete(m)
	if m == g.first {
		first, _ := g.waiting.Min()
		w.lead(g, first)
	}
}

// lead notes which message of a group is the first, nil for none.
func (w *waiting) lead(g *group, first *store.Message) {
	had := g.first != nil
	g.first = first
	switch {
	case g.noisy && first == nil: // its backlog is gone
		w.setNoisy(g, false)
	case g.noisy && !had:
		w.noisy = append(w.noisy, g)
	case g.noisy:
	case first == nil && had:
		heap.Remove(&w.quiet, g.index)
	case first != nil && had:
		heap.Fix(&w.quiet, g.index)
	case first != nil:
		heap.Push(&w.quiet, g)
	}
}

// setNoisy puts a group where it belongs.
func (w *waiting) setNoisy(g *group, noisy bool) {
	if g.noisy == noisy {
		return
	}
	g.noisy = noisy
	switch {
	case noisy && g.first != nil:
		heap.Remove(&w.quiet, g.index)
		w.noisy = append(w.noisy, g)
	case !noisy:
		w.noisy = slices.DeleteFunc(w.noisy, func(o *group) bool { return o == g })
		if g.first != nil {
			heap.Push(&w.quiet, g)
		}
	}
}

// first is the message with the first place of all, or nil.
func (w *waiting) first() *store.Message {
	var first *store.Message
	if len(w.quiet) > 0 {
		first = w.quiet[0].first
	}
	for _, g := range w.noisy {
		if first == nil || placeOf(g.first).compare(placeOf(first)) < 0 {
			first = g.first
		}
	}
	return first
}

// next removes and returns the message to be received next, or nil: none is visible.
func (w *waiting) next(now int64) *store.Message {
	w.judge(now)
	var from *group
	if len(w.quiet) > 0 && visible(w.quiet[0].first, now) {
		from = w.quiet[0]
	}
	for _, g := range w.noisy {
		if visible(g.first, now) && (from == nil || from.noisy && w.before(g, from)) {
			from = g
		}
	}
	if from == nil {
		return nil
	}
	m := from.first
	w.remove(m)
	return m
}

// before reports whether a noisy group is served before another one.
func (w *waiting) before(a, b *group) bool {
	if w.fairness == FairAsDocumented && a.inFlight != b.inFlight {
		return a.inFlight < b.inFlight
	}
	return placeOf(a.first).compare(placeOf(b.first)) < 0
}

// took notes that a message is in flight.
func (w *waiting) took(m *store.Message, now int64) {
	g := w.of(m)
	g.inFlight++
	w.inFlight++
	if w.fairness == FairAsDocumented && g != w.none && g.first != nil && !g.noisy {
		many := g.inFlight >= noisyInFlight && g.inFlight*noisyPart > w.inFlight
		w.setNoisy(g, many || g.busy.recent(now)*noisyPart > w.busy.recent(now))
	}
}

// ended notes that a message is no longer in flight, which was received then.
func (w *waiting) ended(m *store.Message, received, now int64) {
	g := w.of(m)
	g.inFlight--
	w.inFlight--
	g.landed = now
	g.busy.add(now, max(0, now-received))
	w.busy.add(now, max(0, now-received))
}

// judge decides what depends on time.
func (w *waiting) judge(now int64) {
	switch {
	case w.fairness == FairAsDocumented:
		for _, g := range slices.Backward(w.noisy) {
			if g.inFlight == 0 && now-g.landed >= quietAfter {
				w.setNoisy(g, false)
			}
		}
	case w.fairness == FairLate && now-w.judged >= lateness:
		w.judged = now
		for _, g := range w.groups {
			w.setNoisy(g, g.inFlight*noisyPart > w.inFlight)
		}
	}
}

// noisyMessages is how many messages of noisy groups are not in flight, and how many are.
func (w *waiting) noisyMessages() (waiting, inFlight int64) {
	for _, g := range w.noisy {
		waiting += int64(g.waiting.Len())
		inFlight += int64(g.inFlight)
	}
	return waiting, inFlight
}

// quietGroups is a heap by the place of the first message.
type quietGroups []*group

func (h quietGroups) Len() int           { return len(h) }
func (h quietGroups) Less(i, j int) bool { return placeOf(h[i].first).compare(placeOf(h[j].first)) < 0 }
func (h quietGroups) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *quietGroups) Push(x any) {
	g := x.(*group)
	g.index = len(*h)
	*h = append(*h, g)
}

func (h *quietGroups) Pop() any {
	old := *h
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	g.index = -1
	return g
}
