package ingest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/message"
)

// benchEvent is a track of about 1 KB as Node's SDK sends it: words that repeat, and ids that do
// not.
func benchEvent(i int) string {
	return fmt.Sprintf(`{"timestamp":"2026-11-23T04:50:58.%03dZ","integrations":{},"type":"track","event":"Order Completed","userId":"user-%d","messageId":"node-next-1795409458376-9e20cb12-2a4d-482b-a0c2-%012x",`+
		`"properties":{"order_id":"%d","total":%d.5,"currency":"USD","coupon":"SUMMER%d","products":[{"sku":"SKU-%d","name":"Running Shoes, blue, size 42","price":89.95,"quantity":1},{"sku":"SKU-%d","name":"Socks — wool, three pairs","price":14.5,"quantity":2}]},`+
		`"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"},"page":{"path":"/checkout/thank-you","referrer":"https://www.google.com/","title":"Thank you — Acme","url":"https://www.acme.example/checkout/thank-you?order=%d"},"userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36","locale":"en-US","timezone":"Europe/Berlin","campaign":{"source":"newsletter","medium":"email","name":"spring-%d"}},`+
		`"_metadata":{"nodeVersion":"22.11.0","jsRuntime":"node"}}`, i%1000, i, i*7919, 9007199254740993+i, i%5000, i%10,
		i%97, i%89, i, i%7)
}

// benchBatch is a batch of n such events, numbered from a number on.
func benchBatch(from, n int) []byte {
	events := make([]string, n)
	for i := range events {
		events[i] = benchEvent(from + i)
	}
	return []byte(`{"batch":[` + strings.Join(events, ",") + `],"sentAt":"2026-11-23T04:50:59.000Z"}`)
}

// BenchmarkEvent is decoding, validation and enrichment, without HTTP and queue.
func BenchmarkEvent(b *testing.B) {
	body := benchBatch(0, 100)
	for name, client := range map[string]bool{"server": false, "client": true} {
		b.Run(name, func(b *testing.B) {
			q := new(request)
			b.ReportAllocs()
			b.SetBytes(int64(len(body) / 100))
			for n := 0; n < b.N; n += 100 {
				q.reset()
				if f := q.content.parse(body, route{kind: routeBatch}); f != nil {
					b.Fatal(f)
				}
				q.enrichment = event.Enrichment{ReceivedAt: time.Now(), SentAt: q.content.sentAt, WriteKey: "WK", Client: client,
					IP: "203.0.113.7", AppendID: appendID}
				if f := q.partition(); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}

// BenchmarkHTTP compares handlers over loopback sockets: one that reads the body and answers, the
// same with json.Valid, and ours in front of a queue that acknowledges at once. The clients run in
// the same process, so cpu-µs/event includes them.
func BenchmarkHTTP(b *testing.B) {
	for _, size := range []int{1, 100} {
		path, body := "/v1/batch", func(client int) []byte { return benchBatch(client*size, size) }
		if size == 1 {
			path, body = "/v1/track", func(client int) []byte { return []byte(benchEvent(client)) }
		}
		read := func(w http.ResponseWriter, r *http.Request) []byte {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				b.Error(err)
			}
			return body
		}
		ours := func(linger time.Duration) http.Handler {
			h, err := New(Config{Queue: withBreaker(new(acceptingQueue)), DeadLetters: new(acceptingQueue), Linger: linger,
				Senders: heavy.NewCounter("spillway", heavy.PartIngest)})
			if err != nil {
				b.Fatal(err)
			}
			return h
		}
		for _, c := range []struct {
			name    string
			handler http.Handler
		}{
			{"bare", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				read(w, r)
				success.write(w)
			})},
			{"valid", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !json.Valid(read(w, r)) {
					b.Error("not JSON")
				}
				success.write(w)
			})},
			{"ours", ours(3 * time.Millisecond)},
			{"ours-alone", ours(0)},
		} {
			b.Run(fmt.Sprintf("%d/%s", size, c.name), func(b *testing.B) {
				server := httptest.NewServer(c.handler)
				defer server.Close()
				connections := 512
				if size > 1 {
					connections = 32
				}
				drive(b, server.Listener.Addr().String(), path, body, connections, size)
			})
		}
	}
}

// drive sends b.N events over so many connections, each with its own body, and reports throughput
// and CPU time.
func drive(b *testing.B, addr, path string, body func(client int) []byte, connections, events int) {
	requests := make([][]byte, connections)
	for i := range requests {
		requests[i] = fmt.Appendf(nil,
			"POST %s HTTP/1.1\r\nHost: h\r\nAuthorization: Basic V0s6\r\nContent-Type: application/json\r\nContent-Length: "+
				"%d\r\n\r\n%s", path, len(body(i)), body(i))
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var clients sync.WaitGroup
	before := cpu()
	b.ResetTimer()
	for i := range connections {
		clients.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReaderSize(conn, 1<<10)
			for left.Add(int64(-events)) > int64(-events) {
				if _, err := conn.Write(requests[i]); err != nil {
					b.Error(err)
					return
				}
				length := 0
				for first := true; ; first = false {
					line, err := r.ReadSlice('\n')
					if err != nil || first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
						b.Errorf("answer %q: %v", line, err)
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
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/event")
	b.ReportMetric(0, "ns/op")
}

// cpu is the CPU time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkQueueDown is full load while the queue hangs. It measures the memory, as peak-MB of the
// whole process with its clients, and checks that every request is answered.
func BenchmarkQueueDown(b *testing.B) {
	h, err := New(Config{Queue: withBreaker(hanging{}), DeadLetters: hanging{}, Linger: 3 * time.Millisecond,
		Limits: Limits{QueueTimeout: time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	body := benchBatch(0, 100)
	var left, peak atomic.Int64
	left.Store(int64(b.N))
	var clients sync.WaitGroup
	b.ResetTimer()
	for range 256 {
		clients.Go(func() {
			client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for left.Add(-1) >= 0 {
				request, err := http.NewRequest("POST", server.URL+"/v1/batch", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				request.SetBasicAuth("WK", "")
				answer, err := client.Do(request)
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 429 {
					b.Errorf("answer %d: %v", answer.StatusCode, err)
				}
				answer.Body.Close()
				var m runtime.MemStats
				if left.Load()%500 == 0 {
					runtime.ReadMemStats(&m)
					peak.Store(max(peak.Load(), int64(m.Sys-m.HeapReleased)))
				}
			}
		})
	}
	clients.Wait()
	b.ReportMetric(float64(peak.Load())/1e6, "peak-MB")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

type hanging struct{}

func (hanging) Send(ctx context.Context, _ []message.Message) error {
	<-ctx.Done()
	return ctx.Err()
}
