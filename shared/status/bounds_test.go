package status_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

// pageSizes checks that no page is larger than it may be, and returns the largest.
func pageSizes(t *testing.T, files map[string][]byte) (largest int) {
	t.Helper()
	for name, data := range files {
		if !strings.HasSuffix(name, ".html") {
			continue
		}
		largest = max(largest, len(data))
		if len(data) > status.MaxPage {
			t.Errorf("%s has %d bytes", name, len(data))
		}
	}
	return largest
}

var changes = flag.Int("changes", 1000, "how often components change their state in the test of very many changes")

// A component changes its state as often as hysteresis lets it. The keeper comes by every 100th
// time, as one comes by that could not write for a day.
func TestAfterThousandsOfChangesTheDocumentIsSmallAndTheMonthsHaveAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := &status.Keeper{Store: store}
		opened := 0
		for made := 0; made < *changes; {
			d, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0))
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			for range 100 {
				d, now = play(d, now, step{2, status.Up, status.Down}, step{11, status.Up, status.Up})
				opened++
			}
			made = d.Changes
			if err := store.Put(t.Context(), status.DocumentFile, "", d.Encode()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(now))
		}
		d, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0))
		if err != nil {
			t.Fatal(err)
		}
		months, err := k.Months(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		size, largest := len(d.Encode()), pageSizes(t, status.Render(status.Site{}, d, months))
		if size > 100<<10 {
			t.Errorf("the document has %d KB", size>>10)
		}
		updates := 0
		for _, m := range months {
			for _, i := range m.Incidents {
				if i.StartedAt.Format("2006-01") == m.Month {
					updates += len(i.Updates)
				}
				if i.Cut != 0 {
					t.Errorf("the file of %s lacks %d updates of %s", m.Month, i.Cut, i.ID)
				}
			}
		}
		t.Logf("%d changes: the document has %d bytes, the largest page %d", d.Changes, size, largest)
		// Each time it was down it was told that it is, and that it is well again.
		if updates != 2*opened {
			t.Errorf("the months have %d updates of the %d times that it was down", updates, opened)
		}
		if d.Lost != 0 {
			t.Errorf("%d were lost", d.Lost)
		}
	})
}

// full is a document of which everything is at its bound.
func full() (status.Site, status.Document) {
	long := func(what string, n int) string { return strings.Repeat(what+" ", n)[:n] }
	site := status.Site{Title: long("W", 60), URL: "https://status.example.com", Regions: map[string]string{}}
	for n := range 6 {
		site.Links = append(site.Links,
			status.Link{Text: long("link", 59) + fmt.Sprint(n), URL: "https://example.com/" + strings.Repeat("x", 400)})
	}
	d := status.New()
	var regions []status.Region
	for n := range 60 {
		name := fmt.Sprintf("region-%02d-%s", n, strings.Repeat("x", 80))
		regions = append(regions, status.Region{Name: name, Ingest: status.Up, Delivery: status.Down})
	}
	now := noon
	for n := range 200 {
		for k := range regions {
			regions[k].Delivery = []status.Sight{status.Down, status.Slow, status.Unknown, status.Up}[(n+k)%4]
		}
		d = status.Observe(d, status.Observation{Writer: "w", Regions: regions}, now)
		now = now.Add(13 * time.Hour)
	}
	for n := range 20 {
		must(d.Post(status.Message{Title: long("<b>title", 119) + fmt.Sprint(n)[:1],
			Text: strings.TrimSpace(long("<&\"'>", 2000))}, now))
		for range 30 {
			must(d.Update(d.Incidents[0].ID, status.Message{Text: strings.TrimSpace(long("https://example.com/<&>", 2000))},
				now))
		}
		if n < 19 {
			must(d.Schedule(status.Work{Title: fmt.Sprintf("work %d", n), Text: strings.TrimSpace(long("&&&&", 2000)),
				From:  now.Add(time.Hour),
				Until: now.Add(2 * time.Hour)}, now))
		}
	}
	return site, d
}

func TestAPageIsSmallWhateverTheDocumentHolds(t *testing.T) {
	site, d := full()
	if len(d.Components) != 32 {
		t.Fatalf("there are %d components, want those of 16 regions", len(d.Components))
	}
	months := []status.Month{status.Archive(status.Month{Month: "2027-02"}, d)}
	largest := pageSizes(t, status.Render(site, d, months))
	t.Logf("the largest page has %d bytes", largest)
}

func TestWhatIsCutWhileTheMonthCannotBeWrittenIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := &status.Keeper{Store: store}
		if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Up, 0)); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("403 AccessDenied")
		store.fail = func(do, name string) error {
			if do == "write" && strings.HasPrefix(name, "history/") {
				return refused
			}
			return nil
		}
		edit := func(text string) status.Document {
			d, err := k.Edit(t.Context(), func(d *status.Document, now time.Time) error {
				if len(d.Incidents) == 0 {
					_, err := d.Post(status.Message{Title: "Long", Text: "It goes on."}, now)
					return err
				}
				for range 50 {
					if _, err := d.Update(d.Incidents[0].ID, status.Message{Text: text}, now); err != nil {
						return err
					}
					now = now.Add(time.Second)
				}
				return nil
			})
			if !errors.Is(err, refused) || d.WrittenAt.IsZero() {
				t.Fatalf("the error is %v, and the document was written at %v", err, d.WrittenAt)
			}
			time.Sleep(time.Minute)
			return d
		}
		d := edit("")
		for range 5 {
			d = edit(strings.Repeat("x", 2000))
		}
		if d.Lost != 0 || len(d.Incidents[0].Updates) != 251 {
			t.Fatalf("%d are lost, %d there: nothing is cut below a megabyte", d.Lost, len(d.Incidents[0].Updates))
		}
		for range 8 {
			d = edit(strings.Repeat("x", 2000))
		}
		if d.Lost == 0 {
			t.Error("what was cut is not counted")
		}
		store.fail = nil
		if d, err := k.Edit(t.Context(), func(*status.Document, time.Time) error { return nil }); err != nil ||
			len(d.Pending) != 0 {
			t.Errorf("when it can be written again, %v are pending: %v", d.Pending, err)
		}
	})
}

func TestADocumentThatIsBrokenIsKeptAndWhatTheMonthsHaveIsTaken(t *testing.T) {
	for _, content := range []string{"", "{", "null", "[]", `"x"`, `{"version":"1"}`, "\x00\xff", `{"components":[]}`,
		`{"version":1,"incidents":[{"updates":[{"at":"9999-12-31T23:59:59Z"}]}]}`, // the next update can't be after it
		`{"version":1,"maintenances":[{"updatedAt":"9999-12-31T23:59:59Z"}]}`} {
		synctest.Test(t, func(t *testing.T) {
			store := newMemory()
			k := &status.Keeper{Store: store}
			for range 5 {
				if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Down, time.Minute)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			if err := store.Put(t.Context(), status.DocumentFile, "", []byte(content)); err != nil {
				t.Fatal(err)
			}
			d, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Down, time.Minute))
			if !errors.Is(err, status.ErrBroken) || !strings.Contains(err.Error(), "it is kept as broken/status.json-") {
				t.Errorf("%q: the error is %v", content, err)
			}
			if len(d.Incidents) != 1 || len(d.Components) != 2 || len(d.Months) != 1 {
				t.Errorf("%q: it begins with %+v", content, d)
			}
			for name, data := range store.files {
				if strings.HasPrefix(name, "broken/") && string(data) != content {
					t.Errorf("%q is kept as %q", content, data)
				}
			}
			time.Sleep(time.Minute)
			if _, err := k.Observe(t.Context(), look(time.Time{}, status.Up, status.Down, time.Minute)); err != nil {
				t.Errorf("%q: a minute later: %v", content, err)
			}
		})
	}
}

func TestTheNameOfAMonthCannotLeadOutOfTheSite(t *testing.T) {
	d, err := status.Parse([]byte(`{"version":1,"months":["../../../evil","2026-11","x"],"pending":["../evil","2026-10"]}`))
	if err != nil || !slices.Equal(d.Months, []string{"2026-11"}) || !slices.Equal(d.Pending, []string{"2026-10"}) {
		t.Errorf("the months are %q, those to be written %q: %v", d.Months, d.Pending, err)
	}
	if _, err := status.ParseMonth([]byte(`{"version":1,"month":"../evil"}`)); !errors.Is(err, status.ErrBroken) {
		t.Errorf("a month of that name: %v", err)
	}
}

func TestADocumentOfANewerVersionIsNotOverwritten(t *testing.T) {
	store := newMemory()
	newer := []byte(`{"version":2,"components":{"another":"form"}}`)
	if err := store.Put(t.Context(), status.DocumentFile, "", newer); err != nil {
		t.Fatal(err)
	}
	k := &status.Keeper{Store: store}
	if _, err := k.Observe(t.Context(), look(time.Now(), status.Up, status.Up, 0)); !errors.Is(err, status.ErrNewer) {
		t.Errorf("the error is %v", err)
	}
	if got, _, _ := store.Read(context.Background(), status.DocumentFile); string(got) != string(newer) {
		t.Errorf("it is now %s", got)
	}
}

func FuzzADocumentIsShownOrRefused(f *testing.F) {
	for _, s := range scenes() {
		f.Add(s.doc.Encode())
	}
	f.Add([]byte(`{"version":1,"components":[{"id":"ingest-x","part":"ingest","region":"x","days":[{"date":"2026-02-31"},{"date":"2026-02-01","outage":-1}]}]}`))
	f.Add([]byte(`{"version":1,"observedAt":"9999-12-31T23:59:59Z","incidents":[{"components":["x","-","ingest"]}],"months":["x","2026-13"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := status.Parse(data)
		if err != nil {
			if !errors.Is(err, status.ErrBroken) && !errors.Is(err, status.ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		m := status.Archive(status.Month{Month: "2026-11"}, d)
		if len(data) < 64<<10 {
			pageSizes(t, status.Render(status.Site{}, d, []status.Month{m}))
		}
		d = status.Observe(d, look(noon, status.Down, status.Slow, time.Hour), noon)
		d, _ = status.Trim(status.Merge(d, d))
		if _, err := status.Parse(d.Encode()); err != nil {
			t.Fatalf("what it became can't be read: %v", err)
		}
	})
}
