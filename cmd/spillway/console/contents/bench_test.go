package contents

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// fillDead sends n dead letters of one event of about 1 KB.
func (b *bench) fillDead(t testing.TB, n int) {
	t.Helper()
	c, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	queue := sqsclient.NewSender(b.api, b.actions.DeadLetterURL)
	filler := strings.Repeat("x", 800)
	for i := 0; i < n; {
		var batch []message.Message
		for ; i < n && len(batch) < sqsclient.MaxEntries; i++ {
			d := message.DeadLetter{ID: fmt.Sprint("id/", i), Reason: message.Reasons()[i%8],
				Detail:    "event_not_defined: a track needs a name",
				Header:    message.Header{WriteKey: fmt.Sprint("key-", i%30)},
				FirstSeen: time.Now().Add(-time.Duration(i) * time.Second),
				LastSeen:  time.Now(), Events: [][]byte{fmt.Appendf(nil,
					`{"type":"track","event":"Order %d","userId":"u-%d","messageId":"m-%d","properties":{"a":%q}}`, i%50, i%20_000, i,
					filler)}}
			batch = append(batch, d.Messages(c)...)
		}
		if err := queue.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkPageOf100000DeadLetters measures pages while delivery's queue takes and hands out
// events, and dead letters arrive. Measured on two shared cores: see docs/dead-letters.md.
func BenchmarkPageOf100000DeadLetters(b *testing.B) {
	const n = 100_000
	q := newBench(b)
	q.fillDead(b, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := q.local(b)
	began := time.Now()
	for l.current(b.Context(), time.Minute); l.Reading().Read < n; {
		time.Sleep(time.Millisecond)
	}
	filled := time.Since(began)
	list(b, l, console.DeadLetterQuery{})
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Logf("the index of %d is filled in %v and has %d MB", n, filled.Round(time.Millisecond),
		(after.HeapAlloc-before.HeapAlloc)>>20)

	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			q.send(b, q.actions.EventsURL, message.Message{Body: `{"type":"track","event":"E"}`})
			if i%100 == 0 {
				q.fillDead(b, 10)
			}
			if got, err := q.events.Receive(b.Context(), 10, 0); err == nil && len(got) > 0 {
				_ = q.events.Delete(b.Context(), []string{got[0].ReceiptHandle})
			}
		}
	})
	defer func() { close(stop); load.Wait() }()
	for name, s := range map[string]dlq.Selection{
		"all": {}, "reason": {Reasons: []string{"rejected"}}, "key": {WriteKeys: []string{"key-7"}},
		"event": {Events: []string{"Order 7"}},
		"user":  {Users: []string{"u-77"}}, "age": {NewerThan: time.Hour}, "everything": {Reasons: []string{"rejected"},
			WriteKeys: []string{"key-10"}, Events: []string{"Order 30"}, Users: []string{"u-7"}, OlderThan: time.Minute},
	} {
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				at := time.Now()
				if _, err := l.List(b.Context(), console.DeadLetterQuery{Selection: s, Limit: 50}); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(at))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}
