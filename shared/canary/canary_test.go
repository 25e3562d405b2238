package canary

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// answering is an ingest endpoint that answers after a while.
func answering(after time.Duration, status int, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(after):
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
				Request: r}, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// minute is one of the schedule.
var minute = time.Date(2018, 9, 24, 10, 15, 0, 0, time.UTC)

const success = `{"success":true}`

func at(t *testing.T, endpoint http.RoundTripper) *Canary {
	t.Helper()
	c, err := New(Config{URL: "https://events.example.com/", WriteKey: "SECRET", Transport: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheEndpointsAnswerBecomesMetrics(t *testing.T) {
	refusal := `{"success":false,"code":"invalid_write_key","message":"m","error":"e"}`
	for _, c := range []struct {
		name     string
		endpoint roundTrip
		latency  time.Duration // of an accepted one
		why      string        // of one that was not
		flood    bool          // too many requests are why
	}{
		{"accepted", answering(35*time.Millisecond, 200, success), 35 * time.Millisecond, "", false},
		{"slow", answering(9*time.Second, 200, success), 9 * time.Second, "", false},
		{"too slow", answering(11*time.Second, 200, success), 0, "deadline exceeded", false},
		{"the queue is down", answering(0, 429, `{"success":false,"code":"queue_unavailable"}`), 0, "429 queue_unavailable",
			false},
		{"a refused key", answering(0, 400, refusal), 0, "give both the same canary write key", false},
		{"a gateway's own answer", answering(0, 503, "<html>"), 0, "refused the canary: 503", false},
		{"somebody else's 200", answering(0, 200, "<html>please log in"), 0, "not the ingest endpoint", false},
		{"a redirect", answering(0, 302, ""), 0, "refused the canary: 302", false},
		{"down", func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, 0,
			"connection refused", false},
		{"the gateway is at its limit", answering(0, 429, `{"message":"Too Many Requests"}`), 0, "the canary: 429", true},
		{"overloaded", answering(0, 429, `{"success":false,"code":"overloaded"}`), 0, "429 overloaded", true},
		{"over its quota", answering(0, 429, `{"success":false,"code":"quota_exceeded"}`), 0, "429 quota_exceeded", true},
		{"no keys", answering(0, 429, `{"success":false,"code":"write_keys_unread"}`), 0, "429 write_keys_unread", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := at(t, c.endpoint).Send(t.Context(), minute)
				got := map[string]float64{}
				for _, m := range r.Metrics() {
					got[m.Name] = m.Values[0]
					if !m.At.Equal(minute) {
						t.Errorf("%s is of %v, want the schedule's minute", m.Name, m.At)
					}
				}
				if c.why == "" {
					if r.Err != nil || got["CanaryAccepted"] != 1 || got[UnavailableMetric] != 0 ||
						got["CanaryAcceptLatency"] != float64(c.latency.Milliseconds()) {
						t.Errorf("%v: %v", got, r.Err)
					}
					return
				}
				if _, timed := got["CanaryAcceptLatency"]; timed || got["CanaryAccepted"] != 0 || len(got) != 2 {
					t.Errorf("%v", got)
				}
				if want := map[bool]float64{false: 1}[c.flood]; got[UnavailableMetric] != want {
					t.Errorf("the region is unavailable: %v, want %v", got[UnavailableMetric], want)
				}
				if r.Err == nil || !strings.Contains(r.Err.Error(), c.why) || strings.Contains(r.Err.Error(), "SECRET") {
					t.Errorf("%v, want an error with %q and without the key", r.Err, c.why)
				}
			})
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := at(t, answering(time.Hour, 200, success)).Send(ctx, minute); r.Err == nil || r.Latency != time.Second {
			t.Errorf("%v after %v", r.Err, r.Latency)
		}
	})
}

func TestEachCanaryIsANewEventInAnSDKsRequest(t *testing.T) {
	seen := map[string]bool{}
	endpoint := roundTrip(func(r *http.Request) (*http.Response, error) {
		key, _, _ := r.BasicAuth()
		if r.Method != http.MethodPost || r.URL.String() != "https://events.example.com/v1/batch" || key != "SECRET" {
			t.Errorf("%s %s by %q", r.Method, r.URL, key)
		}
		var b struct {
			SentAt time.Time
			Batch  []struct {
				Type, Event, AnonymousID, MessageID string
				Timestamp                           time.Time
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil || len(b.Batch) != 1 || b.Batch[0].Type != "track" ||
			b.Batch[0].Event == "" || b.Batch[0].AnonymousID == "" || b.SentAt.IsZero() || !b.Batch[0].Timestamp.Equal(minute) {
			t.Errorf("%+v, %v", b, err)
		}
		seen[b.Batch[0].MessageID] = true
		return answering(0, 200, success)(r)
	})
	c := at(t, endpoint)
	for range 3 {
		c.Send(t.Context(), minute)
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("messageIds %v", seen)
	}
}

func TestACanaryIsMissingUntilTheNextIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := NewTracker()
		missing := func(want bool, when string) {
			t.Helper()
			if h := tracker.Status(); h.Missing != want {
				t.Errorf("%s: %+v", when, h)
			}
		}
		missing(false, "at the start")
		tracker.RecordSent(Result{})
		time.Sleep(MissingAfter)
		missing(false, "after three minutes")
		time.Sleep(time.Second)
		missing(true, "after more")
		if h := tracker.Status(); h.Sent != 1 || h.Pending != 1 || !h.At.IsZero() {
			t.Errorf("%+v", h)
		}
		// one of them from before the start
		tracker.RecordDelivered([]time.Duration{40 * time.Millisecond, 35 * time.Millisecond})
		missing(false, "delivered")
		if h := tracker.Status(); h.Latency != 35*time.Millisecond || h.Pending != 0 || !h.At.Equal(time.Now()) {
			t.Errorf("%+v", h)
		}
		tracker.RecordDelivered(nil)
		tracker.RecordSent(Result{Err: errors.New("refused"), Status: 400})
		tracker.RecordSent(Result{Err: errors.New("throttled"), Status: 429})
		tracker.RecordSent(Result{Err: errors.New("no answer")})
		time.Sleep(MissingAfter + time.Second)
		missing(true, "again")
		if h := tracker.Status(); h.Failure == nil || h.Sent != 1 || h.Refused != 1 || h.Throttled != 1 {
			t.Errorf("%+v", h)
		}
	})
}

func TestTheDefaultWriteKeyEndsBeforeSegment(t *testing.T) {
	for key, want := range map[string]bool{WriteKey: true, WriteKey + "-4f1c": true, "": false, "canary": false,
		"x" + WriteKey: false} {
		if EndsBeforeSegment(key) != want {
			t.Errorf("%q: %v", key, !want)
		}
	}
}

func TestAWrongConfigurationSaysWhatItMustBe(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{WriteKey: WriteKey}, "https://events.example.com"},
		{Config{URL: "events.example.com", WriteKey: WriteKey}, "https://events.example.com"},
		{Config{URL: "ftp://events.example.com", WriteKey: WriteKey}, "https://events.example.com"},
		{Config{URL: "https://events.example.com?x", WriteKey: WriteKey}, "https://events.example.com"},
		{Config{URL: "https://events.example.com"}, "must be spillway-canary"},
		{Config{URL: "https://events.example.com", WriteKey: "SEC RET"}, "must be spillway-canary"},
		{Config{URL: "https://events.example.com", WriteKey: "SEC:RET"}, "must be spillway-canary"},
	} {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "SEC") {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}

func TestTheMetricsCanBeWritten(t *testing.T) {
	var out strings.Builder
	r := Result{Latency: 35 * time.Millisecond}
	if err := emf.NewWriter(&out, emf.DefaultPipeline, "canary").Write(time.Now(), r.Metrics()...); err != nil ||
		!strings.Contains(out.String(), `"CanaryAcceptLatency":35`) {
		t.Errorf("%v: %s", err, &out)
	}
}
