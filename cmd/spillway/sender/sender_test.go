package sender

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
)

// loads returns how many events each load of a feed has.
func loads(t *testing.T, events iter.Seq2[feed.Line, error]) []int {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	skipped := func(line int, cause error) { t.Errorf("line %d is skipped: %v", line, cause) }
	r := &run{Sender: &Sender{Config: Config{Skipped: skipped}}, lines: make(chan feed.Line), stop: cancel}
	published := make(chan []loaded)
	go r.feed(ctx, events)
	go func() {
		r.collect(ctx, published)
		close(published)
	}()
	var sizes []int
	for load := range published {
		sizes = append(sizes, len(load))
	}
	return sizes
}

// lines yields events of a size in bytes, and pauses before each event in pauses.
func lines(events, size int, pauses map[int]time.Duration) iter.Seq2[feed.Line, error] {
	const envelope = `{"type":"track","userId":"u","event":""}`
	line := strings.Replace(envelope, `"event":""`, `"event":"`+strings.Repeat("e", size-len(envelope))+`"`, 1)
	return func(yield func(feed.Line, error) bool) {
		n := 0
		for l, err := range feed.Read(strings.NewReader(strings.Repeat(line+"\n", events))) {
			time.Sleep(pauses[n])
			n++
			if !yield(l, err) {
				return
			}
		}
	}
}

func TestALoadHoldsAllThatComesUntilItIsFullOrTheFeedPauses(t *testing.T) {
	const size = 1000
	full := 0 // events that fit
	for l := range lines(1, size, nil) {
		full = loadBytes / (len(l.Event.JSON()) + 1) // with what the publisher adds
	}
	for _, c := range []struct {
		name   string
		events int
		pauses map[int]time.Duration
		want   []int
	}{
		{"no event", 0, nil, nil},
		{"one event", 1, nil, []int{1}},
		{"as many as fit", full, nil, []int{full}},
		{"one more", full + 1, nil, []int{full, 1}},
		{"a pause", 20, map[int]time.Duration{7: flushIdle + time.Millisecond}, []int{7, 13}},
		{"short pauses", 3, map[int]time.Duration{1: flushIdle - time.Millisecond, 2: flushIdle - time.Millisecond},
			[]int{3}},
		{"a pause before the first event", 2, map[int]time.Duration{0: time.Minute}, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := loads(t, lines(c.events, size, c.pauses)); !slices.Equal(got, c.want) {
					t.Errorf("loads of %v events, want %v", got, c.want)
				}
			})
		})
	}
}
