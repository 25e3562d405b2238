package dirstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
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
