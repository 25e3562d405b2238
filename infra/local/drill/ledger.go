package drill

import (
	"strconv"
	"strings"
	"sync"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// A ledger is the oracle: it knows each event that was accepted, and what became of it, by its
// messageId. It is safe for concurrent use.
type ledger struct {
	mu        sync.Mutex
	outcomes  []outcome // by the number in the messageId
	next      int
	refused   map[string]int64
	delivered int64
	again     int64 // deliveries of what was delivered before
	minute    int64 // deliveries since the last call of take
	accepted  int64 // the same of accepted events
	total     int64 // accepted events
}

// outcome is what is known of one event, as bits.
type outcome uint8

const (
	isAccepted outcome = 1 << iota
	isDelivered
	isDead
	isWaiting
)

const idPrefix = "drill-"

func newLedger() *ledger { return &ledger{refused: map[string]int64{}} }

// issue returns the numbers of n new events.
func (l *ledger) issue(n int) (first int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.next
	l.next += n
	for len(l.outcomes) < l.next {
		l.outcomes = append(l.outcomes, 0)
	}
	return first
}

func messageID(n int) string { return idPrefix + strconv.Itoa(n) }

// accept notes that publish or ingest said yes.
func (l *ledger) accept(first, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		l.outcomes[first+i] |= isAccepted
	}
	l.accepted += int64(n)
	l.total += int64(n)
}

// refuse notes that ingest said no, for good.
func (l *ledger) refuse(code string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[code] += int64(n)
}

// arrive notes what Segment gets; it is segmentd.Options.OnEvent.
func (l *ledger) arrive(e segmentd.Received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.number(e.MessageID)
	if !ok {
		return
	}
	if l.outcomes[n]&isDelivered != 0 {
		l.again++
		return
	}
	l.outcomes[n] |= isDelivered
	l.delivered++
	l.minute++
}

// number is the event of a messageId; the caller holds the lock.
func (l *ledger) number(id string) (n int, ok bool) {
	digits, ok := strings.CutPrefix(id, idPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && n < len(l.outcomes)
}

// find notes an event that is a dead letter, or waits, at the end.
func (l *ledger) find(id string, as outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := l.number(id); ok {
		l.outcomes[n] |= as
	}
}

// take returns how many events were accepted and delivered since the last call.
func (l *ledger) take() (accepted, delivered int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	accepted, delivered = l.accepted, l.minute
	l.accepted, l.minute = 0, 0
	return accepted, delivered
}

// open is how many accepted events Segment does not have.
func (l *ledger) open() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.total-l.delivered)
}

// A balance is what became of the accepted events. An event counts once: delivered before dead
// before waiting.
type balance struct{ accepted, delivered, dead, waiting, lost, again int64 }

func (l *ledger) balance() (b balance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.again = l.again
	for _, f := range l.outcomes {
		if f&isAccepted == 0 && f&isDelivered == 0 {
			continue // refused, or its answer was lost and it never came
		}
		b.accepted++
		switch {
		case f&isDelivered != 0:
			b.delivered++
		case f&isDead != 0:
			b.dead++
		case f&isWaiting != 0:
			b.waiting++
		default:
			b.lost++
		}
	}
	return b
}
