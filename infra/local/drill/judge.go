package drill

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A recording is what CloudWatch would have of a drill: the drill is played once, and judged under
// every lag and assumption.
type recording struct {
	scenario *Scenario
	topology *topology.Topology
	store    *cloudwatch.Store
	start    time.Time
	drained  time.Time // when the backlog had gone after the last fault; zero: it has not
}

// firings are the times in which each alarm fired, under some assumptions, by its name without the
// pipeline's.
type firings map[string][]Firing

// judge evaluates every alarm in every minute.
func (r *recording) judge(a cloudwatch.Assumptions) (firings, error) {
	e, err := cloudwatch.New(r.topology, r.store, a)
	if err != nil {
		return nil, err
	}
	all := firings{}
	for n := range int(r.scenario.Lasts / time.Minute) {
		for _, c := range e.Evaluate(r.start.Add(time.Duration(n+1) * time.Minute)) {
			name := r.short(c.Alarm)
			last := len(all[name]) - 1
			switch {
			case c.From == cloudwatch.Alarm && c.To == cloudwatch.Alarm:
				all[name][last].Notified = all[name][last].Notified || c.Notified
			case c.To == cloudwatch.Alarm:
				all[name] = append(all[name], Firing{From: c.At, Notified: c.Notified, Reason: c.Reason})
			case c.From == cloudwatch.Alarm:
				at := c.At
				all[name][last].To = &at
			}
		}
	}
	return all, nil
}

// assumptions are what a scenario is judged under: everything plausible, and of a long one a sample
// in which every lag is.
func assumptions(s *Scenario) []cloudwatch.Assumptions {
	all := cloudwatch.Plausible()
	if s.Lasts <= 36*time.Hour {
		return all
	}
	var some []cloudwatch.Assumptions
	for i := 0; i < len(all); i += 5 {
		some = append(some, all[i])
	}
	return some
}

// judgeAll judges the recording under each of the assumptions, as many at a time as there are
// processors.
func (r *recording) judgeAll(under []cloudwatch.Assumptions) ([]firings, error) {
	all, errs := make([]firings, len(under)), make([]error, len(under))
	var next atomic.Int64
	var judging sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		judging.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(under); i = int(next.Add(1)) - 1 {
				all[i], errs[i] = r.judge(under[i])
			}
		})
	}
	judging.Wait()
	return all, errors.Join(errs...)
}

func (r *recording) short(alarm string) string {
	return strings.TrimPrefix(alarm, r.topology.Names.Alarm(""))
}

// lag is how late the latest of the sources is.
func lag(a cloudwatch.Assumptions) time.Duration {
	return max(a.Lags.Own, a.Lags.Queue, a.Lags.Lambda, a.Lags.Endpoint)
}

// until is the moment until which a promise must be kept.
func (r *recording) until(p *Promise, a cloudwatch.Assumptions) time.Time {
	return r.start.Add(p.From + p.Within + lag(a) + time.Duration(a.CompositeDelay)*time.Minute)
}

// broken says which promises these firings do not keep.
func (r *recording) broken(f firings, a cloudwatch.Assumptions) []string {
	var all []string
	bad := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for i := range r.scenario.Promises {
		p := &r.scenario.Promises[i]
		kept := slices.ContainsFunc(f[p.Alarm], func(f Firing) bool {
			return !f.From.Before(r.start.Add(p.From)) && !f.From.After(r.until(p, a))
		})
		if !kept {
			bad("%s did not fire until %s, %v after its cause; it %s", p.Alarm, clock(r.until(p, a)),
				r.until(p, a).Sub(r.start.Add(p.From)), f.told(p.Alarm))
		}
	}
	for _, name := range f.names() {
		if !r.scenario.expects(name) {
			bad("%s must be silent; it %s: %s", name, f.told(name), f[name][0].Reason)
		}
	}
	return append(all, r.uncleared(f, a)...)
}

// uncleared says which alarms go on firing although all is well again.
func (r *recording) uncleared(f firings, a cloudwatch.Assumptions) (all []string) {
	if r.drained.IsZero() {
		return nil
	}
	until := r.drained.Add(cmp.Or(r.scenario.Clears, clearsWithin) + lag(a) + time.Duration(a.CompositeDelay)*time.Minute)
	if end := r.start.Add(r.scenario.Lasts); until.After(end) {
		return nil
	}
	for _, name := range f.names() {
		last := f[name][len(f[name])-1]
		if !slices.Contains(r.scenario.Stays, name) && (last.To == nil || last.To.After(until)) {
			all = append(all, fmt.Sprintf("%s did not clear until %s, %v after the backlog had gone; it %s", name, clock(until),
				until.Sub(r.drained), f.told(name)))
		}
	}
	return all
}

// expects reports whether an alarm may fire.
func (s *Scenario) expects(alarm string) bool {
	return slices.Contains(s.MayFire, alarm) ||
		slices.ContainsFunc(s.Promises, func(p Promise) bool { return p.Alarm == alarm })
}

// names are the alarms that fired, in order.
func (f firings) names() []string {
	var names []string
	for name, all := range f {
		if len(all) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// told says when an alarm fired.
func (f firings) told(alarm string) string {
	if len(f[alarm]) == 0 {
		return "was silent"
	}
	var times []string
	for i, firing := range f[alarm] {
		if i == 5 {
			times = append(times, fmt.Sprintf("and %d times more", len(f[alarm])-i))
			break
		}
		to := "the end"
		if firing.To != nil {
			to = clock(*firing.To)
		}
		times = append(times, clock(firing.From)+" to "+to)
	}
	return "fired " + strings.Join(times, ", ")
}

// clock is a moment for people.
func clock(t time.Time) string { return t.UTC().Format("Mon 15:04") }
