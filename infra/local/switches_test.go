package local_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/event"
)

// toggle posts a request to pause or resume, and returns the answer.
func toggle(t *testing.T, p *local.Pipeline, path, body string) (answer local.Switched, status int, text string) {
	t.Helper()
	r, err := http.Post(p.SQSURL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer, r.StatusCode, string(data)
}

func sendTo(t *testing.T, p *local.Pipeline, writeKey, id string) {
	t.Helper()
	answer, err := http.Post(p.IngestURL+"/v1/track", "application/json",
		strings.NewReader(`{"writeKey":"`+writeKey+`","userId":"u","event":"e","messageId":"`+id+`"}`))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("ingest answers %v, %v", answer, err)
	}
	answer.Body.Close()
}

func TestPausedDeliverySurvivesARestartAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir, arrivals := t.TempDir(), localtest.NewArrivals()
	start := func() (*local.Pipeline, func()) {
		return localtest.StartStoppable(t, local.Config{Dir: dir, BatchSize: 1, IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	}
	p, stop := start()
	sendTo(t, p, "wk", "before")
	arrivals.AwaitEvent(t, "before")
	const order = `{"by":"ann@laptop","reason":"Segment migrates"}`
	paused, status, text := toggle(t, p, local.PausePath, order)
	if status != http.StatusOK || paused.Already || paused.Mark.By != "ann@laptop" || paused.Mark.Reason != "Segment migrates" {
		t.Fatalf("%d %s", status, text)
	}
	again, _, _ := toggle(t, p, local.PausePath, `{"by":"bob"}`)
	if !again.Already || again.Mark != paused.Mark {
		t.Errorf("paused again: %+v", again)
	}
	sendTo(t, p, "wk", "paused")
	stop()

	p, _ = start()
	s := p.Status()
	if s.Paused != paused.Mark || !strings.HasPrefix(s.Degraded, "delivery has been paused since ") || s.Backlog != 1 {
		t.Errorf("after a restart: %v, %q, a backlog of %d", s.Paused, s.Degraded, s.Backlog)
	}
	sendTo(t, p, "wk", "paused too") // on disk when it is answered, and delivered at once if the event source is on
	if s := p.Status(); s.Backlog != 2 || s.Delivered != 0 || s.Invocations != 0 {
		t.Errorf("while it is paused %d events are delivered in %d invocations", s.Delivered, s.Invocations)
	}
	if was, _, _ := toggle(t, p, local.ResumePath, `{}`); was.Already || was.Mark != paused.Mark {
		t.Errorf("resumed: %+v", was)
	}
	arrivals.AwaitEvent(t, "paused")
	arrivals.AwaitEvent(t, "paused too")
	if was, _, _ := toggle(t, p, local.ResumePath, `{}`); !was.Already || was.Mark.IsSet() {
		t.Errorf("resumed again: %+v", was)
	}
	if s := p.Status(); s.Paused.IsSet() {
		t.Errorf("after it was resumed: %v", s.Paused)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "spillway-paused*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestAPausedWriteKeyWaitsAndOthersGoOn(t *testing.T) {
	t.Parallel()
	dir, arrivals := t.TempDir(), localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{Dir: dir, IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	key := `{"key":"` + event.KeyID("partner") + `","by":"ann"}`
	if done, status, text := toggle(t, p, local.PausePath, key); status != http.StatusOK || done.Already {
		t.Fatalf("%d %s", status, text)
	}
	sendTo(t, p, "partner", "waits")
	sendTo(t, p, "web", "goes on")
	arrivals.AwaitEvent(t, "goes on")
	arrivals.Await(t, "one event to be retained, and the other to be deleted", func() bool {
		s := p.Status()
		return s.Retried == 1 && s.Backlog == 1
	})
	sendTo(t, p, "partner", "waits too")
	arrivals.Await(t, "the last invocation to have only what is paused", func() bool { return p.Status().Retried >= 2 })
	if s := p.Status(); s.PausedKeys[event.KeyID("partner")].By != "ann" || s.Paused.IsSet() || s.Degraded != "" {
		t.Errorf("the status has %v and %v, and is degraded by %q", s.PausedKeys, s.Paused, s.Degraded)
	}
	stored, err := os.ReadFile(filepath.Join(dir, "spillway-paused-keys.json"))
	if err != nil || strings.Contains(string(stored), "partner") {
		t.Errorf("the file holds %s, %v", stored, err)
	}
	if done, _, _ := toggle(t, p, local.ResumePath, key); done.Already || done.Mark.By != "ann" || len(p.Status().PausedKeys) > 0 {
		t.Errorf("resumed: %+v", done)
	}
}

func TestAWrongRequestToPauseChangesNothing(t *testing.T) {
	t.Parallel()
	p := localtest.StartEager(t, local.Config{})
	held := localtest.Start(t, local.Config{Hold: true})
	for _, c := range []struct {
		p          *local.Pipeline
		body, want string
	}{
		{p, "now", "the body must be JSON like"},
		{p, `{"reason":"two\nlines"}`, "the reason must be one line"},
		{p, `{"reason":"` + strings.Repeat("r", 1<<20) + `"}`, "too large"},
		{p, `{"key":"partner"}`, "key must be the fingerprint of a write key"},
		{held, `{}`, "--deliver=false"},
	} {
		if _, status, text := toggle(t, c.p, local.PausePath, c.body); status != http.StatusBadRequest || !strings.Contains(text, c.want) {
			t.Errorf("%.40s: %d %s, want 400 with %q", c.body, status, text, c.want)
		}
		if s := c.p.Status(); s.Paused.IsSet() || len(s.PausedKeys) > 0 {
			t.Errorf("%.40s paused", c.body)
		}
	}
}

func TestAMarkThatCantBeReadIsNoReasonToDeliver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "spillway-paused.json"), []byte("yes"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := local.Start(local.Config{Dir: dir, SQSAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "spillway-paused.json") || !strings.Contains(err.Error(), "or delete it") {
		t.Errorf("Start: %v", err)
	}
}
