package traffic

import (
	"cmp"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/heavy"
)

// A Sender is an event name, a write key or a user, and what it has sent.
type Sender struct {
	By            heavy.By
	Name          string
	ID            string // the fingerprint of a write key with a name
	Events, Bytes uint64
	Most          uint64 // events that it may have sent at most: lines have the heaviest only
}

// identity is what the lines of several parts have in common: ingest knows the names of write keys,
// deliver only their fingerprints.
type identity struct {
	by heavy.By
	id string
}

func (s *Sender) identity() identity { return identity{s.By, cmp.Or(s.ID, s.Name)} }

// Senders adds up what came in by the lines of all parts, the heaviest first. An event that came in
// through the ingest endpoint is in the lines of deliver too, one of a publisher perhaps only
// there: so the larger of what ingest and publishers accepted and what deliver received is what
// came in.
func Senders(lines []heavy.Line) []Sender {
	senders, _ := addUp(lines)
	return senders
}

// addUp also returns how many events a sender that no line lists may have sent at most.
func addUp(lines []heavy.Line) (senders []Sender, unlisted map[heavy.By]uint64) {
	entered, received := sums{}, sums{}
	enteredBound, receivedBound := map[heavy.By]uint64{}, map[heavy.By]uint64{}
	for i := range lines {
		l := &lines[i]
		if l.Part == heavy.PartDeliver { // what is retried or a dead letter has come in too
			received.add(l, func(*heavy.Entry) bool { return true })
			addTo(receivedBound, l.Unlisted)
		} else {
			entered.add(l, func(e *heavy.Entry) bool { return e.Code == "" })
			addTo(enteredBound, l.Unlisted)
		}
	}
	for id, sum := range received {
		e := entered[id]
		if e == nil {
			e = &lineSum{Sender: sum.Sender}
			e.Events, e.Bytes = 0, 0
			entered[id] = e
		}
		e.Most = max(e.Events+enteredBound[id.by]-e.listed, sum.Events+receivedBound[id.by]-sum.listed)
		if sum.Events > e.Events {
			e.Events, e.Bytes = sum.Events, sum.Bytes
		}
	}
	for id, sum := range entered {
		if received[id] == nil {
			sum.Most = max(sum.Events+enteredBound[id.by]-sum.listed, receivedBound[id.by])
		}
		senders = append(senders, sum.Sender)
	}
	slices.SortFunc(senders, func(a, b Sender) int {
		return cmp.Or(-cmp.Compare(a.Events, b.Events), cmp.Compare(a.By, b.By), cmp.Compare(a.Name, b.Name))
	})
	for by, n := range receivedBound {
		enteredBound[by] = max(enteredBound[by], n)
	}
	return senders, enteredBound
}

// A lineSum adds up a Sender's entries. listed is the sum of the bounds of unlisted names in the
// lines that list it.
type lineSum struct {
	Sender
	listed uint64
	last   *heavy.Line
}

type sums map[identity]*lineSum

func (all sums) add(l *heavy.Line, takes func(*heavy.Entry) bool) {
	for i := range l.Heaviest {
		e := &l.Heaviest[i]
		if !takes(e) {
			continue
		}
		s := Sender{By: e.By, Name: e.Name, ID: e.ID}
		sum := all[s.identity()]
		if sum == nil {
			sum = &lineSum{Sender: s}
			all[s.identity()] = sum
		}
		sum.Events += e.Events
		sum.Bytes += e.Bytes
		if sum.last != l { // it has an entry for each code
			sum.listed += l.Unlisted[e.By]
			sum.last = l
		}
	}
}

func addTo(sum, more map[heavy.By]uint64) {
	for by, n := range more {
		sum[by] += n
	}
}

// maxWindow is how many senders of each kind the line of a comparison has.
const maxWindow = 50

// Sum is a line with the sums of the lines of all parts since a time, as comparisons write it: what
// came in counts once.
func Sum(pipeline string, from time.Time, lines []heavy.Line) heavy.Line {
	senders, unlisted := addUp(lines)
	l := heavy.Line{Time: from.Add(Interval), Level: "INFO", Message: heavy.Message, Pipeline: pipeline,
		Part: heavy.PartAll,
		From: from, Unlisted: unlisted}
	var entered, received heavy.Line
	for i := range lines {
		sum := &entered
		if lines[i].Part == heavy.PartDeliver {
			sum = &received
			sum.Events += lines[i].Refused
		} else {
			l.Refused += lines[i].Refused
		}
		sum.Events += lines[i].Events
		sum.Bytes += lines[i].Bytes
		l.Missed += lines[i].Missed
	}
	l.Events, l.Bytes = max(entered.Events, received.Events), max(entered.Bytes, received.Bytes)
	listed := map[heavy.By]int{}
	for _, s := range senders {
		switch {
		case s.By == heavy.ByUser:
		case listed[s.By] == maxWindow:
			unlisted[s.By] = max(unlisted[s.By], s.Most)
		default:
			listed[s.By]++
			e := heavy.Entry{By: s.By, Name: s.Name, ID: s.ID, Events: s.Events, Bytes: s.Bytes}
			if s.Most > s.Events {
				e.Most = s.Most
			}
			l.Heaviest = append(l.Heaviest, e)
		}
	}
	return l
}

// A Growth is how much more a Sender sends than is usual.
type Growth struct {
	Sender
	Usual float64 // events in Interval, at least Floor
	Times float64 // Events / Usual
}

// Grown compares what each sender sent in the Interval from a time on with what is usual for it:
// the most that it sent in one Interval an hour before, or around the same time yesterday or a week
// ago, at least Floor. It returns them by how much they have grown. ok is false if half of the
// lines of both days are missing: nothing is usual then.
func Grown(senders []Sender, windows []heavy.Line, from time.Time) (grown []Growth, ok bool) {
	var compared []*heavy.Line
	for n, s := range spans(from) {
		var found []*heavy.Line
		for i := range windows {
			if s.has(windows[i].From) {
				found = append(found, &windows[i])
			}
		}
		enough := len(found) >= int(s.to.Sub(s.from)/Interval)/2
		if n == hourBefore || enough {
			compared = append(compared, found...)
			ok = ok || n != hourBefore
		}
	}
	if !ok {
		return nil, false
	}
	usual := make([]map[identity]uint64, len(compared))
	for i, l := range compared {
		usual[i] = map[identity]uint64{}
		for _, e := range l.Heaviest {
			usual[i][(&Sender{By: e.By, Name: e.Name, ID: e.ID}).identity()] = max(e.Events, e.Most)
		}
	}
	for _, s := range senders {
		if s.By == heavy.ByUser {
			continue
		}
		g := Growth{Sender: s, Usual: Floor}
		for i, l := range compared {
			n, listed := usual[i][s.identity()]
			if !listed {
				n = l.Unlisted[s.By]
			}
			g.Usual = max(g.Usual, float64(n))
		}
		g.Times = float64(s.Events) / g.Usual
		grown = append(grown, g)
	}
	slices.SortStableFunc(grown, func(a, b Growth) int { return -cmp.Compare(a.Times, b.Times) })
	return grown, true
}
