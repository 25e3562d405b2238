package feed

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/publisher"
)

var errEnds = errors.New("the disk is away")

// lines are n events, with a pause before the one at index pause, and an invalid line after each
// tenth. err, if there is one, is the end.
func lines(n, pause int, err error) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for i := range n {
			if i == pause {
				time.Sleep(time.Hour)
			}
			if i%10 == 9 && !yield(Line{}, &LineError{i + 1, errors.New("wrong")}) {
				return
			}
			raw, _ := publisher.NewRaw([]byte(`{"type":"track"}`))
			if !yield(Line{Number: i + 1, Event: raw}, nil) {
				return
			}
		}
		if err != nil {
			yield(Line{}, err)
		}
	}
}

// large are n lines of half a MB.
func large(n int) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for i := range n {
			if !yield(Line{Number: i + 1, Exported: make([]byte, 512<<10)}, nil) {
				return
			}
		}
	}
}

func TestAheadSaysWhetherAFeedIsLargeAndLosesNoneOfIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		events iter.Seq2[Line, error]
		more   bool
		count  int
		end    error
	}{
		{"nothing", lines(0, -1, nil), false, 0, nil},
		{"as many as asked", lines(100, -1, nil), false, 100, nil},
		{"one more", lines(101, -1, nil), true, 101, nil},
		{"many more", lines(5000, -1, nil), true, 5000, nil},
		{"a pause before the first", lines(101, 0, nil), true, 101, nil},
		{"a pause in the middle", lines(101, 50, nil), false, 101, nil},
		{"an error before the limit", lines(100, -1, errEnds), false, 100, errEnds},
		{"an error beyond it", lines(101, -1, errEnds), true, 101, errEnds},
		{"few that are very large", large(140), true, 140, nil},
		{"few that are large", large(90), false, 90, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			all, more := Ahead(t.Context(), c.events, 100)
			count, last, wrong := 0, 0, 0
			var end error
			for line, err := range all {
				var skipped *LineError
				switch {
				case errors.As(err, &skipped):
					wrong++
				case err != nil:
					end = err
				case line.Number != last+1:
					t.Fatalf("%s: line %d comes after line %d", c.name, line.Number, last)
				default:
					last = line.Number
					count++
				}
			}
			if more != c.more || count != c.count || !errors.Is(end, c.end) {
				t.Errorf("%s: more %v, %d events, then %v; want %v, %d, %v", c.name, more, count, end, c.more, c.count, c.end)
			}
			if count == 5000 && wrong != 500 {
				t.Errorf("%s: %d invalid lines were reported, want 500", c.name, wrong)
			}
		})
	}
}

func TestAFeedThatIsNotReadToItsEndIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		all, _ := Ahead(t.Context(), lines(5000, -1, nil), 10)
		for line := range all {
			if line.Number == 20 {
				break
			}
		}
	})
}

func TestAheadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		all, more := Ahead(ctx, lines(5, 0, nil), 10)
		if took := time.Since(began); more || took != time.Minute {
			t.Errorf("it returned %v after %v", more, took)
		}
		for range all { // the goroutine ends with the feed
		}
	})
}
