package deliver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/segment"
)

// discard is a server on a loopback socket that reads requests, throws them away and answers 200:
// as little as a Segment can cost. It runs in the benchmark's process, so its part is in the
// numbers.
func discard(b *testing.B) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 64<<10)
				for {
					length := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							length, _ = strconv.Atoi(string(bytes.TrimSpace(n)))
						}
						if len(line) <= 2 {
							break
						}
					}
					if _, err := r.Discard(length); err != nil {
						return
					}
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"success\":true}"); err != nil {
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() { l.Close(); conns.Wait() })
	return "http://" + l.Addr().String()
}

// realistic is an event of about 1.1 KB as a server SDK sends it.
func realistic(i int) string {
	var e strings.Builder
	fmt.Fprintf(&e, `{"type":"track","event":"Order Completed","userId":"user-%07d","messageId":"%08x-87a3-44ab-83d2-661975830a7d","timestamp":"2026-11-01T00:%02d:%02d.000Z",`, i*7919%1_000_000, i*2654435761, i/60%60, i%60)
	e.WriteString(`"context":{"library":{"name":"analytics-go","version":"3.0.0"},"ip":"203.0.113.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","locale":"en-US"},"properties":{`)
	for n := range 14 {
		fmt.Fprintf(&e, `"property_%d":"value %d of %x","amount_%d":%d.%02d,`, n, n, (i+1)*(n+3)*40503, n, i%1000, n)
	}
	e.WriteString(`"currency":"USD"}}`)
	return e.String()
}

// invocations are the two kinds that the pipeline sees: packed messages, and single events that
// somebody sent one by one.
func invocations(b *testing.B) map[string][]byte {
	b.Helper()
	var packed, single []in
	now := time.Now()
	for m := range 50 {
		events := make([]string, 0, 440)
		for size := 0; ; {
			e := realistic(m*440 + len(events))
			if size += len(e) + 1; size > 470_000 || len(events) == 440 {
				break
			}
			events = append(events, e)
		}
		packed = append(packed, in{id: fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", m),
			body: zipped(b, body("key", events...)), sent: now, receives: 1})
	}
	for m := range 100 {
		single = append(single, in{id: fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", m),
			body: `{"writeKey":"key","batch":[` + realistic(m) + `]}`, sent: now, receives: 1})
	}
	return map[string][]byte{"packed": payload(b, packed...), "single": payload(b, single...)}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// discardArchive takes everything and keeps nothing.
type discardArchive struct{}

func (discardArchive) Put(context.Context, []archive.Frame) error { return nil }

// BenchmarkInvoke is a delivery from the invocation's JSON to Segment's answers, through the real
// client, without and with gzip, and with an archive that takes everything.
func BenchmarkInvoke(b *testing.B) {
	for name, doc := range invocations(b) {
		for _, c := range []struct {
			name    string
			gzip    bool
			archive archive.Appender
		}{{name: "gzip=false"}, {name: "gzip=true", gzip: true}, {name: "archive", archive: discardArchive{}}} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				transport := &http.Transport{MaxIdleConnsPerHost: 64, WriteBufferSize: 64 << 10}
				url := discard(b)
				b.Cleanup(transport.CloseIdleConnections) // before the server waits for its connections
				client, err := segment.NewClient(segment.Config{Endpoint: url, Gzip: c.gzip, Transport: transport})
				if err != nil {
					b.Fatal(err)
				}
				var last Report
				h, err := New(Config{Segment: client, Queue: &fakeQueue{}, DeadLetters: &fakeQueue{},
					Archive: c.archive, Senders: heavy.NewCounter("spillway", heavy.PartDeliver),
					Report: func(_ context.Context, s Report) { last = s }})
				if err != nil {
					b.Fatal(err)
				}
				invoke := func() {
					if _, err := h.Invoke(b.Context(), doc); err != nil {
						b.Fatal(err)
					}
					if last.Delivered != last.Events || c.archive != nil && last.Archived != last.Events {
						b.Fatalf("delivered %d of %d events", last.Delivered, last.Events)
					}
				}
				invoke() // opens connections and fills pools, as a warm environment has them
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				cpu := cpuTime(b)
				total := 0
				for b.Loop() {
					invoke()
					total += last.Events
				}
				cpu = cpuTime(b) - cpu
				runtime.ReadMemStats(&after)
				n := float64(total)
				b.ReportMetric(float64(b.Elapsed())/n, "ns/event")
				b.ReportMetric(float64(cpu.Nanoseconds())/1000/n, "cpu-µs/event")
				b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/event")
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/event")
				b.ReportMetric(float64(len(last.Flushes)), "batches")
				b.ReportMetric(float64(last.Events), "events")
			})
		}
	}
}

// BenchmarkPayload compares reading an invocation's JSON by hand, including the unescaping of the
// bodies, with encoding/json.
func BenchmarkPayload(b *testing.B) {
	for name, doc := range invocations(b) {
		b.Run(name+"/eachRecord", func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				bodies := 0
				err := eachRecord(doc, func(rec *record) { bodies += len(rec.body) })
				if err != nil || bodies == 0 {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encoding/json", func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				var event events.SQSEvent
				if err := json.Unmarshal(doc, &event); err != nil || len(event.Records) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
