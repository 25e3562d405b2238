package status_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

func TestTwoWritersAtTheSameMomentLoseNothingOfEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.fail = func(do, _ string) error { // so that both have read before one writes
			if do == "read" {
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				name := fmt.Sprintf("writer-%d", w)
				k := &status.Keeper{Store: store}
				o := look(time.Time{}, status.Up, status.Up, 0)
				o.Writer, o.Regions[0].Name = name, name
				if _, err := k.Observe(t.Context(), o); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		writers.Wait()
		d, err := (&status.Keeper{Store: store}).Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Writers) != 4 || len(d.Components) != 8 {
			t.Errorf("the document has %d writers and %d components, want 4 and 8", len(d.Writers), len(d.Components))
		}
	})
}

func TestAStoreThatRefusesTheWriteIsAnErrorAndTheNextObservationGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := &status.Keeper{Store: store}
		down := errors.New("503 SlowDown")
		store.fail = func(do, _ string) error {
			if do == "write" {
				return down
			}
			return nil
		}
		if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0)); !errors.Is(err, down) {
			t.Errorf("the error is %v", err)
		}
		store.fail = nil
		time.Sleep(time.Minute)
		if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0)); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyWhatIsNewIsPutAndAfterAChangeAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := &status.Keeper{Store: store, Site: &status.Site{Title: "Example"}}
		minute := func(s status.Sight) (puts []string) {
			store.puts = nil
			if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, s, 0)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			slices.Sort(store.puts)
			return store.puts
		}
		if first := minute(status.Up); !slices.Contains(first, "feed.atom") || !slices.Contains(first, "site.json") ||
			!slices.Contains(first, "api/v2/summary.json") {
			t.Errorf("at first %q are put", first)
		}
		minute(status.Up) // which writes the month
		if got := minute(status.Up); !slices.Equal(got, []string{"index.html"}) {
			t.Errorf("when nothing has changed %q are put", got)
		}
		if got := minute(status.Down); !slices.Contains(got, "api/v2/incidents/unresolved.json") {
			t.Errorf("after a change %q are put", got)
		}
		for range 2 {
			minute(status.Down)
		}
		before := len(store.files)
		var all []string
		for range 61 {
			all = append(all, minute(status.Down)...)
		}
		if !slices.Contains(all, "feed.atom") || len(store.files) != before {
			t.Errorf("in an hour %q are put", slices.Compact(all))
		}
	})
}

func TestAPageThatIsRefusedIsPutTheNextTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := &status.Keeper{Store: store}
		store.fail = func(do, name string) error {
			if do == "put" && name == "feed.atom" {
				return errors.New("503 SlowDown")
			}
			return nil
		}
		d, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0))
		if err == nil || !strings.Contains(err.Error(), "put feed.atom: 503 SlowDown") || d.WrittenAt.IsZero() {
			t.Errorf("the error is %v, the document was written at %v", err, d.WrittenAt)
		}
		if len(store.files["index.html"]) == 0 {
			t.Error("the other pages are not put")
		}
		store.fail = nil
		time.Sleep(time.Minute)
		if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0)); err != nil ||
			len(store.files["feed.atom"]) == 0 {
			t.Errorf("the next time: %v", err)
		}
	})
}

func TestAnOperatorsPagesHaveTheNamesThatTheFunctionHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		if _, err := (&status.Keeper{Store: store, Site: &status.Site{Title: "Shop events"}}).Observe(t.Context(),
			look(time.Time{}, status.Up, status.Up, 0)); err != nil {
			t.Fatal(err)
		}
		d, err := (&status.Keeper{Store: store}).Edit(t.Context(), func(d *status.Document, now time.Time) error {
			_, err := d.Post(status.Message{Title: "A", Text: "b"}, now)
			return err
		})
		if err != nil || len(d.Incidents) != 1 ||
			!strings.Contains(string(store.files["index.html"]), "<h1>Shop events</h1>") {
			t.Errorf("%v\n%s", err, store.files["index.html"])
		}
		store.files["site.json"] = []byte(`{"title": 1}`)
		if _, err := (&status.Keeper{Store: store}).Edit(t.Context(),
			func(*status.Document, time.Time) error { return nil }); err == nil ||
			!strings.Contains(err.Error(), `read site.json`) {
			t.Errorf("a broken site.json: %v", err)
		}
	})
}

func TestTwoBucketsBecomeOneSiteAndTheirMonthsHaveAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMemory(), newMemory()
		keepers := []*status.Keeper{{Store: a, Peers: []status.Store{b}}, {Store: b, Peers: []status.Store{a}}}
		minute := func(s status.Sight) (docs [2]status.Document) {
			for n, k := range keepers {
				o := look(time.Time{}, status.Up, s, time.Minute)
				o.Writer = fmt.Sprint("writer", n)
				var err error
				if docs[n], err = k.Observe(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
			}
			return docs
		}
		minute(status.Up)
		posted := status.Incident{}
		if _, err := keepers[0].Edit(t.Context(), func(d *status.Document, now time.Time) (err error) {
			posted, err = d.Post(status.Message{Title: "By hand", Text: "Here.", Components: []string{"ingest"}}, now)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			minute(status.Down)
		}
		if _, err := keepers[1].Edit(t.Context(), func(d *status.Document, now time.Time) error {
			_, err := d.Resolve(posted.ID, status.Message{}, now)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		minute(status.Down)
		docs := minute(status.Down)
		for n, store := range []*memory{a, b} {
			if d := docs[n]; len(d.Incidents) != 2 || len(d.Writers) != 2 || len(d.Pending) > 0 {
				t.Errorf("document %d has %d incidents, %d writers, and %v are pending", n, len(d.Incidents), len(d.Writers),
					d.Pending)
			}
			m, err := status.ParseMonth(store.files[status.MonthFile("2000-01")]) // the bubble's time begins then
			if err != nil || len(m.Incidents) != 2 {
				t.Errorf("month %d has %d incidents: %v", n, len(m.Incidents), err)
			}
		}
		// What both have cut comes back from neither.
		time.Sleep(20 * 24 * time.Hour)
		for range 25 {
			docs = minute(status.Up)
		}
		if len(docs[0].Incidents) != 1 || len(docs[1].Incidents) != 1 { // the automatic one has just ended
			t.Errorf("after 20 days they have %d and %d incidents", len(docs[0].Incidents), len(docs[1].Incidents))
		}
	})
}
