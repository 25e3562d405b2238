// Package jobs is the design that failed and its repair: asynq, a job queue on Redis, with a job
// for each event that stays open until Segment has answered.
//
// In the design that failed the jobs share an analytics-go client that waits for 20 events or 10 s.
// Ten workers never have 20 events, so ten jobs are done every ten seconds. The repair gives each
// job a client of its own, closes it, and has more workers.
package jobs

import (
	"context"
	"fmt"
	"runtime"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"github.com/spillwayhq/spillway/integration/peers/flush"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// bufferedSample is three flushes of ten jobs: 100,000 events would take 28 hours.
const bufferedSample = 30

// bufferedWorkers are the workers of the design that failed.
const bufferedWorkers = 10

const bufferedName = "asynq-buffered-10"

// Peers are the designs on asynq.
func Peers() []peer.Peer {
	buffering := job(bufferedName, "asynq on Redis, 10 workers, a client of 20 events or 10 s", buffered)
	buffering.Sample = bufferedSample
	return []peer.Peer{
		buffering,
		job("asynq-close-100", "asynq on Redis, 100 workers, a client for each job", closing(100)),
		job("asynq-close-500", "asynq on Redis, 500 workers, a client for each job", closing(500)),
	}
}

func job(name, what string, worker func(context.Context, peer.Working) error) peer.Peer {
	return peer.Peer{Name: name, What: what, Queue: peer.Redis, Backlog: "asynq", Fill: fill, Worker: worker, Left: left}
}

// taskType is the type of all jobs.
const taskType = "segment:track"

// enqueuers is how many goroutines keep Redis busy.
func enqueuers() int { return 8 * runtime.NumCPU() }

// fill enqueues a job for each event.
func fill(ctx context.Context, f peer.Filling) error {
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: f.Redis})
	defer client.Close()
	enqueuing, ctx := errgroup.WithContext(ctx)
	enqueuing.SetLimit(enqueuers())
	for event, err := range f.Events() {
		enqueuing.Go(func() error {
			if err != nil {
				return err
			}
			return enqueue(ctx, client, event)
		})
		if ctx.Err() != nil {
			break // one has failed
		}
	}
	return enqueuing.Wait()
}

// enqueue does what the API does for an event.
func enqueue(ctx context.Context, client *asynq.Client, event []byte) error {
	if _, err := client.EnqueueContext(ctx, asynq.NewTask(taskType, event)); err != nil {
		return fmt.Errorf("enqueue a job: %w", err)
	}
	return nil
}

// buffered is the worker of the design that failed.
func buffered(ctx context.Context, w peer.Working) error {
	client, err := flush.NewBuffered(w.Segment)
	if err != nil {
		return err
	}
	// The server's end waits for the jobs, and they for this client: its last flush is within 10 s.
	defer client.Close()
	return serve(ctx, w.Redis, bufferedWorkers, func(_ context.Context, t *asynq.Task) error {
		track, err := flush.Decode(t.Payload())
		if err != nil {
			return err
		}
		return client.Send(track)
	})
}

// closing is the worker of the repair.
func closing(workers int) func(context.Context, peer.Working) error {
	return func(ctx context.Context, w peer.Working) error {
		return serve(ctx, w.Redis, workers, func(_ context.Context, t *asynq.Task) error {
			track, err := flush.Decode(t.Payload())
			if err != nil {
				return err
			}
			return flush.AndClose(w.Segment, track)
		})
	}
}

// serve runs jobs until ctx ends. All settings but the workers are asynq's own: a job that fails is
// tried again after 15 to 45 s, then later and later, 25 times.
func serve(ctx context.Context, redis string, workers int, handle asynq.HandlerFunc) error {
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: redis},
		asynq.Config{Concurrency: workers, LogLevel: asynq.ErrorLevel})
	if err := server.Start(handle); err != nil {
		return fmt.Errorf("start the asynq server: %w", err)
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// left counts the jobs that are not done.
func left(_ context.Context, redis string) (int64, error) {
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: redis})
	defer inspector.Close()
	info, err := inspector.GetQueueInfo("default")
	if err != nil {
		return 0, fmt.Errorf("count the jobs in Redis: %w", err)
	}
	return int64(info.Pending + info.Active + info.Scheduled + info.Retry), nil
}
