package archive

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// sampleEvent is an event as an SDK sends it, of about 1 KB.
func sampleEvent(r *rand.Rand, i int) []byte {
	return fmt.Appendf(nil, `{"type":"track","event":"Order Completed","messageId":"%08x-%04x-4%03x-8%03x-%012x",`+
		`"userId":"user-%d","anonymousId":"%016x%016x","timestamp":"2026-11-27T14:%02d:%02d.%03dZ","properties":{"order_id":"%d",`+
		`"total":%d.%02d,"currency":"EUR","coupon":"AUTUMN","products":[{"product_id":"%x","sku":"G-%d","name":"Monopoly: 3rd `+
		`Edition","price":19,"quantity":%d,"category":"Games"},{"product_id":"%x","sku":"G-%d","name":"UNO Card Game",`+
		`"price":8,"quantity":2,"category":"Games"}]},"context":{"library":{"name":"analytics-go","version":"3.3.0"},"ip":`+
		`"203.0.113.%d","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) `+
		`Version/17.4 Safari/605.1.15","page":{"path":"/checkout/thanks","referrer":"https://example.com/cart","title":"Thank `+
		`you","url":"https://example.com/checkout/thanks"}},"integrations":{}}`,
		r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48), r.IntN(100_000), r.Uint64(), r.Uint64(),
		i/60_000%60, i/1000%60, i%1000, r.Uint32(), r.IntN(500), r.IntN(100), r.Uint64(), r.IntN(1000), r.IntN(9), r.Uint64(),
		r.IntN(1000), r.IntN(256))
}

func sampleRecords(n int) []Record {
	r := rand.New(rand.NewPCG(7, 7))
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{Time: moment, Outcome: Delivered, WriteKey: "0123456789abcdefghijKLMNOPQRSTUV", ReceivedAt: moment,
			Event: sampleEvent(r, i), Scanned: true}
	}
	return records
}

// sampleObject has records in frames of 100, as an invocation has them.
func sampleObject(b testing.TB, n int) (object []byte, lines int) {
	p := newPacker(b)
	records := sampleRecords(n)
	for i := range records {
		p.Add(&records[i], 0)
		if i%100 == 99 || i == n-1 {
			for _, f := range p.Frames() {
				object = append(object, f.Data...)
				lines += f.Lines
			}
		}
	}
	return object, lines
}

func BenchmarkAppendRecord(b *testing.B) {
	for _, scanned := range []bool{true, false} {
		b.Run(fmt.Sprintf("scanned=%v", scanned), func(b *testing.B) {
			r := sampleRecords(1)[0]
			r.Scanned = scanned
			line := AppendRecord(nil, &r)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				line = AppendRecord(line[:0], &r)
			}
		})
	}
}

func BenchmarkParseRecord(b *testing.B) {
	line := AppendRecord(nil, &sampleRecords(1)[0])
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRecord(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPacker(b *testing.B) {
	for _, n := range []int{8, 100, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			records := sampleRecords(n)
			p := newPacker(b)
			raw, stored := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				raw, stored = 0, 0
				for i := range records {
					p.Add(&records[i], i)
				}
				for _, f := range p.Frames() {
					raw += f.Lines
					stored += len(f.Data)
				}
			}
			b.SetBytes(int64(raw))
			b.ReportMetric(float64(raw)/float64(stored), "ratio")
		})
	}
}

// BenchmarkSelect reports the bytes of lines a second.
func BenchmarkSelect(b *testing.B) {
	object, lines := sampleObject(b, 50_000)
	want := []byte(`"userId":"user-4242"`)
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.SetBytes(int64(lines))
			b.ReportAllocs()
			for b.Loop() {
				_, err := Select(b.Context(), bytes.NewReader(object), 0, workers,
					func(line []byte) bool { return bytes.Contains(line, want) }, func(Line) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSelectOneEvent is what an object costs that has one event: there may be 10,000 of them.
func BenchmarkSelectOneEvent(b *testing.B) {
	object, _ := sampleObject(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, err := Select(b.Context(), bytes.NewReader(object), 0, 2, func(line []byte) bool { return true },
			func(Line) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}
