package canary

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// parameters are SSM's, by name. A call fails with err, if it is set.
type parameters struct {
	texts map[string]string
	err   error
}

func (p *parameters) GetParameter(_ context.Context, name string, _ bool) (ssm.Value, error) {
	text, exists := p.texts[name]
	switch {
	case p.err != nil:
		return ssm.Value{}, p.err
	case !exists:
		return ssm.Value{}, &smithy.GenericAPIError{Code: "ParameterNotFound"}
	}
	return ssm.Value{Text: text, Version: 1}, nil
}

func (p *parameters) source(name string) reload.Source {
	return ssm.Parameter(p, name).Else(nil, ssm.NotFound)
}

// accepting answers every canary as the ingest endpoint does.
type accepting struct{ canaries int }

func (a *accepting) RoundTrip(*http.Request) (*http.Response, error) {
	a.canaries++
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// A switched is a function whose switches are parameters.
type switched struct {
	*Function
	parameters *parameters
	endpoint   accepting
	lines, log strings.Builder
}

func newSwitched(t *testing.T) *switched {
	t.Helper()
	s := &switched{parameters: &parameters{texts: map[string]string{}}}
	var err error
	s.Function, err = New(Options{Name: "spillway", IngestURL: "http://ingest.test"}, Parts{Metrics: &s.lines,
		Logger: jsonlog.New(&s.log, slog.LevelInfo), Transport: &s.endpoint,
		Switched: Switched{s.parameters.source("/p/paused"), s.parameters.source("/p/paused-keys"),
			s.parameters.source("/p/drained")}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// minute is one more minute, and what the gauges say in it.
func (s *switched) minute(t *testing.T) map[string]string {
	t.Helper()
	s.lines.Reset()
	if _, err := s.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	found := map[string]string{}
	for _, name := range []string{operator.PausedMetric, operator.PausedKeysMetric, operator.DrainedMetric} {
		if _, after, has := strings.Cut(s.lines.String(), `"`+name+`":`); has {
			found[name] = strings.Trim(after[:strings.IndexAny(after, ",}")], "[]")
		}
	}
	return found
}

var aMark = `{"since":"2026-01-31T12:00:00Z","by":"ann","reason":"Segment migrates"}`

func TestWhatAPersonHasSwitchedIsWrittenEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwitched(t)
		for _, c := range []struct {
			change func(map[string]string)
			want   map[string]string
		}{
			{func(map[string]string) {}, map[string]string{"Paused": "0", "PausedKeys": "0", "Drained": "0"}},
			{func(p map[string]string) { p["/p/paused"] = aMark },
				map[string]string{"Paused": "1", "PausedKeys": "0", "Drained": "0"}},
			{func(p map[string]string) {
				p["/p/drained"], p["/p/paused-keys"] = aMark, `{"a":`+aMark+`,"b":`+aMark+`}`
			},
				map[string]string{"Paused": "1", "PausedKeys": "2", "Drained": "1"}},
			{func(p map[string]string) { clear(p) }, map[string]string{"Paused": "0", "PausedKeys": "0", "Drained": "0"}},
		} {
			c.change(s.parameters.texts)
			if got := s.minute(t); !maps.Equal(got, c.want) {
				t.Errorf("with %v the metrics are %v, want %v", s.parameters.texts, got, c.want)
			}
		}
		if log := s.log.String(); !strings.Contains(log, "since 2026-01-31 12:00 UTC by ann: Segment migrates") {
			t.Errorf("the log does not say who paused:\n%s", log)
		}
	})
}

func TestASwitchThatCantBeReadIsAsItWasAndCostsNoCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwitched(t)
		s.parameters.texts["/p/paused"] = aMark
		s.minute(t)
		for _, broken := range []func(){
			func() { s.parameters.err = errors.New("SSM is down") },
			func() { s.parameters.err, s.parameters.texts["/p/paused"] = nil, "yes" },
		} {
			broken()
			if got := s.minute(t); got["Paused"] != "1" || got["Drained"] != "0" {
				t.Errorf("the metrics are %v", got)
			}
		}
		if s.endpoint.canaries != 3 || !strings.Contains(s.log.String(), "could not be read again") {
			t.Errorf("%d canaries; the log says:\n%s", s.endpoint.canaries, &s.log)
		}
	})
}

func TestASwitchThatWasNeverReadHasNoValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwitched(t)
		s.parameters.err = errors.New("SSM is down")
		if got := s.minute(t); len(got) > 0 || s.endpoint.canaries != 1 {
			t.Errorf("the metrics are %v after %d canaries", got, s.endpoint.canaries)
		}
		if log := s.log.String(); !strings.Contains(log, "never been read") || !strings.Contains(log, "Paused, PausedKeys, Drained") {
			t.Errorf("the log says:\n%s", log)
		}
		s.parameters.err = nil
		if got := s.minute(t); len(got) != 3 {
			t.Errorf("then the metrics are %v", got)
		}
	})
}

// A region without traffic because a person took it out must not wake anybody up, also when it is
// back and its clients are not yet.
func TestADrainedRegionsTrafficIsNotSaidToHaveFallen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwitched(t)
		s.parts.Traffic = &fakeTraffic{}
		ratios := func() (n, growths int) {
			for range 10 {
				s.minute(t)
				n += strings.Count(s.lines.String(), `"TrafficRatio":`)
				growths += strings.Count(s.lines.String(), `"LargestGrowth":`)
			}
			return n, growths
		}
		if n, growths := ratios(); n != 2 || growths != 2 {
			t.Errorf("%d ratios and %d growths of two comparisons", n, growths)
		}
		s.parameters.texts["/p/drained"] = `{"since":"2026-11-01T10:00:00Z"}`
		if n, growths := ratios(); n != 0 || growths != 2 {
			t.Errorf("drained: %d ratios and %d growths, want none and two", n, growths)
		}
		if !strings.Contains(s.log.String(), "because the region is drained") {
			t.Errorf("the log does not say so:\n%s", &s.log)
		}
		delete(s.parameters.texts, "/p/drained")
		if n, growths := ratios(); n != 0 || growths != 2 {
			t.Errorf("while clients come back: %d ratios and %d growths, want none and two", n, growths)
		}
		ratios()
		if n, _ := ratios(); n != 2 {
			t.Errorf("long after: %d ratios", n)
		}
	})
}
