package segmentd

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// sampleEvent is a track event of about 1 KB, of the shape that server SDKs send.
func sampleEvent(id string) string {
	return `{"type":"track","event":"Order Completed","messageId":"` + id +
		`","userId":"user-4711","timestamp":"2026-11-23T10:00:00.000Z",` +
		`"context":{"app":{"name":"shop","version":"4.11.0"},"ip":"203.0.113.7","locale":"en-GB","userAgent":"Mozilla/5.0 (X11; Linux x86_64)",` +
		`"page":{"path":"/checkout/done","referrer":"https://shop.example/checkout","title":"Thank you","url":"https://shop.example/checkout/done"}},` +
		`"properties":{"orderId":"50314b8e9bcf000000000000","total":27.5,"revenue":25.0,"shipping":3,"tax":2,"discount":2.5,"coupon":"hasbros","currency":"EUR",` +
		`"products":[{"productId":"507f1f77bcf86cd799439011","sku":"45790-32","name":"Monopoly: 3rd Edition","price":19,"quantity":1,"category":"Games"},` +
		`{"productId":"505bd76785ebb509fc183733","sku":"46493-32","name":"Uno Card Game","price":3,"quantity":2,"category":"Games"}],` +
		`"note":"` + strings.Repeat("lorem ipsum ", 12) + `"}}`
}

func sampleBatch(n, round int) []byte {
	events := make([]string, n)
	for i := range events {
		events[i] = sampleEvent(fmt.Sprintf("msg-%08d-%08d-abcdef0123", round, i))
	}
	return []byte(`{"sentAt":"2026-11-23T10:00:00Z","context":{"library":{"name":"analytics-go","version":"3.3.0"}},"batch":[` + strings.Join(events, ",") + `]}`)
}

func zip(tb testing.TB, body []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(body); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// cpu is what this process has used: on a machine with other work it says more than the time does.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandler measures the emulator alone, without the network: what an event costs
// it.
func BenchmarkHandler(b *testing.B) {
	for _, bc := range []struct {
		name string
		n    int
		gzip bool
	}{{"batch of 250", 250, false}, {"batch of 250, gzip", 250, true}, {"single", 1, false}, {"single, gzip", 1, true}} {
		b.Run(bc.name, func(b *testing.B) {
			s := New(Options{})
			path, bodies := "/v1/batch", make([][]byte, 64)
			for i := range bodies {
				bodies[i] = sampleBatch(bc.n, i)
				if bc.n == 1 {
					path, bodies[i] = "/v1/track", []byte(sampleEvent(fmt.Sprint("msg-", i)))
				}
				if bc.gzip {
					bodies[i] = zip(b, bodies[i])
				}
			}
			b.ReportAllocs()
			before := cpu(b)
			for i := 0; b.Loop(); i++ {
				r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(bodies[i%len(bodies)]))
				r.SetBasicAuth("key", "")
				if bc.gzip {
					r.Header.Set("Content-Encoding", "gzip")
				}
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(b.N*bc.n)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N*bc.n), "cpu-ns/event")
			if got := s.Stats().Received; got != int64(b.N*bc.n) {
				b.Fatalf("received %d of %d events", got, b.N*bc.n)
			}
		})
	}
}

// BenchmarkOverTCP measures the emulator with its server and a Go client, all in this process.
func BenchmarkOverTCP(b *testing.B) {
	for _, n := range []int{250, 1} {
		b.Run(fmt.Sprintf("batch of %d", n), func(b *testing.B) {
			s := New(Options{})
			srv := httptest.NewServer(s)
			defer srv.Close()
			body := sampleBatch(n, 0)
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequest(http.MethodPost, srv.URL+"/v1/batch", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				r.SetBasicAuth("key", "")
				resp, err := srv.Client().Do(r)
				if err != nil {
					b.Fatal(err)
				}
				if err := drain(resp); err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status, err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
