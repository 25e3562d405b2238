package local

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/traffic"
)

var _ traffic.Source = (*senders)(nil)

func ask(t *testing.T, s *senders, query string) []heavy.Line {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", SendersPath+query, nil))
	var lines []heavy.Line
	if err := json.Unmarshal(w.Body.Bytes(), &lines); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return lines
}

func TestTheLinesOfWhoSendsWhatAreKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := newSenders("shop", cloudwatch.NewStore(time.Hour), &log)
		begin := time.Now()
		for range 30 * 60 {
			s.events.Count(heavy.Key{ID: "1"}, 1,
				func(int) heavy.Event { return heavy.Event{Name: []byte("a"), User: []byte("u")} })
			if err := s.events.WriteDue(s, time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		s.ingest.CountRequest(heavy.Key{ID: "2"}, "overloaded")
		lines := ask(t, s, "?from="+begin.Add(27*time.Hour).Format(time.RFC3339)+"&to="+begin.Add(28*time.Hour).Format(time.RFC3339))
		if len(lines) != 60 || !strings.Contains(fmt.Sprint(lines[0]), "{user u") {
			t.Errorf("an hour has %d lines: %v", len(lines), lines[:min(1, len(lines))])
		}
		all := ask(t, s, "")
		if n := len(all); n != 26*60+1 || all[n-1].Part != heavy.PartIngest {
			t.Errorf("%d lines are kept, the last is %+v", n, all[len(all)-1])
		}
		if n := strings.Count(log.String(), `"msg":"heaviest"`); n != 30*60+1 || strings.Contains(log.String(), `"by":"user"`) {
			t.Errorf("the log has %d lines, or has users", n)
		}
		for range maxLines / 2 { // somebody asks in a loop, and each answer makes a line of either part
			s.ingest.CountRequest(heavy.Key{ID: "2"}, "overloaded")
			s.events.Count(heavy.Key{ID: "1"}, 1, func(int) heavy.Event { return heavy.Event{} })
			ask(t, s, "?from="+time.Now().Add(time.Hour).Format(time.RFC3339))
		}
		s.ingest.CountRequest(heavy.Key{ID: "2"}, "overloaded")
		if n := len(ask(t, s, "")); n != maxLines {
			t.Errorf("%d lines are kept, want at most %d", n, maxLines)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", SendersPath+"?from=yesterday", nil))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "from must be a time") {
			t.Errorf("a wrong time is answered %d %s", w.Code, w.Body)
		}
	})
}

func TestOnThisMachineTheTrafficIsComparedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := cloudwatch.NewStore(time.Hour)
		s := newSenders("shop", store, io.Discard)
		accepted := s.keys()[0]
		compared := 0
		for m := range 26 * 60 {
			n := 100
			if m >= 25*60+30 {
				n = 2000
			}
			store.Put(time.Now(), accepted, float64(n))
			s.events.Count(heavy.Key{ID: "1"}, n, func(int) heavy.Event { return heavy.Event{Name: []byte("Run")} })
			if err := s.events.WriteDue(s, time.Now()); err != nil {
				t.Fatal(err)
			}
			if from, due := traffic.Due(time.Now()); due {
				r, err := traffic.Compare(t.Context(), s, "shop", from)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Window.WriteTo(s); err != nil {
					t.Fatal(err)
				}
				if m > 25*60+45 {
					compared++
					if !r.HasRatio || r.Ratio != 20 || !r.HasGrowth || r.Grown[0].Times < 19 {
						t.Errorf("after %d minutes: %+v", m, r)
					}
				}
			}
			time.Sleep(time.Minute)
		}
		if compared < 2 {
			t.Errorf("only %d comparisons", compared)
		}
	})
}
