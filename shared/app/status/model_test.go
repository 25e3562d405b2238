package status

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/status"
)

var (
	modelHours = flag.Int("status-hours", 2, "how many hours the model of the status site runs")
	modelSeeds = flag.Int("status-seeds", 1, "how many random runs of the model there are")
)

// An outage is what happens to a part of a region from one minute on and before another.
type outage struct {
	from, to int
	place    int
	part     status.Part
	how      func(*place)
	state    status.State // what customers are to be told
}

// outages are random ones of a part. Those that belong to one incident are less than 20 minutes
// apart, and others over an hour, so that the model needs no hysteresis of its own. It counts the
// incidents: groups with an outage of more than one look.
// None is of one look only if flicker is false.
func outages(r *rand.Rand, part status.Part, minutes int, flicker bool) (all []outage, incidents int) {
	kinds := map[status.Part][]outage{
		status.Ingest: {
			{how: func(p *place) { p.health = 503 }, state: status.Outage},
			{how: func(p *place) { p.fires = append(p.fires, "ingest-down") }, state: status.Outage},
			{how: func(p *place) { p.health = 429 }, state: status.Degraded},
		},
		status.Delivery: {
			{how: func(p *place) { p.fires = append(p.fires, "delivery-down") }, state: status.Outage},
			{how: func(p *place) { p.fires = append(p.fires, "delivery-slow") }, state: status.Degraded},
			{how: func(p *place) { p.fires = append(p.fires, "delivery-slow", "delivery-down") }, state: status.Outage},
			{how: func(p *place) { p.age, p.waiting = 1000, 5 }, state: status.Degraded},
		},
	}[part]
	for at := 5 + r.IntN(60); ; at += 65 + r.IntN(60) {
		opened := false
		for more := true; more; more = r.IntN(3) == 0 {
			o := kinds[r.IntN(len(kinds))]
			o.part, o.place, o.from = part, r.IntN(2), at
			o.to = at + 1
			if !flicker || r.IntN(4) > 0 {
				o.to += 2 + r.IntN(40)
			}
			if o.to+15 >= minutes { // so that what opens closes
				return all, incidents
			}
			all = append(all, o)
			if o.to > o.from+2 && !opened {
				opened = true
				incidents++
			}
			at = o.to + 1 + r.IntN(15)
		}
	}
}

// lose is a fault of S3 in some minutes: the document, or only the pages, are refused.
func lose(refusing, pagesOnly *atomic.Bool) s3test.Fault {
	var lost atomic.Int64
	return func(w http.ResponseWriter, q *http.Request, done bool) bool {
		document := strings.HasSuffix(q.URL.Path, "/status.json")
		if done || q.Method != http.MethodPut || !refusing.Load() && (!pagesOnly.Load() || document) {
			return false
		}
		s3test.Refuse(w, []int{403, 500, 503}[lost.Add(1)%3], "Because")
		return true
	}
}

// A ledger is what the model expects of the days: how long each component was in each state.
type ledger struct {
	last   time.Time // of the last observation that was written
	states map[string]status.State
	sums   map[string]map[status.State]time.Duration
}

// observe adds the time since the last observation in the states that it saw.
func (l *ledger) observe(at time.Time, states map[string]status.State) {
	for id, state := range l.states {
		if l.sums[id] == nil {
			l.sums[id] = map[status.State]time.Duration{}
		}
		l.sums[id][state] += at.Sub(l.last)
	}
	l.last, l.states = at, states
}

// truth is what customers are to be told of each component in a minute.
func truth(all []outage, minute int, places []*place) map[string]status.State {
	states := map[string]status.State{}
	for _, p := range places {
		states["ingest-"+p.name], states["delivery-"+p.name] = status.Operational, status.Operational
	}
	for _, o := range all {
		if o.from <= minute && minute < o.to {
			states[string(o.part)+"-"+places[o.place].name] = o.state
		}
	}
	return states
}

func TestADayOfRandomOutagesIsTheOneThatTheModelCounts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*modelSeeds) {
		synctest.Test(t, func(t *testing.T) { runModel(t, seed, *modelHours*60) })
	}
}

func runModel(t *testing.T, seed uint64, minutes int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	ingest, ingestIncidents := outages(r, status.Ingest, minutes, true)
	delivery, deliveryIncidents := outages(r, status.Delivery, minutes, true)
	all := append(ingest, delivery...)
	w := newWorld(t, 1)
	var refusing, pagesOnly atomic.Bool
	w.s3[first].Fail(lose(&refusing, &pagesOnly))
	l := &ledger{sums: map[string]map[status.State]time.Duration{}}
	for minute := range minutes {
		w.play(all, minute)
		// Never two minutes in a row, and not where an outage of one look would not be seen at all.
		refusing.Store(minute%2 == 1 && r.IntN(6) == 0 && !begins(all, minute))
		pagesOnly.Store(r.IntN(6) == 0)
		if r.IntN(8) == 0 {
			w.functions[0] = w.function(0) // a cold start
		}
		if r.IntN(8) == 0 { // invoked twice for this minute
			other, after := w.function(0), time.Duration(r.IntN(3))*time.Second
			go func() {
				time.Sleep(after)
				invoke(t, other)
			}()
		}
		begun := time.Now()
		w.minute(0)
		if !refusing.Load() {
			l.observe(begun, truth(all, minute, w.places))
		}
	}
	l.observe(w.document(first).ObservedAt, nil)
	compare(t, seed, w.document(first), l,
		map[status.Part]int{status.Ingest: ingestIncidents, status.Delivery: deliveryIncidents})
}

// play lets happen in the places what happens in a minute.
func (w *world) play(all []outage, minute int) {
	for i, p := range w.places {
		p.set(func(p *place) { p.fires, p.age, p.waiting, p.health = nil, 2, 1, 200 })
		for _, o := range all {
			if o.place == i && o.from <= minute && minute < o.to {
				p.set(o.how)
			}
		}
	}
}

func begins(all []outage, minute int) bool {
	for _, o := range all {
		if minute >= o.from-2 && minute <= o.from+2 || minute >= o.to-2 && minute <= o.to+2 {
			return true
		}
	}
	return false
}

func compare(t *testing.T, seed uint64, d status.Document, l *ledger, incidents map[status.Part]int) {
	t.Helper()
	got := map[string]map[status.State]time.Duration{}
	for _, c := range d.Components {
		sums := map[status.State]time.Duration{}
		for _, day := range c.Days {
			for state, seconds := range map[status.State]int{status.Operational: day.Operational, status.Degraded: day.Degraded,
				status.Outage: day.Outage, status.NotKnown: day.Unknown, status.UnderMaintenance: day.Maintenance} {
				sums[state] += time.Duration(seconds) * time.Second
			}
		}
		got[c.ID] = sums
	}
	for id, states := range l.sums {
		for _, state := range []status.State{status.Operational, status.Degraded, status.Outage, status.NotKnown,
			status.UnderMaintenance} {
			if got[id][state] != states[state] {
				t.Errorf("seed %d: %s was %s for %v, want %v", seed, id, state, got[id][state], states[state])
			}
		}
	}
	found := map[status.Part]int{}
	for _, i := range d.Incidents {
		found[i.Part]++
		if i.Open() {
			t.Errorf("seed %d: the incident %s is open after all is over", seed, i.ID)
		}
	}
	for part, n := range incidents {
		if found[part] != n {
			t.Errorf("seed %d: %d incidents of %s, want %d", seed, found[part], part, n)
		}
	}
}
