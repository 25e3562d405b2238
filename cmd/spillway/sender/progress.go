package sender

import (
	"sync"
	"sync/atomic"
)

// progress records which lines were sent, to say from which line to continue. It is safe for
// concurrent use.
type progress struct {
	last atomic.Int64 // the last line that was read

	mu       sync.Mutex
	failed   int // the first line that was not sent; 0: none
	exported int // the first exported line that is still to be sent; 0: none
}

func (p *progress) read(line int) {
	p.last.Store(int64(line))
}

// fail records that a line was not sent.
func (p *progress) fail(line int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == 0 || line < p.failed {
		p.failed = line
	}
}

// packExported records that an exported line is packed and not yet sent.
func (p *progress) packExported(line int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exported == 0 {
		p.exported = line
	}
}

// sentExported records that all exported lines so far were sent.
func (p *progress) sentExported() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exported = 0
}

// next returns the first line that was not sent. If all that were read were sent, it is the one
// after these.
func (p *progress) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := int(p.last.Load()) + 1
	for _, line := range []int{p.failed, p.exported} {
		if line > 0 {
			next = min(next, line)
		}
	}
	return next
}
