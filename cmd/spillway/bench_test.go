package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// The processes that bench starts are this test binary, as the command. One part with a queue is
// enough: each takes a batching window.
func TestBenchPrintsWhatItMeasuredAsJSON(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "bench", "--json", "--events=0", "--single=20", "--baseline=10",
		"--latency=1ms", "--dir="+t.TempDir())
	c.Env = append(os.Environ(), asCommand+"=1")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	type row struct {
		Events    int     `json:"events"`
		Accepted  float64 `json:"accepted_seconds"`
		Delivered float64 `json:"delivered_seconds"`
		Rate      float64 `json:"events_per_second"`
		CPU       float64 `json:"cpu_us_per_event"`
		Peak      int64   `json:"peak_rss_bytes"`
	}
	var report struct {
		Packed      *row `json:"packed"`
		Single      row  `json:"single"`
		AnalyticsGo row  `json:"analytics_go"`
		Limit       row  `json:"limit"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v: it printed %s", err, out)
	}
	if r := report.Single; r.Accepted <= 0 || r.Delivered <= 0 || r.Rate <= 0 || r.CPU <= 0 || r.Peak < 1<<20 {
		t.Errorf("single: %+v", r)
	}
	if report.Packed != nil || report.Single.Events != 20 || report.AnalyticsGo.Events != 10 {
		t.Errorf("it measured %s", out)
	}
	for what, r := range map[string]row{"analytics_go": report.AnalyticsGo, "limit": report.Limit} {
		if r.Delivered <= 0 || r.Rate <= 0 || r.Events == 0 {
			t.Errorf("%s: %+v", what, r)
		}
	}
}
