package local

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/deliver"
)

func watching(t *testing.T, w *watchers, query string) *watcher {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	one, err := newWatcher(q)
	if err != nil {
		t.Fatal(err)
	}
	w.add(one)
	return one
}

func TestWithoutWatchersNothingIsObserved(t *testing.T) {
	t.Parallel()
	var w watchers
	if w.any() {
		t.Error("outcomes are observed")
	}
	one := watching(t, &w, "")
	if !w.any() {
		t.Error("no outcome is observed")
	}
	w.remove(one)
	if w.any() {
		t.Error("outcomes are observed for a watcher that has gone")
	}
}

func TestAWatcherSeesWhatItAskedFor(t *testing.T) {
	t.Parallel()
	var w watchers
	queries := []string{"", "event=Run", "user=u2&payload=true", "outcome=dead_lettered", "event=Run&user=u2"}
	var all []*watcher
	for _, q := range queries {
		all = append(all, watching(t, &w, q))
	}
	for _, o := range []deliver.Observation{
		{Event: []byte(`{"type":"track","event":"Run","userId":"u1","event":"Run"}`), Disposition: deliver.Delivered,
			MessageID: "m1", WriteKey: "the-key"},
		{Event: []byte(`{"type":"page","name":"Home","anonymousId":"u2","userId":null}`), Disposition: deliver.Retried,
			Reason: "transient", MessageID: "m2"},
		{Event: []byte(`{"type":"identify","userId":7}`), Disposition: deliver.Delivered, MessageID: "m3"},
		{Event: []byte("no \xff JSON"), Disposition: deliver.DeadLettered, Reason: "undecodable", MessageID: "m4"},
	} {
		w.tell(newOutcome(&o), o.Event)
	}
	want := []string{
		"track/Run/u1/m1 page/Home/u2/m2 identify//7/m3 ///m4",
		"track/Run/u1/m1",
		`page/Home/u2/m2{"type":"page","name":"Home","anonymousId":"u2","userId":null}`,
		"///m4",
		"",
	}
	for i, one := range all {
		var got []string
		close(one.lines)
		for l := range one.lines {
			got = append(got, fmt.Sprintf("%s/%s/%s/%s%s", l.Type, l.Event, l.User, l.MessageID, l.Payload))
			if l.WriteKey == "the-key" || l.At.IsZero() {
				t.Errorf("%+v", l)
			}
		}
		if text := strings.Join(got, " "); text != want[i] {
			t.Errorf("%q: got %s, want %s", queries[i], text, want[i])
		}
	}
	if got := string(asJSON([]byte("no \xff JSON"))); got != `"no `+"\uFFFD"+` JSON"` {
		t.Errorf("a payload that is not JSON: %s", got)
	}
}

func TestASlowWatcherLosesOutcomesWithoutDelayingDelivery(t *testing.T) {
	t.Parallel()
	var w watchers
	slow := watching(t, &w, "")
	for range watchAhead + 500 {
		w.tell(Outcome{Outcome: "delivered"}, nil)
	}
	if n := slow.lost.Load(); n != 500 || len(slow.lines) != watchAhead {
		t.Errorf("%d lost, %d wait", n, len(slow.lines))
	}
}

func TestOutcomesAreLinesAndLostOnesAreCounted(t *testing.T) {
	t.Parallel()
	var w watchers
	server := httptest.NewServer(&w)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"?outcome=delivered", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The header has come, so the watcher is there.
	w.all[0].lost.Store(3)
	w.tell(Outcome{Outcome: "delivered", Event: "<Run>"}, nil)
	lines := bufio.NewScanner(resp.Body)
	var got []Outcome
	for len(got) < 2 && lines.Scan() {
		var o Outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		got = append(got, o)
	}
	if len(got) != 2 || got[0].Lost+got[1].Lost != 3 || got[0].Event+got[1].Event != "<Run>" {
		t.Errorf("%+v", got)
	}
}

func TestAWrongQueryIsRefused(t *testing.T) {
	t.Parallel()
	var w watchers
	for query, want := range map[string]string{"outcome=lost": "known: delivered, retried, dead_lettered",
		"payload=maybe": "must be true or false"} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, OutcomesPath+"?"+query, nil))
		if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestTheNumberOfWatchersIsBounded(t *testing.T) {
	t.Parallel()
	var w watchers
	for range maxWatchers {
		watching(t, &w, "")
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, OutcomesPath, nil))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "stop one of them") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func BenchmarkWatched(b *testing.B) {
	event := []byte(`{"type":"track","event":"Run Finished","userId":"user-1","messageId":"m1","timestamp":"2026-01-01T00:00:00Z","properties":{"fill":"` + strings.Repeat("x", 800) + `"}}`)
	for name, query := range map[string]string{"all": "", "filtered": "outcome=retried", "payload": "payload=true"} {
		b.Run(name, func(b *testing.B) {
			var w watchers
			q, _ := url.ParseQuery(query)
			one, err := newWatcher(q)
			if err != nil {
				b.Fatal(err)
			}
			w.add(one)
			go func() {
				for range one.lines {
				}
			}()
			for b.Loop() {
				w.tell(newOutcome(&deliver.Observation{Event: event, Disposition: deliver.Delivered, WriteKey: "a-write-key",
					MessageID: "m1"}), event)
			}
			close(one.lines)
		})
	}
}
