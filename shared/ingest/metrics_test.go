package ingest

import (
	"fmt"
	"testing"
	"time"
)

func TestMetricsHoldTheTotals(t *testing.T) {
	r := newRig(t, nil)
	for range 150 {
		r.post("/v1/batch", `{"batch":[`+track("1")+`,{"type":"foo"}]}`)
	}
	r.post("/v1/track", `x`)
	r.queue.send = refuseAll
	r.post("/v1/track", track("1"))
	totals := r.counters.Take()
	got := map[string]float64{}
	for _, m := range totals.Metrics() {
		for _, v := range m.Values {
			if m.Name == "AcceptLatency" {
				v = 1
			}
			got[m.Name+" "+m.Value] += v
		}
	}
	want(t, "metrics", got, map[string]float64{
		"EventsAccepted ": 150, "EventsRejected type_unknown": 150, "RequestsRefused ": 1, "RequestsShed ": 1,
		"AcceptLatency ": maxLatencies, "Failures ": 2, "DeadLetters ": 150,
	})
	want(t, "codes", totals.Codes(), any(map[string]int{"invalid_json": 1, "queue_unavailable": 1}))
	want(t, "what is left", r.counters.Totals().Accepted, 0)
}

func TestLatencyIsInMilliseconds(t *testing.T) {
	totals := Totals{Latencies: []time.Duration{250 * time.Millisecond, 1500 * time.Microsecond}}
	for _, m := range totals.Metrics() {
		if m.Name == "AcceptLatency" {
			want(t, m.Name, fmt.Sprint(m.Values, m.Unit), "[250 1.5]Milliseconds")
			return
		}
	}
	t.Error("there is no such metric")
}

// What a client does within its rights is no failure of a version, and what looks like a client's
// mistake is one: a version that takes every request for malformed must not stay.
func TestOfAVersionsRequestsOnlyThoseOverTheirQuotaAreNoFailure(t *testing.T) {
	var c Counters
	for _, s := range []Summary{
		{Status: 200, Accepted: 5, Rejected: map[string]int{"type_unknown": 2}, DeadLettersDropped: 1},
		{Status: 200, Code: "invalid_pixel"},
		{Status: 400, Code: "invalid_json"},
		{Status: 404, Code: "not_found"},
		{Status: 429, Code: "queue_unavailable", Cause: CauseService},
		{Status: 429, Code: "quota_exceeded", Cause: CauseQuota},
		{Status: 200, Code: "quota_exceeded", Cause: CauseQuota},
		{Status: 500, Code: "internal", Cause: CauseService},
	} {
		c.Add(s)
	}
	totals := c.Take()
	got := map[string]float64{}
	for _, m := range totals.Metrics() {
		if m.ByVersion {
			got[m.Name] = m.Values[0]
		}
	}
	want(t, "metrics by version", got,
		map[string]float64{"EventsAccepted": 5, "Failures": 5, "DeadLetters": 2, "Panics": 1})
	totals = Totals{Requests: map[int]int{200: 1}}
	got = map[string]float64{}
	for _, m := range totals.Metrics() {
		if m.ByVersion {
			got[m.Name] = m.Values[0]
		}
	}
	want(t, "metrics by version of a request without events", got, map[string]float64{"EventsAccepted": 0})
}
