//go:build unix

package publisher

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// typical returns the track that the benchmarks use: 10 properties and a Context, about 1 KB.
func typical() analytics.Track {
	return analytics.Track{
		UserId: "user-4711", AnonymousId: "507f191e-810c-4197-9de8-60ea00000001", Event: "Run Finished",
		Properties: analytics.Properties{
			"activity": "Run", "distance_m": 10_250, "duration_s": 3021, "elevation_m": 84.5, "route_id": "route-0004b1f3",
			"device": "watch-7", "weather": "light rain",
			"shared": true, "tags": []string{"training", "outdoor", "morning"},
			"gear": map[string]any{"shoes": "trail 12", "bottle_ml": 500},
		},
		Context: &analytics.Context{
			App: analytics.AppInfo{Name: "Trails", Version: "7.3.1", Build: "20261", Namespace: "org.example.trails"},
			Device: analytics.DeviceInfo{Id: "B5372DB0-C21E-11E4-8DFC-000000000001", Manufacturer: "Example", Model: "phone14,2",
				Type: "ios"},
			Locale: "en-GB", Timezone: "Europe/London", OS: analytics.OSInfo{Name: "iOS", Version: "19.1"},
			UserAgent: "Trails/7.3 (iPhone; iOS 19.1; Scale/3.00)",
			Page: analytics.PageInfo{Path: "/runs/4711", Title: "Your run",
				URL: "https://trails.example.org/runs/4711?from=watch&week=12"},
		},
	}
}

// BenchmarkEnqueue measures what an event costs on its caller's goroutine. analytics-go encodes the
// same event with encoding/json on a single goroutine of its own: its Enqueue only puts the message
// into a channel, and waits when that is full.
func BenchmarkEnqueue(b *testing.B) {
	b.Run("publisher", func(b *testing.B) {
		c := newClient(b, Config{BufferBytes: 1 << 30}, &fakeQueue{discard: true})
		defer c.Close()
		m := typical()
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Enqueue(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("publisher, encoding alone", func(b *testing.B) {
		var e encoder
		m := typical()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.encode(m, time.Now(), false); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(e.buf)))
	})
	b.Run("encoding-json", func(b *testing.B) {
		m := typical()
		m.Type, m.MessageId, m.Timestamp = "track", "1ff22e9c-c2a7-4f9d-8e6c-0f1f39a7a4b1", time.Now()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	// 50 at a time with a rest after them, so that the channel of 100 never fills: the cost of
	// Enqueue alone.
	for _, rest := range []bool{false, true} {
		b.Run(map[bool]string{false: "analytics-go", true: "analytics-go, 50 and a rest"}[rest],
			func(b *testing.B) { benchmarkAnalyticsGo(b, rest) })
	}
}

func benchmarkAnalyticsGo(b *testing.B, rest bool) {
	c, err := analytics.NewWithConfig("key", analytics.Config{
		Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	m := typical()
	b.ReportAllocs()
	for i := range b.N {
		if rest && i%50 == 0 {
			b.StopTimer()
			time.Sleep(2 * time.Millisecond)
			b.StartTimer()
		}
		if err := c.Enqueue(m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEnqueueParallel shows whether goroutines wait for each other: 1 and 8 of them, and one
// that only takes the events.
func BenchmarkEnqueueParallel(b *testing.B) {
	for _, goroutines := range []int{1, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			c := &Client{buffer: newBuffer(256 << 20), settler: &settler{}}
			closing := make(chan struct{})
			var taking sync.WaitGroup
			taking.Go(func() {
				for c.buffer.ready(time.Millisecond, closing) {
					for _, ch := range c.buffer.take(maxTakeBytes) {
						c.buffer.release(ch)
					}
				}
			})
			m := typical()
			var all sync.WaitGroup
			before := cpu()
			b.ResetTimer()
			for range goroutines {
				all.Go(func() {
					for range b.N / goroutines {
						for c.Enqueue(m) != nil {
							runtime.Gosched()
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			c.buffer.close()
			close(closing)
			taking.Wait()
		})
	}
}

// BenchmarkDurability measures how many events a second 64 goroutines enqueue while the queue is
// down: into memory, and in the durable modes onto the disk of the temporary directory.
func BenchmarkDurability(b *testing.B) {
	for _, mode := range []struct {
		name       string
		durability Durability
	}{{"memory", Memory}, {"process", Process}, {"disk", Disk}} {
		b.Run(mode.name, func(b *testing.B) {
			config := Config{Durability: mode.durability, BufferBytes: 8 << 30, DiskBytes: 8 << 30,
				CloseTimeout: time.Nanosecond}
			if mode.durability != Memory {
				config.Dir = b.TempDir()
			}
			c := newClient(b, config, &fakeQueue{answer: always(answer{err: errRefused})})
			defer c.Close()
			m := typical()
			const goroutines = 64
			var all sync.WaitGroup
			before := cpu()
			b.ResetTimer()
			for g := range goroutines {
				all.Go(func() {
					for i := g; i < b.N; i += goroutines {
						if err := c.Enqueue(m); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// cpu returns the processor time of the process, which says more than the clock on a machine that
// others use too.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
