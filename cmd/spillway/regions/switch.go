package regions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/operator"
)

// ErrSwitched says that a region is already as it should become.
var ErrSwitched = errors.New("nothing was changed")

// drainedAlarm is the short name of the alarm by which Route 53 knows of a mark.
const drainedAlarm = "drained"

// A Drain is one that is possible, and not done yet.
type Drain struct {
	pipeline *Pipeline
	region   Region
	others   []Region
}

// PrepareDrain checks that a region can be drained, and changes nothing. ErrSwitched: it is drained
// already.
func (p *Pipeline) PrepareDrain(ctx context.Context, region string) (*Drain, error) {
	names, err := p.regionsWith(ctx, region)
	if err != nil {
		return nil, err
	}
	d := &Drain{pipeline: p}
	for _, r := range p.read(ctx, names) {
		if r.Name == region {
			d.region = r
		} else {
			d.others = append(d.others, r)
		}
	}
	switch r := &d.region; {
	case r.Drained != nil:
		return nil, fmt.Errorf("%s is drained already, %v; `spillway region restore %s` takes it back: %w", region,
			*r.Drained, region, ErrSwitched)
	case !r.markRead:
		return nil, fmt.Errorf("%s can't be drained: %s", region, strings.Join(r.Problems, "; "))
	// Alarms that can't be read are no reason to leave traffic there.
	case len(r.Routing) > 0 && r.Routing[drainedAlarm] == "":
		return nil, fmt.Errorf("%s can't be drained, because it has no alarm %s, which tells Route 53: deploy it again, "+
			"with its settings and this version", region, p.Names.Alarm(drainedAlarm))
	}
	return d, nil
}

// regionsWith are the names of the pipeline's regions, which must have this one.
func (p *Pipeline) regionsWith(ctx context.Context, region string) ([]string, error) {
	names, err := p.Regions(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, region) {
		return nil, fmt.Errorf("the pipeline %s has no region %q (it has: %s)", p.Names.Pipeline, region,
			strings.Join(names, ", "))
	}
	return names, nil
}

// Last says why nothing is left when the region is drained; empty: another region takes traffic.
// Route 53 then answers with all regions, as if all were well.
func (d *Drain) Last() string {
	if len(d.others) == 0 {
		return fmt.Sprintf("%s is the pipeline's only region", d.region.Name)
	}
	var texts []string
	for _, r := range d.others {
		if r.Traffic == Takes {
			return ""
		}
		texts = append(texts, fmt.Sprintf("%s: %s", r.Name, r.Why))
	}
	return fmt.Sprintf("%s is the last region that takes traffic (%s)", d.region.Name, strings.Join(texts, "; "))
}

// Unheard reports whether nothing seems to write the metric by which Route 53 hears of the mark.
func (d *Drain) Unheard() bool { return d.region.Routing[drainedAlarm] == stateNoData }

// HasHealthCheck reports whether Route 53 has a health check for the region's records, or may have.
func (d *Drain) HasHealthCheck() bool { return d.region.Route53 != NoHealthCheck }

// Run drains the region, and returns the mark.
func (d *Drain) Run(ctx context.Context, now time.Time, reason string) (operator.Mark, error) {
	by, _ := d.pipeline.Cloud.Caller(ctx) // the region must be drained, whoever does it
	m, err := operator.New(now, by, reason)
	if err != nil {
		return m, err
	}
	return m, d.pipeline.Cloud.SetMark(ctx, d.region.Name, m)
}

// Restore ends that a region is drained. It returns the mark that the region had, and the short
// names of other alarms for which Route 53 still leaves it out, as far as they can be read.
// ErrSwitched: it is not drained.
func (p *Pipeline) Restore(ctx context.Context, region string) (was operator.Mark, firing []string, err error) {
	if _, err := p.regionsWith(ctx, region); err != nil {
		return was, nil, err
	}
	was, err = p.Cloud.Mark(ctx, region)
	broken := errors.Is(err, ErrBroken)
	if err != nil && !broken {
		return was, nil, err
	}
	if !was.IsSet() && !broken {
		return was, nil, fmt.Errorf("%s is not drained: %w", region, ErrSwitched)
	}
	if err := p.Cloud.RemoveMark(ctx, region); err != nil {
		return was, nil, err
	}
	r := p.region(ctx, region)
	// That of the mark goes on for a minute or two.
	return was, slices.DeleteFunc(r.in(stateAlarm), func(name string) bool { return name == drainedAlarm }), nil
}
