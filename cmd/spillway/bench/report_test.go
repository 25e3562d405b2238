package bench

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTheReportHasSecondsRatesAndMemoryUnderStableKeys(t *testing.T) {
	began := time.Date(2026, 11, 27, 10, 0, 0, 5, time.UTC)
	report := NewReport(Config{Latency: 50 * time.Millisecond, Gzip: true, BatchSize: 100}, []Result{
		{Part: Packed, What: "packed messages", Events: 1000, Accepted: 500 * time.Millisecond, Delivered: 2 * time.Second,
			CPU: 9 * time.Millisecond, PeakRSS: 100 << 20},
		{Part: PackedArchive, Events: 1000, Delivered: time.Second},
		{Part: Single, Events: 1000, Delivered: time.Second},
		{Part: AnalyticsGo, Events: 1000, Delivered: 4 * time.Second},
		{Part: Limit, What: "the limit", Events: 1000, Delivered: 250 * time.Millisecond},
	}, began)
	report.Version, report.Go, report.OS, report.Arch, report.CPUs = "v1", "go1", "linux", "arm64", 2
	got, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"at":"2026-11-27T10:00:00Z","version":"v1","go":"go1","os":"linux","arch":"arm64","cpus":2,` +
		`"latency_seconds":0.05,"gzip":true,"batch_size":100,` +
		`"packed":{"what":"packed messages","events":1000,"accepted_seconds":0.5,"accepted_events_per_second":2000,` +
		`"delivered_seconds":2,"events_per_second":500,"cpu_us_per_event":9,"peak_rss_bytes":104857600},` +
		`"packed_archive":{"what":"","events":1000,"delivered_seconds":1,"events_per_second":1000},` +
		`"single":{"what":"","events":1000,"delivered_seconds":1,"events_per_second":1000},` +
		`"analytics_go":{"what":"","events":1000,"delivered_seconds":4,"events_per_second":250},` +
		`"limit":{"what":"the limit","events":1000,"delivered_seconds":0.25,"events_per_second":4000}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAPartThatWasSkippedIsNotInTheReport(t *testing.T) {
	got, err := json.Marshal(NewReport(Config{}, []Result{{Part: Single, Events: 1, Delivered: time.Second}}, time.Time{}))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(got, &keys); err != nil {
		t.Fatal(err)
	}
	for _, part := range []Part{Packed, PackedArchive, AnalyticsGo, Limit} {
		if _, ok := keys[string(part)]; ok {
			t.Errorf("%s has %s", got, part)
		}
	}
	if _, ok := keys[string(Single)]; !ok {
		t.Errorf("%s has no %s", got, Single)
	}
}
