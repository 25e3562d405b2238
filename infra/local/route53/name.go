package route53

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Name has a record for each region, with the region's health check. It is safe for concurrent
// use; its checks belong to it.
type Name struct {
	ttl     time.Duration
	records []record

	mu sync.RWMutex
}

type record struct {
	region  string
	check   *Check
	healthy bool
}

// A Change is a region that the name begins or ceases to lead to.
type Change struct {
	At      time.Time
	Region  string
	Healthy bool
	Failing []string // the alarms whose health checks fail
}

// NewName returns a name without records, whose answers are kept for ttl.
func NewName(ttl time.Duration) *Name { return &Name{ttl: ttl} }

// Add adds the record of a region, which is healthy until its check says otherwise.
func (n *Name) Add(region string, c *Check) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = append(n.records, record{region: region, check: c, healthy: true})
}

// Evaluate lets each health check read its alarms' data, once a minute, and returns what has
// changed.
func (n *Name) Evaluate(now time.Time) ([]Change, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var changes []Change
	for i := range n.records {
		r := &n.records[i]
		healthy, err := r.check.Evaluate(now)
		if err != nil {
			return nil, fmt.Errorf("region %s: %w", r.region, err)
		}
		if healthy != r.healthy {
			r.healthy = healthy
			changes = append(changes, Change{At: now, Region: r.region, Healthy: healthy, Failing: r.check.Failing()})
		}
	}
	return changes, nil
}

// Answer is the region that Route 53 answers with to somebody for whom the first of the regions has
// the lowest latency, the second the next, and so on: the first healthy one. If none is healthy,
// all count as healthy (developer guide, "How Amazon Route 53 chooses records when health checking
// is configured"). It is empty without regions.
func (n *Name) Answer(nearest ...string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, region := range nearest {
		if slices.ContainsFunc(n.records, func(r record) bool { return r.region == region && r.healthy }) {
			return region
		}
	}
	if len(nearest) == 0 {
		return ""
	}
	return nearest[0]
}

// Resolver returns a resolver near these regions, the nearest first.
func (n *Name) Resolver(nearest ...string) *Resolver { return &Resolver{name: n, nearest: nearest} }

// A Resolver asks for a name and keeps the answer for its time to live, as those of clients do. It
// is safe for concurrent use.
type Resolver struct {
	name    *Name
	nearest []string

	mu     sync.Mutex
	answer string
	until  time.Time
}

// Region is where a connection goes that is made now.
func (r *Resolver) Region(now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer == "" || !now.Before(r.until) {
		r.answer, r.until = r.name.Answer(r.nearest...), now.Add(r.name.ttl)
	}
	return r.answer
}
