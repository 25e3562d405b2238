package local_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
)

// archivedEvents are the events of an archive, by outcome.
func archivedEvents(t *testing.T, dir string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	store := dirstore.Open(dir)
	for o, err := range store.Objects(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		file, err := store.Open(t.Context(), o, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		_, err = archive.Select(t.Context(), file, 0, 1, func([]byte) bool { return true }, func(l archive.Line) error {
			r, err := archive.ParseRecord(bytes.Clone(l.Data))
			all[r.Outcome] = append(all[r.Outcome], string(r.Event))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func track(t *testing.T, p *local.Pipeline, event string) {
	t.Helper()
	answer, err := http.Post(p.IngestURL+"/v1/track", "application/json", strings.NewReader(event))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	answer.Body.Close()
}

func TestWhatUpDeliversIsInItsArchive(t *testing.T) {
	t.Parallel()
	dir, arrivals := t.TempDir(), localtest.NewArrivals()
	config := local.Config{Dir: dir, IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add,
		Archive: &local.ArchiveBounds{Age: 24 * time.Hour, Bytes: 1 << 20}}
	for run := range 2 { // the second one goes on with what the first one has left
		t.Run(fmt.Sprint("run ", run), func(t *testing.T) {
			p := localtest.StartEager(t, config)
			id := fmt.Sprint("archived-", run)
			track(t, p, `{"writeKey":"wk","userId":"u","event":"e","messageId":"`+id+`"}`)
			arrivals.AwaitEvent(t, id)
			arrivals.Await(t, "the event is archived", func() bool { return p.Status().Archive.Events == 1 })
			s := p.Status()
			if s.Archive.Failure != "" || s.Archive.Bytes == 0 || s.Archive.Oldest.IsZero() && run > 0 {
				t.Errorf("%+v", s.Archive)
			}
			got := archivedEvents(t, s.ArchiveDir)[archive.Delivered]
			if len(got) != run+1 || !strings.Contains(strings.Join(got, ""), `"messageId":"`+id+`"`) {
				t.Errorf("archived: %q", got)
			}
		})
	}
	t.Run("another pipeline", func(t *testing.T) {
		config.Name = "staging"
		if s := localtest.StartEager(t, config).Status(); len(archivedEvents(t, s.ArchiveDir)) != 0 {
			t.Errorf("it has the archive of the first one: %s", s.ArchiveDir)
		}
	})
}

func TestAnArchiveThatFailsHoldsUpNoEvent(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{Dir: t.TempDir(), IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add,
		Archive: &local.ArchiveBounds{Age: 24 * time.Hour}})
	dir := p.Status().ArchiveDir
	blocked := dir + "/" + fmt.Sprint(time.Now().UTC().Year())
	if err := os.WriteFile(blocked, nil, 0o600); err != nil { // no folder can be made
		t.Fatal(err)
	}
	track(t, p, `{"writeKey":"wk","userId":"u","event":"e","messageId":"waits"}`)
	arrivals.AwaitEvent(t, "waits")
	arrivals.Await(t, "the archive has failed", func() bool { return p.Status().Archive.Waiting > 0 })
	if s := p.Status(); s.Archive.Failure == "" || s.Archive.Events != 0 || s.Delivered != 1 {
		t.Errorf("%+v, %d delivered", s.Archive, s.Delivered)
	}
}

func TestADeadLetterOfTheIngestEndpointIsInTheArchiveOfUp(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{Dir: t.TempDir(), IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add,
		Archive: &local.ArchiveBounds{Age: 24 * time.Hour, Bytes: 1 << 20}})
	answer, err := http.Post(p.IngestURL+"/v1/batch", "application/json", strings.NewReader(`{"writeKey":"wk","batch":[`+
		`{"type":"track","userId":"u","event":"e","messageId":"valid"},{"type":"track","userId":"u","messageId":"invalid"}]}`))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	answer.Body.Close()
	arrivals.Await(t, "both are archived", func() bool { return p.Status().Archive.Events == 2 })
	got := archivedEvents(t, p.Status().ArchiveDir)
	if dead := got[archive.DeadLettered]; len(got[archive.Delivered]) != 1 || len(dead) != 1 ||
		!strings.Contains(dead[0], `"messageId":"invalid"`) {
		t.Errorf("archived: %q", got)
	}
}
