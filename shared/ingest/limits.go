package ingest

import (
	"fmt"
	"time"
)

// Limits bound the memory, calls and time that requests take. Zero means the default.
type Limits struct {
	MaxBody int // bytes of a request's body, compressed and decompressed; default: 512 KiB
	// MaxMemory is how many bytes all requests together may hold, from the body to the call to the
	// queue; a request that needs more is answered 429. Default: DefaultMaxMemory.
	MaxMemory   int
	MaxInFlight int // requests whose body has arrived; more are answered 429; default: 4096
	MaxSends    int // concurrent calls to the queue; default: DefaultMaxSends
	// QueueTimeout is how long a request waits for the queue before it is answered 429, and half of
	// it for the dead-letter queue. Default: 5 s.
	QueueTimeout time.Duration
}

const (
	// defaultMaxBody is the larger reading of Segment's 500 KB, which the Ruby and Java SDKs take as
	// the budget of a batch's events, and 12 KiB for what is around these: the Ruby SDK adds 52 bytes,
	// others a context. Messages hold less, but a request may fill two.
	defaultMaxBody = 512 << 10
	// DefaultMaxMemory is enough for some 20 of the largest requests: a byte of a body takes about
	// four bytes of memory, as it came, enriched, packed and in the call. With garbage and all else
	// a process stays below 150 MB.
	DefaultMaxMemory = 48 << 20
	// defaultMaxInFlight bounds the goroutines, and the memory that they use in addition to bodies.
	defaultMaxInFlight = 4096
	// DefaultMaxSends bounds how many calls a hanging queue gets; 16 calls of 20 ms carry 800
	// groups of requests a second.
	DefaultMaxSends = 16
	// SDKs give a request up after 10 s; defaultQueueTimeout is shorter, so that they get an
	// answer.
	defaultQueueTimeout = 5 * time.Second
)

// maxArriving is how many bytes the bodies that are arriving may hold: half of the memory, and not
// what the largest request needs once it has arrived. It is enough for two of the largest.
func (l *Limits) maxArriving() int {
	return max(2*2*l.MaxBody, min(l.MaxMemory/2, l.MaxMemory-maxRequestMemory(l.MaxBody)))
}

// LeastMemory is the least MaxMemory with the default MaxBody.
func LeastMemory() int { return maxRequestMemory(defaultMaxBody) }

// complete validates l and sets the defaults.
func (l *Limits) complete() error {
	for _, v := range [...]struct {
		name     string
		value    *int
		standard int
	}{{"MaxBody", &l.MaxBody, defaultMaxBody}, {"MaxMemory", &l.MaxMemory, DefaultMaxMemory},
		{"MaxInFlight", &l.MaxInFlight, defaultMaxInFlight}, {"MaxSends", &l.MaxSends, DefaultMaxSends}} {
		if *v.value == 0 {
			*v.value = v.standard
		}
		if *v.value < 0 {
			return fmt.Errorf("the limit %s must be positive, is %d", v.name, *v.value)
		}
	}
	if l.QueueTimeout == 0 {
		l.QueueTimeout = defaultQueueTimeout
	}
	if l.QueueTimeout < 0 {
		return fmt.Errorf("Limits.QueueTimeout must be positive, is %v", l.QueueTimeout)
	}
	if least := maxRequestMemory(l.MaxBody); l.MaxMemory < least {
		return fmt.Errorf("Limits.MaxMemory must be at least %d bytes, which the largest request needs, is %d", least,
			l.MaxMemory)
	}
	return nil
}
