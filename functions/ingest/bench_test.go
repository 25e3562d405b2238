//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// eventOf1KB makes an event that compresses as real ones do, about fivefold.
func eventOf1KB(r *rand.Rand) string {
	var text strings.Builder
	for i := range 12 {
		fmt.Fprintf(&text, `,"property_%d":"%x and some text that is much the same every time"`, i, r.Uint64()&0xffffff)
	}
	return fmt.Sprintf(`{"type":"track","userId":"u-%d","event":"Run Started","timestamp":"2026-11-23T10:00:01.500Z","messageId":"m-%016x%016x",`+
		`"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}},"properties":{"distance":%d%s}}`,
		r.IntN(10000), r.Uint64(), r.Uint64(), r.IntN(1000), text.String())
}

// requestsOf makes different requests of so many events each.
func requestsOf(path string, events int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	requests := make([]string, 256)
	for i := range requests {
		body := eventOf1KB(r)
		if events > 1 {
			all := make([]string, events)
			for n := range all {
				all[n] = eventOf1KB(r)
			}
			body = `{"batch":[` + strings.Join(all, ",") + `]}`
		}
		requests[i] = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic d2stZGVtbzo=\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, len(body), body)
	}
	return requests
}

// BenchmarkServer measures the whole way into the queue: the built binary in a process of its own,
// and this process with the generator and the queue, which answers when a message is on disk.
// Events are not delivered.
func BenchmarkServer(b *testing.B) {
	for _, c := range []struct {
		name, path          string
		events, connections int
		pace                time.Duration // between the requests of a connection; 0: as fast as it goes
	}{
		{"one event a request, 1 connection", "/v1/track", 1, 1, 0},
		{"one event a request, 16 connections", "/v1/track", 1, 16, 0},
		{"one event a request, 256 connections", "/v1/track", 1, 256, 0},
		{"one event a request, 4096 connections", "/v1/track", 1, 4096, 0},
		{"one event a request, 2000 requests a second", "/v1/track", 1, 50, 25 * time.Millisecond},
		{"100 events a request", "/v1/batch", 100, 64, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := localtest.Start(b, local.Config{Hold: true})
			// Behind a proxy, or the connections of this one address would be too many.
			s := start(b, localtest.Environment(p.SQSURL, "SPILLWAY_TRUSTED_PROXIES=1"))

			requests := requestsOf(c.path, c.events)
			latencies := make([][]time.Duration, c.connections)
			refused := make([]int, c.connections)
			share := (b.N + c.connections - 1) / c.connections
			b.ResetTimer()
			begin := time.Now()
			var load sync.WaitGroup
			for n := range c.connections {
				load.Go(func() { latencies[n], refused[n] = sendAll(b, s.Address, requests[n%len(requests):], share, c.pace) })
			}
			load.Wait()
			took := time.Since(begin)
			b.StopTimer()
			all := slices.Sorted(func(yield func(time.Duration) bool) {
				for _, some := range latencies {
					for _, l := range some {
						if !yield(l) {
							return
						}
					}
				}
			})
			shed := 0
			for _, n := range refused {
				shed += n
			}
			done := len(all)
			b.ReportMetric(float64(done)/took.Seconds(), "requests/s")
			b.ReportMetric(float64(done*c.events)/took.Seconds(), "events/s")
			b.ReportMetric(float64(all[done*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(shed), "refused")
			b.ReportMetric(float64(s.Memory(b, "VmHWM"))/(1<<20), "RSS-MB")
			if err := s.Stop(b); err != nil {
				b.Errorf("%v\n%s", err, &s.Log)
			}
			if u, ok := s.Cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
				cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano())
				b.ReportMetric(float64(cpu.Microseconds())/float64((done+shed)*c.events), "CPU-us/event")
			}
		})
	}
}

// sendAll sends the requests, again and again, over one connection.
func sendAll(b *testing.B, address string, requests []string, times int, pace time.Duration) (accepted []time.Duration,
	refused int) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return nil, 0
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	next := time.Now()
	for i := range times {
		if pace > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(pace)
		}
		start := time.Now()
		if _, err := io.WriteString(conn, requests[i%len(requests)]); err != nil {
			b.Error(err)
			return accepted, refused
		}
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Error(err)
			return accepted, refused
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			accepted = append(accepted, time.Since(start))
		} else {
			refused++
		}
	}
	return accepted, refused
}
