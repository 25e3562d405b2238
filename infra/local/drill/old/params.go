package old

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"
)

// A Parameter is a number that a result depends on, with where it is from.
type Parameter struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // with its unit
	Source string `json:"source"` // a sentence
}

// Params are the numbers of the design that failed.
type Params struct {
	Workers          int // jobs that are held open at once
	WorkersPerClient int // of a process, which has one client

	FlushAt       int           // events with which a client sends at once,
	FlushInterval time.Duration // and the longest time that it waits for them
	Overhead      time.Duration // of a job beside the client's waiting and Segment's answer

	JobBytes  float64 // of Redis that a job takes
	BoundJobs int64   // jobs that fit into Redis

	RepairAfter     time.Duration // the API's first stop, until people have raised the concurrency,
	RepairedWorkers int           // to this, all of one client
}

// usualAnswer is how long Segment's answer takes on a good day.
const usualAnswer = 50 * time.Millisecond

// Sized are the parameters of a team whose usual traffic has this peak, in events a second.
func Sized(peak float64) Params {
	p := Params{
		WorkersPerClient: 10,
		FlushAt:          20, FlushInterval: 10 * time.Second, Overhead: 10 * time.Millisecond,
		JobBytes: 1720, BoundJobs: 100_000,
		RepairAfter: 4 * time.Hour,
	}
	// It had worked until that day: the peak and a fifth more.
	const spare = 1.2
	p.Workers = max(1, int(math.Ceil(peak*spare*(p.FlushInterval+p.Overhead+usualAnswer).Seconds())))
	p.RepairedWorkers = max(100, int(math.Ceil(peak*2*(p.Overhead+usualAnswer).Seconds())))
	// Above 4,000 events a second the jobs that are held open would fill half of it on a usual day.
	p.BoundJobs = max(p.BoundJobs, int64(2*p.Workers))
	return p
}

func (p Params) parameters() []Parameter {
	return []Parameter{
		{"Workers", fmt.Sprintf("%s, %d to a client", humanize.Comma(int64(p.Workers)), p.WorkersPerClient),
			"Our assumption: as many as do the usual peak and a fifth more, because the design had worked until that day."},
		{"A client sends", fmt.Sprintf("at %d events or after %g s", p.FlushAt, p.FlushInterval.Seconds()),
			"The post-mortem, and the defaults of analytics-node: flushAt 20, flushInterval 10000."},
		{"Work on a job, beside waiting", fmt.Sprintf("%d ms", p.Overhead.Milliseconds()),
			"Measured: 100 workers of one client do 1,665 jobs a second while answers take 50 ms."},
		{"Memory of a job", fmt.Sprintf("%s bytes", humanize.Comma(int64(p.JobBytes))),
			"Measured: Redis takes 172 MB for 100,000 jobs of 1.1 KB each."},
		{"Jobs that fit into Redis", humanize.Comma(p.BoundJobs),
			"The post-mortem: so many had gathered when it was full. With the policy noeviction, a write then fails."},
		{"People raise the concurrency", fmt.Sprintf("%g h after the API stopped, to %s workers of one client",
			p.RepairAfter.Hours(), humanize.Comma(int64(p.RepairedWorkers))),
			"The post-mortem: the API was down for four hours; with more concurrency 100,000 jobs were done in about a minute. " +
				"Measured: 100 workers do them in 60 s. Above 833 events/s: as many as do twice the usual peak."},
	}
}
