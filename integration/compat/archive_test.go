package compat

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
)

func TestTheArchiveOfAVersionIsRead(t *testing.T) {
	t.Parallel()
	everyVersion(t, func(t *testing.T, s *sample) {
		if !s.has(archiveFile) {
			t.Skipf("%s: %s", s.Name, s.Lacks[archiveFile])
		}
		s.archiveIsRead(t)
	})
}

// archiveIsRead looks for every event that the version delivered, and every reason why one was not.
func (s *sample) archiveIsRead(t *testing.T) {
	t.Helper()
	w, err := dirstore.OpenWriter(s.readDir(t, archiveFile), dirstore.Options{}) // which takes it over
	if err != nil {
		t.Fatal(err)
	}
	records := recordsIn(t, w.Store())
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	archived, dead := map[delivered]bool{}, reasons{}
	for i := range records {
		switch r := &records[i]; r.Outcome {
		case archive.Delivered:
			archived[delivered{Event: string(r.Event), WriteKey: cmp.Or(r.WriteKey, "default")}] = true
		case archive.DeadLettered:
			dead[r.Reason]++
		}
	}
	var want []delivered
	s.readJSON(t, deliveredFile, &want)
	for _, d := range want {
		if !archived[delivered{Event: d.Event, WriteKey: d.WriteKey}] {
			t.Errorf("%s: what was delivered is not archived: %+v", s.Name, d)
		}
	}
	for reason := range reasonsIn(t, string(s.read(t, listFile))) {
		if dead[reason] == 0 {
			t.Errorf("%s: no dead letter is archived with the reason %s: %v", s.Name, reason, dead)
		}
	}
	s.isFound(t, w.Store(), want)
}

func recordsIn(t *testing.T, store archive.Store) (records []archive.Record) {
	t.Helper()
	for o, err := range store.Objects(t.Context(), time.Time{}, time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		object, err := store.Open(t.Context(), o, 0)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := archive.Select(t.Context(), object, 0, 2, func([]byte) bool { return true },
			func(l archive.Line) error {
				r, err := archive.ParseRecord(slices.Clone(l.Data))
				records = append(records, r)
				return err
			})
		object.Close()
		if err != nil || len(stats.Damage) > 0 {
			t.Fatalf("%s: %v, %v", o.Name, err, stats.Damage)
		}
	}
	return records
}

// isFound looks for the events by the index.
func (s *sample) isFound(t *testing.T, store archive.Finder, events []delivered) {
	t.Helper()
	for _, d := range events {
		var e struct{ MessageID string }
		if err := json.Unmarshal([]byte(d.Event), &e); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range store.Find(t.Context(), time.Time{}, time.Now().Add(time.Hour),
			archive.MessageIDTerm(e.MessageID)) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n == 0 {
			t.Errorf("%s: %s is not found", s.Name, e.MessageID)
		}
	}
}
