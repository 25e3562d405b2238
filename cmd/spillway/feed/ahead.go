package feed

import (
	"context"
	"errors"
	"iter"
	"time"
)

const (
	// aheadIdle is how long Ahead waits for the next line. One that comes later was typed, or is
	// what another program has just seen: no file.
	aheadIdle = time.Second
	// aheadBytes bounds what Ahead holds. Lines of a few KB never come near it.
	aheadBytes = 64 << 20
)

// read is what a feed yields.
type read struct {
	line Line
	err  error
}

// Ahead reads a feed until it knows whether it has more than n events, and returns the whole feed
// with that answer. A feed that pauses before that, or whose ctx ends, is taken to have no more;
// one of which many MB are to be held, to have more. The feed that it returns can be read once, and
// goes on reading events in a goroutine that ends with it, except while it waits for a line.
func Ahead(ctx context.Context, events iter.Seq2[Line, error], n int) (all iter.Seq2[Line, error], more bool) {
	lines, ended := make(chan read, 1024), make(chan struct{})
	go func() {
		defer close(lines)
		for line, err := range events {
			select {
			case lines <- read{line, err}:
			case <-ended:
				return
			}
		}
	}()
	held, more := collect(ctx, lines, n)
	return func(yield func(Line, error) bool) {
		defer close(ended)
		for _, r := range held {
			if !yield(r.line, r.err) {
				return
			}
		}
		held = nil
		for r := range lines {
			if !yield(r.line, r.err) {
				return
			}
		}
	}, more
}

// collect reads until more is known, see Ahead.
func collect(ctx context.Context, lines <-chan read, n int) (held []read, more bool) {
	var paused <-chan time.Time // nil before the first line, for which a program may calculate for long
	count, size := 0, 0
	for {
		select {
		case r, ok := <-lines:
			if !ok {
				return held, false
			}
			held = append(held, r)
			size += len(r.line.Event.JSON()) + len(r.line.Exported)
			if wrong := (*LineError)(nil); r.err == nil {
				count++
			} else if !errors.As(r.err, &wrong) {
				return held, false // it has ended
			}
			if count > n || size > aheadBytes {
				return held, true
			}
			paused = time.After(aheadIdle)
		case <-paused:
			return held, false
		case <-ctx.Done():
			return held, false
		}
	}
}
