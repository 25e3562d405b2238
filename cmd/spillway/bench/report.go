package bench

import (
	"runtime"
	"time"

	"github.com/spillwayhq/spillway/shared/version"
)

// A Report is what `spillway bench --json` prints. Its keys are documented in docs/performance.md
// and do not change.
type Report struct {
	At      time.Time `json:"at"` // when it began
	Version string    `json:"version"`
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	CPUs    int       `json:"cpus"` // that this process may use

	LatencySeconds float64 `json:"latency_seconds"` // of the Segment emulator's answers
	Gzip           bool    `json:"gzip"`
	BatchSize      int     `json:"batch_size"` // messages of an invocation at most

	// One for each part that was measured.
	Packed        *Row `json:"packed,omitempty"`
	PackedArchive *Row `json:"packed_archive,omitempty"`
	Single        *Row `json:"single,omitempty"`
	AnalyticsGo   *Row `json:"analytics_go,omitempty"`
	Limit         *Row `json:"limit,omitempty"`
}

// A Row is a Result as JSON. What does not apply is left out.
type Row struct {
	What                    string  `json:"what"`
	Events                  int     `json:"events"`
	AcceptedSeconds         float64 `json:"accepted_seconds,omitempty"`
	AcceptedEventsPerSecond float64 `json:"accepted_events_per_second,omitempty"`
	DeliveredSeconds        float64 `json:"delivered_seconds"`
	EventsPerSecond         float64 `json:"events_per_second"` // delivered
	CPUMicrosPerEvent       float64 `json:"cpu_us_per_event,omitempty"`
	PeakRSSBytes            int64   `json:"peak_rss_bytes,omitempty"`
}

// NewReport describes what Run returned, having begun at a time.
func NewReport(c Config, results []Result, began time.Time) Report {
	r := Report{
		At: began.UTC().Truncate(time.Second), Version: version.String(), Go: runtime.Version(), OS: runtime.GOOS,
		Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), LatencySeconds: c.Latency.Seconds(), Gzip: c.Gzip,
		BatchSize: c.BatchSize,
	}
	rows := map[Part]**Row{Packed: &r.Packed, PackedArchive: &r.PackedArchive, Single: &r.Single,
		AnalyticsGo: &r.AnalyticsGo, Limit: &r.Limit}
	for _, result := range results {
		*rows[result.Part] = result.row()
	}
	return r
}

func (r Result) row() *Row {
	row := &Row{
		What: r.What, Events: r.Events, DeliveredSeconds: r.Delivered.Seconds(),
		EventsPerSecond: r.EventsPerSecond(), CPUMicrosPerEvent: r.CPUPerEvent(), PeakRSSBytes: r.PeakRSS,
	}
	if r.Accepted > 0 {
		row.AcceptedSeconds = r.Accepted.Seconds()
		row.AcceptedEventsPerSecond = float64(r.Events) / r.Accepted.Seconds()
	}
	return row
}

// EventsPerSecond is how many were delivered a second.
func (r Result) EventsPerSecond() float64 { return float64(r.Events) / r.Delivered.Seconds() }

// CPUPerEvent is in microseconds.
func (r Result) CPUPerEvent() float64 {
	return float64(r.CPU.Nanoseconds()) / 1000 / float64(r.Events)
}
