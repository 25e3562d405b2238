package awssource

import (
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/price"
)

// recent is the time from which the cost of an hour is computed.
const recent = 10 * time.Minute

// A meter counts what reading costs. It is safe for concurrent use.
//
// CloudWatch charges as much for a request, like DescribeAlarms, as for a metric that is read, and
// nothing for the reading of log lines by FilterLogEvents.
type meter struct {
	mu      sync.Mutex
	began   time.Time // zero: nothing has been read
	total   price.Usage
	minutes []minuteUsage // of the time recent, oldest first
}

type minuteUsage struct {
	minute time.Time
	usage  price.Usage
}

func (m *meter) add(u price.Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.began.IsZero() {
		m.began = now
	}
	m.total = m.total.Plus(u)
	// A query of logs is not repeated by itself: it is no part of what an hour costs.
	u.ScannedBytes = 0
	minute := now.Truncate(time.Minute)
	if n := len(m.minutes); n == 0 || !m.minutes[n-1].minute.Equal(minute) {
		m.minutes = append(m.minutes, minuteUsage{minute: minute})
	}
	last := &m.minutes[len(m.minutes)-1]
	last.usage = last.usage.Plus(u)
	for m.minutes[0].minute.Before(minute.Add(-recent)) {
		m.minutes = m.minutes[1:]
	}
}

func (m *meter) metrics(n int)       { m.add(price.Usage{MetricReads: float64(n)}) }
func (m *meter) requests(n int)      { m.metrics(n) }
func (m *meter) queueRequests(n int) { m.add(price.Usage{SQSRequests: float64(n)}) }
func (m *meter) scanned(bytes int64) { m.add(price.Usage{ScannedBytes: float64(bytes)}) }

// String says what reading has cost; empty: nothing has been read.
func (m *meter) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.began.IsZero() {
		return ""
	}
	text := fmt.Sprintf("%s since %s UTC: %s metrics and requests", dollars(m.total), m.began.UTC().Format("15:04"),
		terminal.Number(int64(m.total.MetricReads)))
	if m.total.ScannedBytes > 0 {
		text += ", " + humanize.Bytes(uint64(m.total.ScannedBytes)) + " of logs"
	}
	if hour, known := m.hour(); known {
		text += "; " + dollars(hour) + " an hour while somebody watches"
	}
	return text
}

// hour is what an hour of watching uses, by the whole minutes that were watched lately; the first
// minute of all is left out, because it reads what later ones have.
func (m *meter) hour() (u price.Usage, known bool) {
	now, n := time.Now().Truncate(time.Minute), 0
	first := m.began.Truncate(time.Minute)
	for _, of := range m.minutes {
		if of.minute.After(first) && of.minute.Before(now) && !of.minute.Before(now.Add(-recent)) {
			u, n = u.Plus(of.usage), n+1
		}
	}
	if n == 0 {
		return u, false
	}
	return u.Times(60 / float64(n)), true
}

// dollars is what a usage costs, with two digits that say something.
func dollars(u price.Usage) string {
	switch d := u.Bill().Total(); {
	case d == 0:
		return "$0"
	case d < 0.0001:
		return "under $0.0001"
	case d < 0.1:
		return fmt.Sprintf("$%.4f", d)
	default:
		return fmt.Sprintf("$%.2f", d)
	}
}
