package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"

	"github.com/spillwayhq/spillway/integration/peers/flush"
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/integration/peers/report"
)

const (
	limitMB = 64  // of the Redis that refuses jobs
	apiRate = 100 // jobs/s that the API enqueues
	latency = 50 * time.Millisecond
)

// A Measurement is what Redis did with the jobs of the design that failed.
type Measurement struct {
	Backlog Backlog
	Full    Full
}

// A Backlog is a queue of waiting jobs.
type Backlog struct {
	Jobs        int
	UsedBytes   int64 // used_memory of Redis with them, less that of the empty Redis
	PeakRSS     int64 // bytes, of the process
	BytesPerJob float64
}

// A Full is a Redis with maxmemory, to which jobs are sent faster than its workers take them.
type Full struct {
	MaxMemoryMB   int
	Accepted      int     // jobs, until the first was refused
	JobsPerSecond float64 // that Redis took until then: as many as it can
	Answer        string  // what the refused call returned
	// SecondsAtRate is how long the refusal takes with Rate jobs a second: Accepted jobs less those
	// that the workers do meanwhile.
	SecondsAtRate float64
	Rate          int // jobs/s
	Afterwards    Offered
}

// An Offered is what becomes of jobs at the API's rate once Redis is full.
type Offered struct {
	Jobs, Refused int
	Pings         int // that Redis answered, of one a job: it looks well
	Delivered     int // events that Segment received meanwhile
	Seconds       float64
}

// RunRedis is the subcommand `redis`: what the backlog of the design that failed costs Redis, and
// how long a small Redis takes jobs.
func RunRedis(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("redis", flag.ContinueOnError)
	results := f.String("results", "", "directory for redis.json; empty: only print")
	events := f.Int("events", 100_000, "jobs of the backlog")
	smoke := f.Bool("smoke", false, "be quick: a small backlog, and a short time after the first refusal")
	if err := f.Parse(args); err != nil {
		return err
	}
	after := 20 * time.Second
	if *smoke {
		*events, after = min(*events, 2000), time.Second
	}
	dir, err := os.MkdirTemp("", "spillway-peers-redis-")
	if err != nil {
		return fmt.Errorf("make a directory for Redis: %w: set TMPDIR to another", err)
	}
	defer os.RemoveAll(dir)
	var m Measurement
	if m.Backlog, err = measureBacklog(ctx, filepath.Join(dir, "backlog"), *events); err != nil {
		return fmt.Errorf("the backlog: %w", err)
	}
	if m.Full, err = measureFull(ctx, filepath.Join(dir, "full"), after); err != nil {
		return fmt.Errorf("a Redis with maxmemory: %w", err)
	}
	part := report.Part{Tables: []report.Table{table(m)}, Values: m}
	part.Tables[0].Write(os.Stdout)
	if *results == "" {
		return nil
	}
	return report.Save(*results, "redis", part)
}

// start starts Redis in a directory that it makes.
func start(ctx context.Context, dir string, settings ...string) (*machine.Process, *goredis.Client, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make a directory for Redis: %w", err)
	}
	p, err := machine.StartRedis(ctx, dir, settings...)
	if err != nil {
		return nil, nil, err
	}
	return p, goredis.NewClient(&goredis.Options{Addr: p.URL}), nil
}

func measureBacklog(ctx context.Context, dir string, count int) (b Backlog, err error) {
	process, client, err := start(ctx, dir)
	if err != nil {
		return b, err
	}
	defer process.Kill()
	defer client.Close()
	before, err := usedMemory(ctx, client)
	if err != nil {
		return b, err
	}
	if err := fill(ctx, peer.Filling{Count: count, Redis: process.URL}); err != nil {
		return b, err
	}
	after, err := usedMemory(ctx, client)
	b = Backlog{Jobs: count, UsedBytes: after - before, PeakRSS: process.Use().PeakRSS}
	b.BytesPerJob = float64(b.UsedBytes) / float64(count)
	return b, err
}

// usedMemory is what Redis compares with maxmemory, in bytes.
func usedMemory(ctx context.Context, client *goredis.Client) (int64, error) {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("ask Redis for its memory: %w", err)
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, errors.New("ask Redis for its memory: the answer has no used_memory")
}

// measureFull sends jobs until Redis refuses one, while the workers of the design that failed run.
// Then it goes on for a time at the API's rate.
func measureFull(ctx context.Context, dir string, after time.Duration) (f Full, err error) {
	process, client, err := start(ctx, dir, "--maxmemory", fmt.Sprintf("%dmb", limitMB))
	if err != nil {
		return f, err
	}
	defer process.Kill()
	defer client.Close()
	segment, err := machine.StartSegment(ctx, latency)
	if err != nil {
		return f, err
	}
	defer segment.Kill()
	worker, err := machine.Worker(ctx, bufferedName, "", peer.Working{Redis: process.URL, Segment: segment.URL})
	if err != nil {
		return f, err
	}
	defer worker.Kill()
	jobs := asynq.NewClient(asynq.RedisClientOpt{Addr: process.URL})
	defer jobs.Close()

	began := time.Now()
	accepted, refusal, err := untilRefused(ctx, jobs)
	if err != nil {
		return f, err
	}
	f = Full{MaxMemoryMB: limitMB, Accepted: accepted, Answer: refusal.Error(), Rate: apiRate}
	f.JobsPerSecond = float64(accepted) / time.Since(began).Seconds()
	// The workers take one job a second.
	f.SecondsAtRate = float64(accepted) / (apiRate - bufferedWorkers/flush.Interval.Seconds())
	before, err := machine.SegmentStats(ctx, segment.URL)
	if err != nil {
		return f, err
	}
	if f.Afterwards, err = offer(ctx, jobs, client, after); err != nil {
		return f, err
	}
	stats, err := machine.SegmentStats(ctx, segment.URL)
	f.Afterwards.Delivered = int(stats.Distinct - before.Distinct)
	return f, errors.Join(err, worker.Failure())
}

// refused reports whether Redis answered that it has no memory left.
func refused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "OOM command not allowed")
}

// untilRefused enqueues from several goroutines until Redis refuses a job.
func untilRefused(ctx context.Context, client *asynq.Client) (accepted int, refusal, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, taken atomic.Int64
	var enqueuing sync.WaitGroup
	for range enqueuers() {
		enqueuing.Go(func() {
			for ctx.Err() == nil {
				event, err := peer.Event(int(next.Add(1)))
				if err == nil {
					err = enqueue(ctx, client, event)
				}
				if err != nil {
					cancel(err)
					return
				}
				taken.Add(1)
			}
		})
	}
	enqueuing.Wait()
	if cause := context.Cause(ctx); !refused(cause) {
		return 0, nil, cause
	}
	return int(taken.Load()), context.Cause(ctx), nil
}

// offer enqueues jobs at the API's rate.
func offer(ctx context.Context, jobs *asynq.Client, client *goredis.Client, d time.Duration) (o Offered, err error) {
	tick := time.NewTicker(time.Second / apiRate)
	defer tick.Stop()
	began := time.Now()
	for time.Since(began) < d {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return o, context.Cause(ctx)
		}
		event, err := peer.Event(o.Jobs)
		if err != nil {
			return o, err
		}
		o.Jobs++
		switch err := enqueue(ctx, jobs, event); {
		case refused(err):
			o.Refused++
		case err != nil:
			return o, err
		}
		if client.Ping(ctx).Err() == nil {
			o.Pings++
		}
	}
	o.Seconds = time.Since(began).Seconds()
	return o, nil
}

// table is what the page shows.
func table(m Measurement) report.Table {
	full, then := m.Full, m.Full.Afterwards
	number := func(n int) string { return humanize.Comma(int64(n)) }
	return report.Table{
		Title: "Redis with the jobs of the design that failed",
		Head:  []string{"", ""},
		Rows: [][]string{
			{"memory that " + number(m.Backlog.Jobs) + " waiting jobs take", fmt.Sprintf("%.0f MB, %.0f bytes a job",
				float64(m.Backlog.UsedBytes)/1e6, m.Backlog.BytesPerJob)},
			{fmt.Sprintf("with `maxmemory %dmb`, a job is refused after", full.MaxMemoryMB), number(full.Accepted) + " jobs"},
			{fmt.Sprintf("which takes, at %d jobs/s", full.Rate),
				time.Duration(full.SecondsAtRate * float64(time.Second)).Round(time.Second).String()},
			{fmt.Sprintf("from then on refused, of %s jobs in %.0f s", number(then.Jobs), then.Seconds), number(then.Refused)},
			{"PINGs that this Redis answered, one a job", number(then.Pings)},
			{"events that its workers delivered in that time", number(then.Delivered)},
		},
		Notes: []string{fmt.Sprintf("The %s jobs came at %s/s; the time is what they take at %d/s, less the job a "+
			"second that "+
			"ten workers do.", number(full.Accepted), number(int(full.JobsPerSecond)), full.Rate)},
	}
}
