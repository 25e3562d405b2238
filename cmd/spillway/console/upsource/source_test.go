package upsource

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) { testutil.Main(m) }

func start(t *testing.T, c local.Config) *Source {
	t.Helper()
	c.IngestAddr = "127.0.0.1:0"
	s := New(localtest.StartEager(t, c))
	t.Cleanup(s.Close)
	return s
}

// await waits until done says so.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func current(t *testing.T, s console.Switches) string {
	t.Helper()
	id, _, _ := s.Current()
	return id
}

func TestANewcomerSeesWhatHappensWhileSegmentFails(t *testing.T) {
	t.Parallel()
	s := start(t, local.Config{})
	switches := s.Switches()
	now := func() console.Now {
		n, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	send := func(n int) {
		t.Helper()
		if accepted, err := switches.Send(t.Context(), n); err != nil || accepted != n {
			t.Fatalf("%d of %d sample events were accepted: %v", accepted, n, err)
		}
	}
	send(250)
	await(t, "the first events", func() bool { return now().Totals.Delivered == 250 })

	if err := switches.Set(t.Context(), modeFailing); err != nil {
		t.Fatal(err)
	}
	var sent int64
	await(t, "the breaker to open", func() bool {
		send(100)
		sent += 100
		n := now()
		return n.BreakerOpen && n.Totals.Retried > 0
	})
	if n := now(); n.Events != sent || n.Messages == 0 || n.Degraded == "" || n.Totals.Accepted != 250+sent {
		t.Errorf("while Segment fails, after %d events: %+v", sent, n)
	}
	samples, err := s.Samples(t.Context(),
		console.SampleQuery{Outcome: console.OutcomeRetried, Reason: "transient", Limit: 3})
	if err != nil || len(samples) != 3 || !strings.Contains(samples[0].Answer, "503") ||
		samples[0].WriteKey != madeUpName ||
		samples[0].Event == "" || samples[0].MessageID == "" {
		t.Errorf("the samples are %+v, %v", samples, err)
	}
	keys, err := s.WriteKeys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].Name != madeUpName || keys[0].Rate <= 0 || keys[0].Last.IsZero() {
		t.Errorf("the write keys are %+v, %v", keys, err)
	}
	report, err := s.Senders(t.Context(), time.Hour)
	if err != nil || report.Events < 250 || len(report.Tables) != 3 || len(report.Tables[0].Heaviest) == 0 {
		t.Errorf("the senders are %+v, %v", report, err)
	}
	if key := report.Tables[1].Heaviest; len(key) != 1 || key[0].Name != madeUpName || key[0].ID != madeUpKeyID {
		t.Errorf("they sent with %+v", key)
	}
}

func TestOneOfTheSampleEventsIsRejected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]local.Config{"through ingest": {}, "through the queue": {WriteKeysFile: keysFile(t)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c)
			switches := s.Switches()
			if err := switches.Set(t.Context(), modeRejecting); err != nil {
				t.Fatal(err)
			}
			if accepted, err := switches.Send(t.Context(), 150); err != nil || accepted != 150 {
				t.Fatalf("%d were accepted: %v", accepted, err)
			}
			await(t, "every event", func() bool {
				n, _ := s.Now(t.Context())
				return n.Totals.Delivered == 149 && n.DeadLetters == 1
			})
			rejected, err := s.Samples(t.Context(), console.SampleQuery{Outcome: console.OutcomeDeadLettered, Limit: 9})
			if err != nil || len(rejected) != 1 || !strings.HasPrefix(rejected[0].MessageID, "rejected-") ||
				!strings.Contains(rejected[0].Answer, "400") || rejected[0].WriteKey != madeUpName {
				t.Errorf("%+v", rejected)
			}
			var list console.DeadLetterList
			await(t, "the dead letters to be read", func() bool { // a page waits for them for a moment only
				list, err = s.DeadLetters().List(t.Context(), console.DeadLetterQuery{Limit: 9})
				return err != nil || len(list.Rows) > 0
			})
			if err != nil || len(list.Rows) != 1 || list.Rows[0].Reason != "rejected" ||
				s.DeadLetters().KeyName(madeUpKey) != madeUpName {
				t.Errorf("the dead letters are %+v, %v", list, err)
			}
			if story, err := s.Find(t.Context(), rejected[0].MessageID, 1); err != nil || len(story.Events) != 1 {
				t.Errorf("its story is %+v, %v", story, err)
			}
			before := switches.Modes()
			if err := switches.Set(t.Context(), modeRejecting); err != nil || slices.Equal(before, switches.Modes()) {
				t.Errorf("%v; it rejects the same event again: %+v", err, before)
			}
		})
	}
}

func keysFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(`{"writeKeys":[{"name":"shop","writeKey":"theshopkey"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEachModeIsTheEmulatorsScript(t *testing.T) {
	t.Parallel()
	s := start(t, local.Config{Hold: true})
	switches := s.Switches()
	if got := current(t, switches); got != modeWell {
		t.Errorf("at the beginning it is %q", got)
	}
	for _, m := range switches.Modes() {
		if m.ID == "" || m.Name == "" || !strings.HasSuffix(m.Text, ".") {
			t.Errorf("%+v", m)
		}
		if err := switches.Set(t.Context(), m.ID); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
		id, since, until := switches.Current()
		if id != m.ID || since.IsZero() != (id == modeWell) || !until.IsZero() != (id == modeAway) {
			t.Errorf("after %s it is %q since %v until %v", m.ID, id, since, until)
		}
		if id == modeAway && until.Sub(since) != outage {
			t.Errorf("it is away for %v", until.Sub(since))
		}
	}
	if err := switches.Set(t.Context(), "broken"); err == nil || current(t, switches) != modeAway {
		t.Errorf("an unknown mode: %v, and it is %q", err, current(t, switches))
	}
	other := segmentd.Script{Rules: []segmentd.Rule{{Status: http.StatusTeapot}}}
	if err := s.pipeline.Segmentd().SetScript(other); err != nil {
		t.Fatal(err)
	}
	if got := current(t, switches); got != "" {
		t.Errorf("with a script of somebody else's it is %q", got)
	}
	if _, err := s.Alarms(t.Context(), time.Time{}); err == nil {
		t.Error("nothing is delivered, and there are alarms")
	}
}

func TestSampleEventsAreSentOnceAtATimeAndNotWithoutEnd(t *testing.T) {
	t.Parallel()
	s := start(t, local.Config{})
	for _, n := range []int{-1, 0, console.MaxSend + 1} {
		if accepted, err := s.switches.Send(t.Context(), n); err == nil || accepted != 0 {
			t.Errorf("%d: %d were accepted, %v", n, accepted, err)
		}
	}
	s.switches.sending.Lock()
	if accepted, err := s.switches.Send(t.Context(), 1); err == nil || accepted != 0 {
		t.Errorf("while others are sent %d were accepted, %v", accepted, err)
	}
	s.switches.sending.Unlock()
}

func TestTheRealSegmentHasNoSwitchesAndGetsNoSampleEvents(t *testing.T) {
	t.Parallel()
	s := start(t, local.Config{Segment: "http://127.0.0.1:9", WriteKey: "k"})
	if s.Switches() != nil {
		t.Error("there are switches")
	}
}

func TestAnIdlePipelineIsNotDegraded(t *testing.T) {
	t.Parallel()
	status := local.Status{At: noon, Alarms: []local.Alarm{{Name: "a"}}}
	status.Segment.BreakerOpen = true
	if n := now(status); n.BreakerOpen || n.CanaryAge != console.Unknown || n.CanaryLatency != console.Unknown ||
		*n.Totals != (console.Totals{}) {
		t.Errorf("%+v", n)
	}
	status.Backlog, status.Canary = 1,
		local.Canary{On: true, At: noon.Add(-time.Minute), Latency: time.Second, Failure: "429"}
	status.Refused, status.Shed = 2, 3
	if n := now(status); !n.BreakerOpen || n.CanaryAge != time.Minute || n.CanaryLatency != time.Second ||
		n.Canary != "429" ||
		n.Totals.Refused != 5 {
		t.Errorf("%+v", n)
	}
}

func TestSampleEventsThatIngestRefusesAreAnError(t *testing.T) {
	t.Parallel()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"success":false,"code":"overloaded","message":"overloaded, retry later"}`)
	}))
	defer endpoint.Close()
	s := start(t, local.Config{})
	s.pipeline.IngestURL = endpoint.URL
	accepted, err := s.switches.Send(t.Context(), 10)
	const want = "the ingest endpoint answered 429 Too Many Requests: overloaded, retry later"
	if accepted != 0 || err == nil || err.Error() != want {
		t.Errorf("%d were accepted, %v; want %q", accepted, err, want)
	}
	endpoint.Close()
	if _, err := s.switches.Send(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "send sample events") {
		t.Errorf("where nothing listens: %v", err)
	}
}
