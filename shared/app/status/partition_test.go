package status

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

// A fault is what is wrong between the two writers and the two buckets for some minutes. Nothing
// else is at that time, so that in each minute one writer writes one bucket at least.
type fault struct {
	from, to int
	name     string
	cut      func(writer int, bucket string) bool
	stopped  int // the writer that is not invoked; -1: none
}

func faults(r *rand.Rand, minutes int) (all []fault) {
	nobody := func(int, string) bool { return false }
	kinds := []fault{
		{name: "the first bucket is away", cut: func(_ int, b string) bool { return b == first }, stopped: -1},
		{name: "the second bucket is away", cut: func(_ int, b string) bool { return b == second }, stopped: -1},
		{name: "each writer reaches its own bucket only", stopped: -1,
			cut: func(writer int, b string) bool { return writer == 0 && b == second || writer == 1 && b == first }},
		{name: "each writer reaches the other bucket only", stopped: -1,
			cut: func(writer int, b string) bool { return writer == 0 && b == first || writer == 1 && b == second }},
		{name: "the first region is away", cut: func(writer int, b string) bool { return writer == 0 || b == first },
			stopped: 0},
		{name: "the first function does not run", cut: nobody, stopped: 0},
		{name: "the second function does not run", cut: nobody, stopped: 1},
	}
	for at := 5; at < minutes-10; {
		f := kinds[r.IntN(len(kinds))]
		f.from, f.to = at, min(at+3+r.IntN(30), minutes-10)
		all = append(all, f)
		at = f.to + 3 + r.IntN(10)
	}
	return all
}

// during is the fault of a minute; one without a name: there is none.
func during(all []fault, minute int) fault {
	for _, f := range all {
		if f.from <= minute && minute < f.to {
			return f
		}
	}
	return fault{cut: func(int, string) bool { return false }, stopped: -1}
}

func TestWhateverIsCutOffBothBucketsTellTheSameAfterwards(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*modelSeeds) {
		synctest.Test(t, func(t *testing.T) { runPartitions(t, seed, *modelHours*60) })
	}
}

func runPartitions(t *testing.T, seed uint64, minutes int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	ingest, ingestIncidents := outages(r, status.Ingest, minutes, false)
	delivery, deliveryIncidents := outages(r, status.Delivery, minutes, false)
	all, broken := append(ingest, delivery...), faults(r, minutes)
	w := newWorld(t, 2)
	var posted []string
	begun := time.Now()
	for minute := range minutes {
		w.play(all, minute)
		f := during(broken, minute)
		w.cut = f.cut
		if r.IntN(60) == 0 {
			posted = append(posted, w.post(r, fmt.Sprint("operator's ", minute)))
		}
		var running []int
		for i := range w.functions {
			if i != f.stopped {
				running = append(running, i)
			}
		}
		w.minute(running...)
		if age := time.Since(later(w.observed(first), w.observed(second))); age > 2*time.Minute {
			t.Fatalf("seed %d: in minute %d, when %s, the newest page is %v old", seed, minute, f.name, age)
		}
	}
	a, b := w.document(first), w.document(second)
	agree(t, seed, &a, &b)
	for bucket, d := range map[string]*status.Document{first: &a, second: &b} {
		count(t, seed, bucket, w.history(bucket, d), posted,
			map[status.Part]int{status.Ingest: ingestIncidents, status.Delivery: deliveryIncidents})
		lengths(t, seed, d, all, w.places, time.Since(begun))
	}
}

// post posts an incident into a bucket that the operator reaches, and returns its title.
func (w *world) post(r *rand.Rand, title string) string {
	w.t.Helper()
	order := r.Perm(2)
	for _, i := range order {
		k := &status.Keeper{Store: w.store(-1, w.buckets[i], status.SiteFolder),
			Peers: []status.Store{w.store(-1, w.buckets[1-i], status.SiteFolder)}}
		_, err := k.Edit(w.t.Context(), func(d *status.Document, now time.Time) error {
			i, err := d.Post(status.Message{Title: title, Text: "text of " + title}, now)
			if err != nil {
				return err
			}
			_, err = d.Resolve(i.ID, status.Message{Text: "over: " + title}, now)
			return err
		})
		if err == nil {
			return title
		}
		if !strings.Contains(err.Error(), "no route to host") {
			w.t.Errorf("post: %v", err)
		}
	}
	w.t.Error("the operator reaches no bucket")
	return title
}

// observed is when the document in a bucket was last observed; zero: there is none.
func (w *world) observed(bucket string) time.Time {
	d, err := status.Parse(w.s3[bucket].Objects(bucket)["site/status.json"].Data)
	if err != nil && !errors.Is(err, status.ErrBroken) {
		w.t.Error(err)
	}
	return d.ObservedAt
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func agree(t *testing.T, seed uint64, a, b *status.Document) {
	t.Helper()
	for i := range max(len(a.Incidents), len(b.Incidents)) {
		if i >= len(a.Incidents) || i >= len(b.Incidents) {
			t.Errorf("seed %d: the buckets have %d and %d incidents", seed, len(a.Incidents), len(b.Incidents))
			return
		}
		if x, y := a.Incidents[i], b.Incidents[i]; fmt.Sprintf("%+v", x) != fmt.Sprintf("%+v", y) {
			t.Errorf("seed %d: the buckets tell differently of an incident:\n%+v\n%+v", seed, x, y)
		}
	}
}

// history are the incidents of a bucket: those of the document, and older ones of the months'
// files.
func (w *world) history(bucket string, d *status.Document) map[string]status.Incident {
	w.t.Helper()
	all := map[string]status.Incident{}
	for _, month := range d.Months {
		m, err := status.ParseMonth(w.s3[bucket].Objects(bucket)["site/"+status.MonthFile(month)].Data)
		if err != nil {
			w.t.Fatalf("%s: %s: %v", bucket, month, err)
		}
		for _, i := range m.Incidents {
			all[i.ID] = i
		}
	}
	for _, i := range d.Incidents {
		all[i.ID] = i
	}
	return all
}

func count(t *testing.T, seed uint64, bucket string, incidents map[string]status.Incident, posted []string,
	automatic map[status.Part]int) {
	t.Helper()
	found, titles := map[status.Part]int{}, []string(nil)
	for _, i := range incidents {
		found[i.Part]++
		if i.Open() {
			t.Errorf("seed %d: the incident %s is open after all is over", seed, i.ID)
		}
		if i.Part == "" {
			titles = append(titles, i.Title)
			if len(i.Updates) != 2 {
				t.Errorf("seed %d: the operator's incident has the updates %+v", seed, i.Updates)
			}
		}
	}
	slices.Sort(titles)
	slices.Sort(posted)
	if !slices.Equal(titles, posted) {
		t.Errorf("seed %d: the operator posted %q, and %s has %q", seed, posted, bucket, titles)
	}
	for part, n := range automatic {
		if found[part] != n {
			t.Errorf("seed %d: %s has %d incidents of %s, want %d", seed, bucket, found[part], part, n)
		}
	}
}

// lengths compares for how long each component was down with what it was. Where two writers look at
// different seconds, and what one of them saw counts for three minutes, the end of an outage is a
// few minutes late at most.
func lengths(t *testing.T, seed uint64, d *status.Document, all []outage, places []*place, elapsed time.Duration) {
	t.Helper()
	for _, c := range d.Components {
		var bad, tolerance, got, sum time.Duration
		for _, o := range all {
			if string(o.part)+"-"+places[o.place].name == c.ID {
				bad += time.Duration(o.to-o.from) * time.Minute
				tolerance += 4 * time.Minute
			}
		}
		for _, day := range c.Days {
			got += time.Duration(day.Outage+day.Degraded) * time.Second
			sum += time.Duration(day.Outage+day.Degraded+day.Operational+day.Unknown+day.Maintenance) * time.Second
		}
		if (got-bad).Abs() > tolerance || sum > elapsed {
			t.Errorf("seed %d: %s was bad for %v of %v, want %v (± %v) of %v", seed, c.ID, got, sum, bad, tolerance, elapsed)
		}
	}
}
