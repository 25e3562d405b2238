package ingest

import (
	"fmt"
	"sync"
	"time"
)

// How many dead letters are written. A request of 600 bytes makes 20, and whoever reads them must
// receive each one: without a bound a client could hide the dead letters of all others among its
// own. Events that fail together share a dead letter, so that a broken SDK stays far below.
const (
	deadLetterBurst = 500 // dead letters of one write key
	deadLetterRate  = 1.0 // a second, once the burst is used up
	// The same for all write keys together: where no set of keys is configured, a client has as
	// many as it likes.
	allDeadLettersBurst = 5000
	allDeadLettersRate  = 5.0
	// maxRatedKeys bounds the memory; further keys share a rate.
	maxRatedKeys = 1000
	// droppedLogEvery is how often the log says that dead letters of a write key are dropped.
	droppedLogEvery = time.Minute
)

// deadLetterRates bound the dead letters that are written. What is beyond is counted; what is
// written after that says how many events were not, and is so a sample of them. It is safe for
// concurrent use.
type deadLetterRates struct {
	mu    sync.Mutex
	all   bucket
	keys  map[string]*deadLetterRateOf
	swept time.Time // when those that are as good as new were last forgotten
}

// deadLetterRateOf is the rate of one write key.
type deadLetterRateOf struct {
	bucket  bucket
	dropped int       // events since the last dead letter that was written
	since   time.Time // when the first of these was dropped
	logged  time.Time
}

// A deadLetterTake is the answer to a dead letter that wants to be written.
type deadLetterTake struct {
	ok     bool
	sample string // to add to the detail: what was dropped before; may be empty
	log    int    // events of the write key that were dropped; 0: nothing is to be logged
}

// over reports whether the dead letters of a write key are beyond the rate.
func (r *deadLetterRates) over(writeKey string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.keys[writeKey]
	return of != nil && (of.dropped > 0 || of.bucket.tokens+now.Sub(of.bucket.at).Seconds()*deadLetterRate <= 1)
}

// take takes room for a dead letter with so many events, or counts the events as dropped.
func (r *deadLetterRates) take(writeKey string, events int, now time.Time) (t deadLetterTake) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.rateOf(writeKey, now)
	if _, t.ok = of.bucket.take(1, deadLetterRate, deadLetterBurst, now); t.ok {
		if _, t.ok = r.all.take(1, allDeadLettersRate, allDeadLettersBurst, now); !t.ok {
			of.bucket.tokens++
		}
	}
	if t.ok {
		if of.dropped > 0 {
			t.sample = fmt.Sprintf("; besides, %d events since %s are not stored: the write key has too many dead letters",
				of.dropped, of.since.UTC().Format(time.RFC3339))
			of.dropped = 0
		}
		return t
	}
	if of.dropped == 0 {
		of.since = now
	}
	of.dropped += events
	if now.Sub(of.logged) >= droppedLogEvery {
		of.logged = now
		t.log = of.dropped
	}
	return t
}

// refund returns what take took for a dead letter that could not be written.
func (r *deadLetterRates) refund(writeKey string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rateOf(writeKey, now).bucket.tokens++
	r.all.tokens++
}

// rateOf is called with mu held.
func (r *deadLetterRates) rateOf(writeKey string, now time.Time) *deadLetterRateOf {
	if of := r.keys[writeKey]; of != nil {
		return of
	}
	if len(r.keys) >= maxRatedKeys && now.Sub(r.swept) >= time.Second {
		r.swept = now
		full := time.Duration(deadLetterBurst / deadLetterRate * float64(time.Second))
		for key, of := range r.keys { // what has its whole burst again is as good as new
			if of.dropped == 0 && now.Sub(of.bucket.at) > full {
				delete(r.keys, key)
			}
		}
	}
	if len(r.keys) >= maxRatedKeys {
		writeKey = "" // no request has it
	}
	if r.keys == nil {
		r.keys = map[string]*deadLetterRateOf{}
	}
	of := r.keys[writeKey]
	if of == nil {
		of = new(deadLetterRateOf)
		r.keys[writeKey] = of
	}
	return of
}
