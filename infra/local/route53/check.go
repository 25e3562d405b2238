package route53

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A Check is the health check of one region's record: a calculated one, which is healthy while each
// of its parts is. A new one is healthy. It is not safe for concurrent use.
type Check struct {
	evaluator *cloudwatch.Evaluator
	parts     []part
}

// A part is a health check on one alarm.
type part struct {
	alarm   string
	fails   bool // without data; otherwise it stays as it was
	healthy bool
}

// NewCheck returns the health check of a region with this topology, whose metrics are in the store.
// The error names the alarm that Route 53 would not take.
func NewCheck(t *topology.Topology, s *cloudwatch.Store, a cloudwatch.Assumptions) (*Check, error) {
	watched := topology.Topology{Names: t.Names, EventSources: t.EventSources, Alarms: t.Routing}
	c := new(Check)
	for i := range t.Routing {
		alarm := &t.Routing[i]
		c.parts = append(c.parts, part{alarm: alarm.Name, fails: alarm.Missing == topology.MissingIsBad, healthy: true})
	}
	var err error
	if c.evaluator, err = cloudwatch.New(&watched, s, a); err != nil {
		return nil, fmt.Errorf("make the health check: %w", err)
	}
	return c, nil
}

// Evaluate reads the alarms' data, once a minute, and returns whether the region is healthy.
func (c *Check) Evaluate(now time.Time) (healthy bool, err error) {
	healthy = true
	for i := range c.parts {
		p := &c.parts[i]
		state, err := c.evaluator.Stream(p.alarm, now)
		if err != nil {
			return false, err
		}
		switch {
		case state != cloudwatch.InsufficientData:
			p.healthy = state == cloudwatch.OK
		case p.fails:
			p.healthy = false
		}
		healthy = healthy && p.healthy
	}
	return healthy, nil
}

// Failing are the alarms whose health checks fail, in their order.
func (c *Check) Failing() (alarms []string) {
	for _, p := range c.parts {
		if !p.healthy {
			alarms = append(alarms, p.alarm)
		}
	}
	return alarms
}
