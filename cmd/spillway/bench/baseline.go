package bench

import (
	"context"
	"fmt"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

// The ways without Spillway.
const (
	jobWorkers     = 100 // of the job queue, after its repair
	batchEvents    = 250 // in a ready-made batch
	batchesAtATime = 80  // ready-made batches in flight: as many as ten functions with eight each
)

// analyticsJobs sends each event as a job of the failed design did after its repair: with an
// analytics-go client per event, closed when Segment has answered. It has no job queue, so its real
// rate was lower.
func analyticsJobs(ctx context.Context, segmentURL string, count int) (Result, error) {
	var next, failed atomic.Int64
	var running sync.WaitGroup
	start := time.Now()
	for range jobWorkers {
		running.Go(func() {
			for next.Add(1) <= int64(count) && ctx.Err() == nil {
				if runJob(segmentURL) != nil {
					failed.Add(1)
				}
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if n := failed.Load(); n > 0 {
		return Result{}, fmt.Errorf("%d of %d events failed with analytics-go", n, count)
	}
	return Result{Part: AnalyticsGo, Events: count, Delivered: time.Since(start),
		What: fmt.Sprintf("without Spillway: analytics-go, one job per event, %d workers", jobWorkers)}, nil
}

func runJob(segmentURL string) error {
	client, err := analytics.NewWithConfig("bench", analytics.Config{
		Endpoint: segmentURL, BatchSize: 1, Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
	})
	if err != nil {
		return err
	}
	err = client.Enqueue(analytics.Track{UserId: "user-1", Event: "Run Finished",
		Properties: analytics.Properties{"distance_m": 5000}})
	if err != nil {
		return err
	}
	return client.Close()
}

// readyBatches posts batches that need no work: the most that the machine and the Segment emulator
// can do.
func readyBatches(ctx context.Context, segmentURL string, count int) (Result, error) {
	client, err := segment.NewClient(segment.Config{Endpoint: segmentURL})
	if err != nil {
		return Result{}, err
	}
	batch := event.Batch{WriteKey: "bench"}
	for i := range batchEvents {
		event, err := feed.MadeUp(i, "")
		if err != nil {
			return Result{}, err
		}
		batch.Events = append(batch.Events, event)
	}
	batches := int64(count+batchEvents-1) / batchEvents
	var next atomic.Int64
	var running sync.WaitGroup
	var first atomic.Pointer[error]
	start := time.Now()
	for range batchesAtATime {
		running.Go(func() {
			for next.Add(1) <= batches {
				if err := client.Flush(ctx, &batch); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	running.Wait()
	if err := first.Load(); err != nil {
		return Result{}, *err
	}
	return Result{Part: Limit, What: "the limit: ready-made batches", Events: int(batches) * batchEvents,
		Delivered: time.Since(start)}, nil
}
