package lambda

import (
	"sync"
	"time"
)

const (
	// initialPollers is the number of batches that Lambda begins with (Lambda developer guide,
	// configuring scaling behavior for SQS event source mappings).
	initialPollers = 5

	// growEvery spreads the 300 concurrent invocations that are added in a minute (the same page).
	growEvery = time.Minute / 300
)

// pollers counts the pollers of a mapping and decides when there are more or fewer.
//
// More: one each growEvery while there is work, which means that every poller is loaded: it is in
// an invocation, or its last receive brought as many messages as it asked for. A poller that waits
// for messages, or that fills its batch slower than it asks, shows that there is nobody to help.
//
// Fewer: a poller whose long poll of 20 s brought nothing ends, down to the initial number. (AWS
// publishes no rule; this one leaves the idle cost where AWS has it, at five long polls.)
type pollers struct {
	max int // fixed before the first use

	mu   sync.Mutex
	n    int
	load int // how many are loaded
}

// grow says whether to start another poller, and counts it.
func (p *pollers) grow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n >= p.max || p.n >= initialPollers && p.load < p.n {
		return false
	}
	p.n++
	return true
}

// retire says whether an idle poller has to end, and counts it out. An idle poller is not loaded.
func (p *pollers) retire() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n <= min(initialPollers, p.max) {
		return false
	}
	p.n--
	return true
}

// loaded notes a poller's load; was is its last one, which it keeps for itself.
func (p *pollers) loaded(was *bool, is bool) {
	if *was == is {
		return
	}
	*was = is
	p.mu.Lock()
	defer p.mu.Unlock()
	if is {
		p.load++
	} else {
		p.load--
	}
}

func (p *pollers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// ended notes that no poller is left.
func (p *pollers) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.load = 0, 0
}
