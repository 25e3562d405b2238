package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestTailShowsTheOutcomeOfEachEvent(t *testing.T) {
	t.Parallel()
	p := localtest.StartEager(t, local.Config{})
	if err := p.Segmentd().SetScript(segmentd.Script{Rules: []segmentd.Rule{{Match: segmentd.Match{MessageID: "poison"},
		Status: 400}}}); err != nil {
		t.Fatal(err)
	}
	all, stopAll := inBackground(t, "tail", queueFlag(p))
	bad, stopBad := inBackground(t, "tail", queueFlag(p), "--outcome=dead_lettered", "--payload", "--json")
	// The pipeline does not say who watches, so bodies are sent until both tails see them.
	await(t, "the watchers", func() bool {
		put(t, p, topology.DefaultNames().EventsQueue, "no JSON")
		time.Sleep(20 * time.Millisecond)
		return strings.Contains(all.String(), "undecodable") && strings.Contains(bad.String(), "undecodable")
	})
	in := `{"type":"track","userId":"u1","event":"Run\u001b[31m Started",` +
		`"messageId":"good","timestamp":"2026-01-01T00:00:00Z"}` + "\n" +
		`{"type":"track","userId":"u2","event":"E","messageId":"poison","timestamp":"2026-01-01T00:00:00Z"}` + "\n"
	if _, _, err := spillway(t.Context(), in, "send", queueFlag(p)); err != nil {
		t.Fatal(err)
	}
	await(t, "the outcomes", func() bool {
		return strings.Contains(all.String(), "messageId=good") && strings.Contains(all.String(), "messageId=poison") &&
			strings.Contains(bad.String(), `"poison"`)
	})
	if err := stopAll(); err != nil {
		t.Error(err)
	}
	if err := stopBad(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`  delivered                   track    "Run\x1b[31m Started" user=u1 messageId=good`,
		`  dead_lettered rejected      track    "E" user=u2 messageId=poison`,
	} {
		if !strings.Contains(all.String(), want+"\n") {
			t.Errorf("%q is missing in:\n%s", want, all)
		}
	}
	for line := range strings.Lines(bad.String()) {
		var o local.Outcome
		if err := json.Unmarshal([]byte(line), &o); err == nil && o.Reason == "undecodable" &&
			string(o.Payload) == `"no JSON"` {
			continue
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.Event != "E" ||
			!strings.Contains(string(o.Payload), `"messageId":"poison"`) || o.Reason != "rejected" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// watcher opens the outcomes of a pipeline at url, as a tail does.
func watcher(t *testing.T, url string) io.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+local.OutcomesPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp.Body
}

func TestPipelineStopsCleanlyDuringATail(t *testing.T) {
	t.Parallel()
	var lines io.Reader
	t.Run("pipeline", func(inner *testing.T) { // it stops at the end of inner, and reports there how
		lines = watcher(t, localtest.StartEager(inner, local.Config{}).SQSURL)
	})
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("the watcher got %q and %v", rest, err)
	}
}

func TestTailSaysThatThePipelineHasEnded(t *testing.T) {
	t.Parallel()
	ends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		_ = http.NewResponseController(w).Flush()
	}))
	defer ends.Close()
	_, _, err := spillway(t.Context(), "", "tail", "--queue-url="+ends.URL+"/000000000000/spillway-events")
	if err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("it says %v", err)
	}
}

func TestTailSaysThatTooManyAreOpen(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	for range 16 {
		watcher(t, p.SQSURL)
	}
	_, _, err := spillway(t.Context(), "", "tail", queueFlag(p))
	if err == nil || !strings.Contains(err.Error(), "16 clients follow the outcomes already: stop one of them") {
		t.Errorf("it says %v", err)
	}
}

func TestErrorsOfTailAreOneLine(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an unknown outcome":        {[]string{"--outcome=lost"}, "must be one of delivered, retried, dead_lettered"},
		"a queue that is not a URL": {[]string{"--queue-url=events"}, "must be that of a standard SQS queue"},
		"nothing listens":           {[]string{"--queue-url=http://127.0.0.1:1/x/y"}, "is `spillway up` running?"},
		"another program listens": {[]string{"--queue-url=" + p.SegmentURL + "/x/y"},
			"is it a `spillway up` of this version?"},
		"an argument": {[]string{"now"}, "takes no arguments"},
	} {
		_, _, err := spillway(t.Context(), "", append([]string{"tail"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
