// Package bench measures on one machine how fast a backlog is accepted and delivered, and compares
// it with two ways without Spillway.
//
// It runs spillway's own verbs as processes, to measure a restart and the CPU time and memory of a
// whole process. The Segment emulator has its own process, whose CPU time and memory are not
// counted.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// Config says what to measure. A part with a count of 0 is skipped.
type Config struct {
	Events   int // delivered in packed messages
	Single   int // delivered in messages of one event
	Baseline int // sent without Spillway
	Latency  time.Duration
	// BatchSize is how many messages an invocation gets at most. How far Lambda fills its batches
	// is not documented: this is an assumption about it.
	BatchSize int
	Dir       string // where the data directory is made
	Gzip      bool
	Begin     func(part string)
}

// A Part is one of the things that are measured. Its name is the key of its result in the JSON of
// `spillway bench --json`, which programs read: it does not change.
type Part string

// The parts, in the order in which they are measured.
const (
	Packed        Part = "packed"         // packed messages, nothing archived
	PackedArchive Part = "packed_archive" // the same, with the archive
	Single        Part = "single"         // one event per message
	AnalyticsGo   Part = "analytics_go"   // the failed design after its repair, without Spillway
	Limit         Part = "limit"          // ready-made batches
)

// A Result is one row of the table. Fields that do not apply are 0.
type Result struct {
	Part                Part
	What                string // for people
	Events              int
	Accepted, Delivered time.Duration
	CPU                 time.Duration // of the delivering process
	PeakRSS             int64         // of the delivering process, in bytes
}

// Run measures the parts one after the other.
func Run(ctx context.Context, c Config) ([]Result, error) {
	dir, err := os.MkdirTemp(c.Dir, "spillway-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w: give another place with --dir", err)
	}
	defer os.RemoveAll(dir)
	emulator, err := start(ctx, "segmentd", "--port=0", "--latency="+c.Latency.String())
	if err != nil {
		return nil, err
	}
	defer emulator.kill() // stopped, it would wait for the connections that analytics-go leaves open
	var results []Result
	for _, part := range []backlog{
		{part: Packed, what: "packed messages", events: c.Events},
		{part: PackedArchive, what: "packed messages, with the archive", events: c.Events, archive: true},
		{part: Single, what: "one event per message", events: c.Single, single: true},
	} {
		if part.events == 0 {
			continue
		}
		c.Begin(part.what)
		part.dir, part.segmentURL, part.config = filepath.Join(dir, string(part.part)), emulator.url, &c
		r, err := part.measure(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.what, err)
		}
		results = append(results, r)
	}
	if c.Baseline > 0 {
		c.Begin("without Spillway")
		jobs, err := analyticsJobs(ctx, emulator.url, c.Baseline)
		if err != nil {
			return nil, err
		}
		posted, err := readyBatches(ctx, emulator.url, max(c.Events, c.Baseline))
		if err != nil {
			return nil, err
		}
		results = append(results, jobs, posted)
	}
	return results, nil
}

// backlog is a part that fills the queue and then delivers it.
type backlog struct {
	part            Part
	what            string
	events          int
	single          bool
	archive         bool // what is delivered is archived too
	config          *Config
	dir, segmentURL string
}

// measure fills the queue of a pipeline that only accepts, stops it, and takes the time from the
// start of one that delivers until the Segment emulator has every event.
func (b backlog) measure(ctx context.Context) (r Result, err error) {
	r.Part, r.What, r.Events = b.part, b.what, b.events
	up := []string{"up", "--data-dir=" + b.dir, "--sqs-port=0", "--ingest-port=0", "--console=false",
		"--segment=" + b.segmentURL,
		"--write-key=bench", "--gzip=" + strconv.FormatBool(b.config.Gzip),
		"--batch-size=" + strconv.Itoa(b.config.BatchSize)}
	if !b.archive {
		up = append(up, "--archive-days=0")
	}
	accepting, err := start(ctx, append(up, "--deliver=false")...)
	if err != nil {
		return r, err
	}
	defer accepting.stop()
	begin := time.Now()
	if err := run(ctx, "send", "--count="+strconv.Itoa(b.events), "--single="+strconv.FormatBool(b.single),
		"--queue-url="+accepting.url); err != nil {
		return r, err
	}
	r.Accepted = time.Since(begin)
	if err := accepting.stop(); err != nil {
		return r, err
	}
	if err := call(ctx, http.MethodPost, b.segmentURL+"/_segmentd/reset", nil); err != nil {
		return r, err
	}
	begin = time.Now()
	delivering, err := start(ctx, up...)
	if err != nil {
		return r, err
	}
	defer delivering.stop()
	var stats segmentd.Stats
	for stats.Distinct+stats.Duplicates < int64(b.events) {
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
		if err := call(ctx, http.MethodGet, b.segmentURL+"/_segmentd/stats", &stats); err != nil {
			return r, err
		}
	}
	r.Delivered = time.Since(begin)
	if err := delivering.stop(); err != nil {
		return r, err
	}
	r.CPU, r.PeakRSS = delivering.used()
	return r, nil
}

// call calls the Segment emulator and decodes its answer, unless answer is nil.
func call(ctx context.Context, method, url string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return nil
}
