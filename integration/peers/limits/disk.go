package limits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
)

// compareSyncs compares an fsync after each event with a publisher that returns when the event is
// on disk.
func compareSyncs(ctx context.Context, all [][]byte, do func(comparison) error) (err error) {
	dir, err := os.MkdirTemp("", "spillway-peers-limits-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	file, err := written(filepath.Join(dir, "events"))
	if err != nil {
		return err
	}
	defer file.Close()
	client, tracks, err := diskPublisher(ctx, dir, all)
	if err != nil {
		return err
	}
	defer client.Close() // it gives up at once
	end, next := int64(0), 0
	return do(comparison{"of time",
		inTime("1 KB written and fdatasync, one after the other", 1, func(int) error {
			event := all[next%len(all)]
			if _, err := file.WriteAt(event, end%(fileBytes-int64(len(event)))); err != nil {
				return err
			}
			next, end = next+1, end+int64(len(event))
			return syscall.Fdatasync(int(file.Fd()))
		}),
		[]task{
			inTime("publisher, `Disk`, one goroutine", 1, func(i int) error { return client.Enqueue(tracks[i%len(tracks)]) }),
			inTime("publisher, `Disk`, 64 goroutines share the fsync", 64,
				func(i int) error { return client.Enqueue(tracks[i%len(tracks)]) }),
		}})
}

// fileBytes is the size of the file that is written.
const fileBytes = 16 << 20

// written makes a file that is on disk already, so that a sync has no more to do than the event: no
// space to find, no size to write.
func written(name string) (*os.File, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("make a file: %w", err)
	}
	_, err = file.Write(make([]byte, fileBytes))
	if err = errors.Join(err, file.Sync()); err != nil {
		return nil, errors.Join(fmt.Errorf("fill a file: %w", err), file.Close())
	}
	return file, nil
}

// diskPublisher is a publisher without a queue, so that it only writes to disk.
func diskPublisher(ctx context.Context, dir string, all [][]byte) (*publisher.Client, []analytics.Track, error) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("find a port where nobody listens: %w", err)
	}
	defer nobody.Close()
	client, err := publisher.New(ctx,
		publisher.Config{QueueURL: "http://" + nobody.Addr().String() + "/000000000000/events",
			Durability: publisher.Disk, Dir: filepath.Join(dir, "publisher"), DiskBytes: 4 << 30, CloseTimeout: time.Nanosecond,
			Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	tracks := make([]analytics.Track, 256)
	for i := range tracks {
		if err := json.Unmarshal(all[i], &tracks[i]); err != nil {
			return nil, nil, fmt.Errorf("read a made-up event: %w", err)
		}
	}
	return client, tracks, nil
}

// inTime is a task that some goroutines do at the same time, one event each time, and costs the
// time that passes.
func inTime(what string, goroutines int, work func(i int) error) task {
	return task{what, func(ctx context.Context, atLeast time.Duration) (Cost, error) {
		start := time.Now()
		done, failures := make([]int, goroutines), make([]error, goroutines)
		var working sync.WaitGroup
		for g := range goroutines {
			working.Go(func() {
				for done[g] == 0 || time.Since(start) < atLeast && ctx.Err() == nil {
					if failures[g] = work(g + done[g]*goroutines); failures[g] != nil {
						return
					}
					done[g]++
				}
			})
		}
		working.Wait()
		c := Cost{Spent: time.Since(start)}
		for g := range goroutines {
			if failures[g] != nil {
				return c, failures[g]
			}
			c.Events += done[g]
		}
		return c, ctx.Err()
	}}
}
