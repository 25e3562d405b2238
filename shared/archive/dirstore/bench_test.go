package dirstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
)

// fill archives events of about 1 KB, in frames of 100 as an invocation has them, without a sync.
func fill(b testing.TB, w *Writer, events int) {
	b.Helper()
	p, err := archive.NewPacker()
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 300)
	for i := range events {
		for j := range text {
			text[j] = 'a' + byte(random.IntN(26))
		}
		p.Add(&archive.Record{Time: time.Now(), Outcome: archive.Delivered, WriteKey: "key", Scanned: true, Event: fmt.Appendf(nil,
			`{"type":"track","event":"Order Completed","messageId":"m%d","userId":"u%d","timestamp":"2026-11-27T14:03:05.123Z",`+
				`"properties":{"order_id":"%d","text":%q,"products":[{"name":"Monopoly: 3rd Edition","price":19,"category":"Games"},`+
				`{"name":"UNO Card Game","price":8,"category":"Games"}]},"context":{"library":{"name":"analytics-go","version":`+
				`"3.3.0"},"userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"}}`,
			i, i%100_000, random.IntN(1e9), text)}, 0)
		if i%100 == 99 || i == events-1 {
			if err := w.Put(b.Context(), p.Frames()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkFind looks for one event of a million, with the last object unfinished.
func BenchmarkFind(b *testing.B) {
	if testing.Short() {
		b.Skip("it archives a million events")
	}
	const events = 1_000_000
	w := openWriter(b, b.TempDir(), Options{})
	w.disk.sync = func(*os.File) error { return nil }
	fill(b, w, events)
	for !indexed(b, w) {
		time.Sleep(10 * time.Millisecond)
	}
	stats := w.Stats()
	s := Open(w.Store().Dir())
	for b.Loop() {
		if got := find(b, s, archive.MessageIDTerm("m4711")); len(got) != 1 {
			b.Fatalf("%d are found", len(got))
		}
	}
	b.ReportMetric(float64(stats.Bytes)/events, "bytes/event")
	b.ReportMetric(float64(len(objects(b, s))), "objects")
}

func indexed(b testing.TB, w *Writer) bool {
	for _, o := range objects(b, w.Store()) {
		if finished(b, w.Store(), o) && w.Store().records(o) == 0 {
			return false
		}
	}
	return true
}

// BenchmarkManyObjects looks for one event in 10,000 objects of one event, at first without
// indexes.
func BenchmarkManyObjects(b *testing.B) {
	const n = 10_000
	s := Open(b.TempDir())
	for i := range n {
		hour := storetest.Hour.Add(time.Duration(i/100) * time.Hour)
		create(b, s, storetest.Name(hour, fmt.Sprintf("%05d", i)), storetest.Frames(b, event(i))[0].Data, readOnly)
	}
	begun := time.Now()
	w := openWriter(b, s.Dir(), Options{})
	b.ReportMetric(time.Since(begun).Seconds(), "s/open")
	begun = time.Now()
	for !indexed(b, w) {
		time.Sleep(10 * time.Millisecond)
	}
	indexing := time.Since(begun)
	for b.Loop() {
		if got := find(b, s, archive.MessageIDTerm("m4711")); len(got) != 1 {
			b.Fatalf("%d are found", len(got))
		}
	}
	b.ReportMetric(indexing.Seconds(), "s/index")
}

// BenchmarkPut is what an invocation with ten events waits, with ten of them at the same time.
func BenchmarkPut(b *testing.B) {
	w := openWriter(b, b.TempDir(), Options{})
	frames := storetest.Frames(b, event(0), event(1), event(2), event(3), event(4), event(5), event(6), event(7), event(8))
	b.SetParallelism(5) // on two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := w.Put(b.Context(), frames); err != nil {
				b.Error(err)
			}
		}
	})
}
