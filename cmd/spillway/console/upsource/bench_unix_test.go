//go:build unix

package upsource

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// loadEvents and loadPause are the load of a benchmark: 1,000 events a second.
const loadEvents, loadPause = 100, 100 * time.Millisecond

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPage is one page of a pipeline that delivers 1,000 events a second: how long it takes, of
// 95 in 100 requests at most, and its CPU time, of which the pipeline's own is a part.
func BenchmarkPage(b *testing.B) {
	p := localtest.Start(b, local.Config{IngestAddr: "127.0.0.1:0"})
	s := New(p)
	b.Cleanup(s.Close)
	page := console.New(console.Config{Source: s})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	b.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { page.Run(ctx) })
	running.Go(func() {
		for ctx.Err() == nil {
			_, _ = s.switches.Send(ctx, loadEvents)
			time.Sleep(loadPause)
		}
	})
	for name, path := range map[string]string{"overview": "/", "day": "/?span=24h", "samples": "/samples",
		"dead letters": "/dead-letters", "alarms": "/alarms", "find": "/find?q=user-7919"} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			cpu := cpuTime(b)
			for b.Loop() {
				w := httptest.NewRecorder()
				begin := time.Now()
				page.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil))
				took = append(took, time.Since(begin))
				if w.Code != http.StatusOK {
					b.Fatalf("%s is answered %d", path, w.Code)
				}
			}
			cpu = cpuTime(b) - cpu
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100])/float64(time.Millisecond), "p95-ms")
			b.ReportMetric(float64(cpu)/float64(time.Millisecond)/float64(len(took)), "cpu-ms/page")
		})
	}
}
