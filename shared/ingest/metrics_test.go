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
		"AcceptLatency ": maxLatencies,
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
