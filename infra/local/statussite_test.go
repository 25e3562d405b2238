package local

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	appstatus "github.com/spillwayhq/spillway/shared/app/status"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/dirstore"
)

// sited is a status site whose pipeline is a reading that the test changes.
type sited struct {
	*statusSite
	dir     string
	log     testutil.Buffer
	reading atomic.Pointer[appstatus.Reading]
}

func newSited(t *testing.T) *sited {
	t.Helper()
	s := &sited{dir: t.TempDir()}
	s.set("OK")
	s.statusSite = &statusSite{dir: filepath.Join(s.dir, StatusFolder), name: "shop", due: make(chan struct{}, 1),
		logger: slog.New(slog.NewTextHandler(&s.log, nil)), look: func(context.Context) *appstatus.Reading {
			r := *s.reading.Load()
			r.At = time.Now()
			return &r
		}}
	return s
}

// set changes the state of the alarm delivery-down.
func (s *sited) set(state string) {
	s.reading.Store(&appstatus.Reading{Region: statusRegion, Health: appstatus.Health{Status: http.StatusOK},
		Alarms: map[string]string{"shop-delivery-down": state, "shop-delivery-slow": "OK", "shop-ingest-down": "OK"}})
}

func (s *sited) get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// minutes lets so many minutes pass, at whose ends the alarms are evaluated.
func (s *sited) minutes(n int) {
	for range n {
		time.Sleep(time.Minute)
		s.changed()
		synctest.Wait()
	}
}

// running runs a site in virtual time while test runs.
func running(t *testing.T, test func(t *testing.T, s *sited)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSited(t)
		stop := background(t.Context(), s.run)
		defer stop()
		synctest.Wait()
		test(t, s)
	})
}

func TestTheStatusSiteShowsAnOutageAsSoonAsItsAlarmFires(t *testing.T) {
	running(t, func(t *testing.T, s *sited) {
		if body := s.get("/").Body.String(); !strings.Contains(body, "All systems operational") {
			t.Errorf("at the start the page says\n%s", body)
		}
		s.minutes(2)
		s.set("ALARM")
		s.minutes(3)
		if body := s.get("/").Body.String(); strings.Contains(body, "All systems operational") ||
			!strings.Contains(body, "Investigating") {
			t.Errorf("in the outage the page says\n%s", body)
		}
		s.set("OK")
		s.minutes(12)
		if body := s.get("/").Body.String(); !strings.Contains(body, "All systems operational") {
			t.Errorf("afterwards the page says\n%s", body)
		}
		if s.problem() != "" || s.log.String() != "" {
			t.Errorf("%s\n%s", s.problem(), &s.log)
		}
	})
}

func TestAnOutageIsOverForTheStatusSiteWhenEventsAreDelivered(t *testing.T) {
	const ok, fires, noData = string(cloudwatch.OK), string(cloudwatch.Alarm), string(cloudwatch.InsufficientData)
	answers := deadletter.Minute{Answered: 1}
	for _, c := range []struct {
		name               string
		status             Status
		down               string
		wantDown, wantSlow string
	}{
		{"all is delivered", Status{}, fires, ok, ok},
		{"nothing has come in yet", Status{}, noData, ok, ok},
		{"it is delivered at once", Status{Backlog: 1, OldestAge: time.Second, Segment: answers}, fires, ok, ok},
		{"it is delivered late", Status{Backlog: 1, OldestAge: time.Minute, Segment: answers}, fires, ok, fires},
		{"it is late and no alarm fires", Status{Backlog: 1, OldestAge: time.Minute, Segment: answers}, ok, ok, ok},
		{"nothing is delivered", Status{Backlog: 1, OldestAge: time.Second}, fires, fires, ok},
		{"Segment fails", Status{Degraded: "it fails", Segment: answers}, fires, fires, ok},
		{"no alarm is evaluated", Status{}, "", "", ok},
	} {
		alarms := map[string]string{"down": c.down, "slow": ok}
		c.status.correct(alarms, "down", "slow")
		if alarms["down"] != c.wantDown || alarms["slow"] != c.wantSlow {
			t.Errorf("%s: %v, want %s and %s", c.name, alarms, c.wantDown, c.wantSlow)
		}
	}
}

func TestTheStatusSiteIsServedAsCloudFrontServesIt(t *testing.T) {
	running(t, func(t *testing.T, s *sited) {
		logo := filepath.Join(s.dir, StatusFolder, "logo.svg")
		if err := os.WriteFile(logo, []byte("<svg><script>alert(1)</script></svg>"), 0o600); err != nil {
			t.Fatal(err)
		}
		if policy := s.get("/logo.svg").Header().Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") ||
			strings.Contains(policy, "default-src 'self'") {
			t.Errorf("a picture that is opened by itself may do %q", policy)
		}
		for path, want := range map[string]struct {
			status int
			kind   string
		}{
			"/":                            {200, "text/html; charset=utf-8"},
			"/index.html":                  {200, "text/html; charset=utf-8"},
			"/status.json":                 {200, "application/json"},
			"/api/v2/summary.json":         {200, "application/json"},
			"/feed.atom":                   {200, "application/atom+xml; charset=utf-8"},
			"/history/1999-01.html":        {404, "text/plain; charset=utf-8"},
			"/history/":                    {404, "text/plain; charset=utf-8"},
			"/.lock":                       {404, "text/plain; charset=utf-8"},
			"/../deliver.log":              {404, "text/plain; charset=utf-8"},
			"/history/../../x":             {404, "text/plain; charset=utf-8"},
			"//etc/passwd":                 {404, "text/plain; charset=utf-8"},
			"/api":                         {404, "text/plain; charset=utf-8"},
			"/%00":                         {404, "text/plain; charset=utf-8"},
			"/logo.svg":                    {200, "image/svg+xml"},
			"/api/v2/..%2f..%2fx.json":     {404, "text/plain; charset=utf-8"},
			"/" + strings.Repeat("x", 300): {404, "text/plain; charset=utf-8"},
		} {
			w := s.get(path)
			if w.Code != want.status || w.Header().Get("Content-Type") != want.kind {
				t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
			}
			for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options"} {
				if w.Header().Get(name) == "" {
					t.Errorf("%s has no %s", path, name)
				}
			}
		}
		again := httptest.NewRequest(http.MethodGet, "/", nil)
		again.Header.Set("If-None-Match", s.get("/").Header().Get("Etag"))
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, again); w.Code != http.StatusNotModified {
			t.Errorf("a page that has not changed: %d", w.Code)
		}
		w = httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
		if w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Body.String(), "spillway status") {
			t.Errorf("a POST: %d %s", w.Code, w.Body)
		}
	})
}

// An operator posts an update from another process.
func TestWhatAnOperatorPostsIsOnTheStatusSiteAndStaysThere(t *testing.T) {
	running(t, func(t *testing.T, s *sited) {
		store, err := dirstore.Open(filepath.Join(s.dir, StatusFolder))
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&status.Keeper{Store: store}).Edit(t.Context(), func(d *status.Document, now time.Time) error {
			_, err := d.Post(status.Message{Title: "Segment is away", Text: "We wait for Segment."}, now)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if body := s.get("/").Body.String(); !strings.Contains(body, "Segment is away") {
				t.Errorf("the page says\n%s", body)
			}
			s.minutes(5)
		}
	})
}

func TestAStatusDirectoryThatCantBeWrittenIsToldOnceAndMendsItself(t *testing.T) {
	for name, c := range map[string]struct{ harm, mend func(dir string) error }{
		"a file is in its place": {
			func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, os.Remove,
		},
		"a directory is in the document's place": {
			func(dir string) error { return os.MkdirAll(filepath.Join(dir, status.DocumentFile, "x"), 0o755) }, os.RemoveAll,
		},
		"a newer version has written it": {
			func(dir string) error {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(dir, status.DocumentFile), []byte(`{"version":1000}`), 0o600)
			}, os.RemoveAll,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSited(t)
			dir := filepath.Join(s.dir, StatusFolder)
			if err := c.harm(dir); err != nil {
				t.Fatal(err)
			}
			stop := background(t.Context(), s.run)
			defer stop()
			synctest.Wait()
			s.minutes(5)
			log := s.log.String()
			if strings.Count(log, "can't be written") != 1 || !strings.Contains(s.problem(), "not written: ") {
				t.Errorf("%s: the status says %q, the log\n%s", name, s.problem(), log)
			}
			if w := s.get("/"); w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s: the page is %d %s", name, w.Code, w.Body)
			}
			if err := c.mend(dir); err != nil {
				t.Fatal(err)
			}
			s.minutes(1)
			if s.problem() != "" || !strings.Contains(s.log.String(), "written again") {
				t.Errorf("%s: afterwards the status says %q", name, s.problem())
			}
			if w := s.get("/"); w.Code != http.StatusOK {
				t.Errorf("%s: afterwards the page is %d %s", name, w.Code, w.Body)
			}
		})
	}
}

func TestALookThatPanicsIsToldAndHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSited(t)
		s.look = func(context.Context) *appstatus.Reading { panic("bug") }
		stop := background(t.Context(), s.run)
		defer stop()
		s.minutes(1)
		if !strings.Contains(s.problem(), "panicked") {
			t.Errorf("the status says %q", s.problem())
		}
	})
}

func TestTheStatusFunctionReadsAlarmsAndMetricsThatThePipelineHas(t *testing.T) {
	pipeline := topology.Default()
	for _, name := range appstatus.Alarms(pipeline.Names.Pipeline, false) {
		if _, ok := pipeline.Composite(name); !ok {
			t.Errorf("there is no composite alarm %s", name)
		}
	}
	own := map[string]bool{}
	for i := range pipeline.Alarms {
		for _, m := range pipeline.Alarms[i].Metrics {
			own[m.Own+" "+m.Name] = true
		}
	}
	for _, name := range []string{appstatus.AgeMetric, appstatus.CanaryMetric} {
		if !own["deliver "+name] {
			t.Errorf("no alarm watches a metric %s of deliver", name)
		}
	}
}
