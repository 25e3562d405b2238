package lambda

import (
	"sync"
	"time"
)

const (
	// initialPollers is the number of batches that Lambda begins with (Lambda developer guide,
	// configuring scaling behavior for SQS event source mappings).
	initialPollers = 5

	// growEvery spreads the 300 concurrent invocations that Lambda adds in a minute (the same page).
	growEvery = time.Minute / 300
)

// pollers counts the pollers of a mapping and decides when to start or end one. It is safe for
// concurrent use.
//
// It starts one each growEvery while every poller is loaded: in an invocation, or with a last
// receive that returned as many messages as it asked for. A poller that waits for messages, or that
// fills its batch more slowly than it asks, shows that another one would find no work.
//
// A poller ends when its long poll of 20 s returned nothing, down to the initial number. (AWS
// publishes no rule; with this one an idle queue costs what it costs on AWS, five long polls.)
type pollers struct {
	max int // fixed before the first use

	mu   sync.Mutex
	n    int
	load int // how many are loaded
}

// grow reports whether to start another poller, and counts it.
func (p *pollers) grow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n >= p.max || p.n >= initialPollers && p.load < p.n {
		return false
	}
	p.n++
	return true
}

// retire reports whether an idle poller has to end, and counts it out. An idle poller is not loaded.
func (p *pollers) retire() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n <= min(initialPollers, p.max) {
		return false
	}
	p.n--
	return true
}

// loaded records whether a poller is loaded. was is what it recorded last; the poller owns it.
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

// ended records that all pollers have ended.
func (p *pollers) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.load = 0, 0
}
