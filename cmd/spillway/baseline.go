package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

// The ways without Spillway that a bench runs beside it.
const (
	workers     = 100 // of the job queue, after it was repaired
	readyEvents = 250 // in a ready-made batch
	readyFlows  = 80  // ready-made batches under way: as many as ten functions with eight
)

// analyticsJobs sends each event as a job of the failed design did after its repair: a client of
// analytics-go for each, closed when Segment has answered. There is no queue in front of it, which
// flatters it.
func analyticsJobs(ctx context.Context, segmentURL string, count int) (result, error) {
	var next, failed atomic.Int64
	var running sync.WaitGroup
	start := time.Now()
	for range workers {
		running.Go(func() {
			for next.Add(1) <= int64(count) && ctx.Err() == nil {
				client, err := analytics.NewWithConfig("bench", analytics.Config{
					Endpoint: segmentURL, BatchSize: 1, Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
				})
				if err == nil {
					err = client.Enqueue(analytics.Track{UserId: "user-1", Event: "Run Finished",
						Properties: analytics.Properties{"distance_m": 5000}})
				}
				if err != nil || client.Close() != nil {
					failed.Add(1)
				}
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return result{}, context.Cause(ctx)
	}
	if n := failed.Load(); n > 0 {
		return result{}, fmt.Errorf("%d of %d events failed with analytics-go", n, count)
	}
	return result{what: fmt.Sprintf("analytics-go, a job an event, %d workers", workers), events: count,
		delivered: time.Since(start)}, nil
}

// readyMade posts batches whose bytes are there already: what the machine and the stand-in can do
// at most.
func readyMade(ctx context.Context, segmentURL string, count int) (result, error) {
	client, err := segment.NewClient(segment.Config{Endpoint: segmentURL})
	if err != nil {
		return result{}, err
	}
	batch := event.Batch{WriteKey: "bench"}
	for i := range readyEvents {
		event, err := madeUp(i)
		if err != nil {
			return result{}, err
		}
		batch.Events = append(batch.Events, event)
	}
	batches := int64(count+readyEvents-1) / readyEvents
	var next atomic.Int64
	var running sync.WaitGroup
	var first atomic.Pointer[error]
	start := time.Now()
	for range readyFlows {
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
		return result{}, *err
	}
	return result{what: "ready-made batches posted", events: int(batches) * readyEvents, delivered: time.Since(start)}, nil
}
