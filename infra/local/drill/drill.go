package drill

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/drill/old"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/price"
)

// DefaultRate is the usual traffic of a drill in events/s, and how many are simulated at most
// unless a scenario says otherwise.
const DefaultRate = 20

// The rates that a drill takes. Above DefaultRate each simulated event stands for several.
const (
	MinRate = 0.1
	MaxRate = 10_000
)

// Options say what is played.
type Options struct {
	Scenario string
	Seed     uint64  // of load and faults
	Rate     float64 // usual events/s, MinRate to MaxRate; 0: the scenario's own
	// Topology is what is played; nil: that of a deployment without settings.
	Topology *topology.Topology
}

// Check returns what is wrong with the options.
func (o *Options) Check() error {
	if o.Rate != 0 && !(o.Rate >= MinRate && o.Rate <= MaxRate) {
		return fmt.Errorf("the rate must be between %v and %d events/s, is %v", MinRate, MaxRate, o.Rate)
	}
	_, err := Find(o.Scenario)
	return err
}

// Run plays a scenario and returns what it found. It takes some seconds. When ctx ends first, it
// stops within about a second and returns ctx's cause.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	s, err := Find(o.Scenario)
	if err != nil {
		return nil, err
	}
	sim, r, err := play(ctx, s, o)
	if err != nil {
		return nil, err
	}
	return sim.result(r)
}

// day is when every drill begins: the day of the outage, a Monday.
var day = time.Date(2018, time.September, 24, 0, 0, 0, 0, time.UTC)

// play simulates a scenario.
func play(ctx context.Context, s *Scenario, o Options) (*simulation, *recording, error) {
	t := o.Topology
	if t == nil {
		production := deployed()
		t = &production
	}
	rate := o.Rate
	if rate == 0 {
		rate = s.usualRate()
	}
	sim := newSimulation(s, t, o.Seed, rate)
	var err error
	virtual.Run(func() { err = sim.run(ctx, day) })
	if err != nil {
		return nil, nil, err
	}
	r := &recording{scenario: s, topology: t, store: sim.record.store, start: day, drained: sim.drained()}
	return sim, r, nil
}

// deployed is the topology of a deployment without settings, which takes new versions over by steps.
func deployed() topology.Topology {
	o := topology.DefaultOptions()
	o.Rollout = true
	return topology.New(o)
}

func (s *Scenario) usualRate() float64 {
	if s.Rate > 0 {
		return s.Rate
	}
	return DefaultRate
}

func (s *Scenario) sample() float64 {
	if s.Sample > 0 {
		return s.Sample
	}
	return DefaultRate
}

// lastFault is when the last fault or unusual load ends; 0: there was none.
func (s *Scenario) lastFault() (end time.Duration) {
	for i := range s.Failures {
		end = max(end, s.Failures[i].Until)
	}
	for i := range s.Load {
		if s.Load[i].Until < s.Lasts { // otherwise it is the new usual
			end = max(end, s.Load[i].Until)
		}
	}
	for i := range s.Actions {
		end = max(end, s.Actions[i].At)
		if do := s.Actions[i].Do; do == RollOut || do == RollOutBug {
			end = max(end, s.Actions[i].At+topology.CanaryTime)
		}
	}
	return end
}

// Ages of the oldest event by which a backlog is told from what is always under way.
const (
	backlogAge = 5 * time.Minute
	drainedAge = 2 * time.Minute
	// What Segment throttles while a backlog drains is tried again up to 16.5 minutes later: in so
	// many minutes nothing may be old again.
	drainedFor = 20
)

// drained is when the backlog had gone after the last fault; zero: it has not. Without a backlog it
// is the end of the last fault.
func (s *simulation) drained() time.Time {
	end := s.scenario.lastFault()
	for n := int(end / time.Minute); n < s.minutes.n; n++ {
		after := s.minutes.all[n:min(n+drainedFor, s.minutes.n)]
		if o := after[0]; o != nil && o.oldest < drainedAge.Seconds() && !slices.ContainsFunc(after, isBacklog) {
			return s.start.Add(max(end, time.Duration(n+1)*time.Minute))
		}
	}
	return time.Time{}
}

// isBacklog reports whether something has waited for longer than what is always under way.
func isBacklog(o *observation) bool { return o != nil && o.oldest > backlogAge.Seconds() }

// result says what the drill found.
func (s *simulation) result(r *recording) (*Result, error) {
	c := s.scenario
	out := &Result{
		Scenario: c.Name, Title: c.Title, Story: c.Story, Seed: s.seed, EventsPerSecond: s.rate, Start: s.start,
		Minutes: s.minutes.n, Marks: s.marks(r), Series: s.minutes.series(), Events: s.eventsResult(), API: s.apiResult(),
		Cost: s.cost(), Parameters: s.parameters(), Name: s.nameResult(), Old: s.oldDay(),
	}
	out.Marks = inOrder(append(out.Marks, out.Name.marks()...))
	if slices.ContainsFunc(s.minutes.all, isBacklog) && !r.drained.IsZero() {
		seconds := r.drained.Sub(s.start.Add(c.lastFault())).Seconds()
		out.DrainSeconds = &seconds
	}
	var err error
	if out.Alarms, out.Broken, err = r.alarms(); err != nil {
		return nil, err
	}
	out.Broken = append(out.Broken, s.checkEvents(&out.Events, r)...)
	regions, err := s.checkRegions()
	out.Broken = append(out.Broken, regions...)
	return out, err
}

// droppedReason is that of the dead letters that somebody has dropped.
const droppedReason = "dropped by a person"

// checkEvents says what is wrong with the events themselves, and with the metrics of them that were
// recorded.
func (s *simulation) checkEvents(e *Events, r *recording) (broken []string) {
	if e.Lost != 0 {
		broken = append(broken, fmt.Sprintf("%d events are lost: they were accepted, and are neither delivered nor "+
			"waiting nor dead letters", e.Lost))
	}
	for reason, n := range e.DeadLettered {
		if reason != droppedReason && !slices.Contains(s.scenario.DeadLetters, reason) {
			broken = append(broken, fmt.Sprintf("%d events are dead letters for the reason %s, which nothing here causes", n,
				reason))
		}
	}
	for _, region := range s.regions() {
		for reason, n := range region.record.store.Rejected() {
			broken = append(broken, fmt.Sprintf("%d values of metrics are not recorded: %s", n, reason))
		}
	}
	slices.Sort(broken)
	if r.drained.IsZero() && !s.scenario.Ending {
		broken = append(broken, "the backlog has not gone until the end")
	}
	broken = append(broken, s.broken...)
	if s.latency.failed > 0 {
		broken = append(broken, fmt.Sprintf("%d calls of the API got an error", s.latency.failed))
	}
	return broken
}

// alarms are how every alarm was, as one sees them on a normal day, and which promises are broken
// then, or else under any of the assumptions.
func (r *recording) alarms() (all []Alarm, broken []string, err error) {
	judged := append([]cloudwatch.Assumptions{cloudwatch.Typical()}, assumptions(r.scenario)...)
	found, err := r.judgeAll(judged)
	if err != nil {
		return nil, nil, err
	}
	broken = r.broken(found[0], judged[0])
	for i := 1; i < len(found) && len(broken) == 0; i++ {
		for _, text := range r.broken(found[i], judged[i]) {
			broken = append(broken, fmt.Sprintf("%s: %s", assumed(judged[i]), text))
		}
	}
	for i := range r.topology.Alarms {
		a := &r.topology.Alarms[i]
		all = append(all, r.alarm(a.Name, a.Severity, a.Meaning, a.First, a.Section, found[0]))
	}
	for i := range r.topology.Composites {
		c := &r.topology.Composites[i]
		alarm := r.alarm(c.Name, c.Severity, c.Meaning, c.First, c.Section, found[0])
		alarm.Composite = true
		all = append(all, alarm)
	}
	all = slices.DeleteFunc(all,
		func(a Alarm) bool { return len(a.Firings) == 0 && a.MustFireBy == nil && !a.MustBeSilent })
	slices.SortFunc(all, func(a, b Alarm) int { return strings.Compare(a.Name, b.Name) })
	return all, broken, nil
}

// assumed says for people what was assumed.
func assumed(a cloudwatch.Assumptions) string {
	return fmt.Sprintf("with metrics %v late, a range of N + %d, FillEmpty %v and composites %d min later",
		a.Lags.Own, a.BeyondRange, a.FillEmpty, a.CompositeDelay)
}

func (r *recording) alarm(name string, severity topology.Severity, meaning, first, section string, f firings) Alarm {
	short := r.short(name)
	a := Alarm{Name: name, Severity: string(severity), Firings: f[short], Meaning: meaning, First: first, Section: section,
		MustBeSilent: !r.scenario.expects(short)}
	for i := range r.scenario.Promises {
		if p := &r.scenario.Promises[i]; p.Alarm == short && a.MustFireBy == nil {
			cause, until := r.start.Add(p.From), r.until(p, cloudwatch.Typical())
			a.MustFireFrom, a.MustFireBy = &cause, &until
		}
	}
	if a.Firings == nil {
		a.Firings = []Firing{}
	}
	return a
}

// eventsResult is what became of the events, the modelled ones included.
func (s *simulation) eventsResult() Events {
	b := s.ledger.balance()
	times := func(n int64) int64 { return int64(math.Round(float64(n) * s.weight)) }
	e := Events{
		Accepted: times(b.accepted + s.model.events), Delivered: times(b.delivered + s.model.events),
		Waiting: times(b.waiting),
		Lost:    times(b.lost - s.scenario.Dropped), Duplicates: times(b.again), Refused: map[string]int64{},
		DeadLettered: map[string]int64{},
	}
	for code, n := range s.ledger.refused {
		e.Refused[code] = times(n)
	}
	for reason, n := range s.dead {
		e.DeadLettered[reason] = times(n)
	}
	if n := s.scenario.Dropped; n > 0 {
		e.DeadLettered[droppedReason] = times(n)
	}
	return e
}

func (s *simulation) apiResult() API {
	l := s.latency
	slices.Sort(l.total)
	return API{
		Calls: int64(float64(l.calls) * s.weight), Failed: int64(float64(l.failed) * s.weight),
		P50Seconds: percentile(l.total, 50), P99Seconds: percentile(l.total, 99), MaxSeconds: l.highest,
		DownSeconds: float64(60 * l.down),
	}
}

// cost is what the use of the drill's time costs: without what is paid by the month.
func (s *simulation) cost() Cost {
	perMinute := less(s.spent[1], s.spent[0]).Times(1 / (patternUntil - patternFrom).Minutes())
	used := s.usage.aws().Plus(perMinute.Times(float64(s.model.modelled)))
	usual := perMinute.Times(float64(s.minutes.n))
	for _, u := range []*price.Usage{&used, &usual} { // these are one for each event or request
		u.HTTPRequests, u.EgressBytes = u.HTTPRequests*s.weight, u.EgressBytes*s.weight
	}
	c := Cost{Dollars: used.Bill().Total(), UsualDollars: usual.Bill().Total()}
	for _, line := range used.Bill() {
		if line.Quantity > 0 {
			c.Lines = append(c.Lines, CostLine{line.Name, line.Dollars()})
		}
	}
	return c
}

func less(a, b price.Usage) price.Usage { return a.Plus(b.Times(-1)) }

// oldDay is the same day in the design that failed.
func (s *simulation) oldDay() *old.Day {
	if !s.scenario.OldDesign {
		return nil
	}
	days := make([]old.Minute, s.minutes.n)
	for n := range days {
		at := time.Duration(n) * time.Minute
		minute := old.Minute{Answer: segmentLatency}
		for _, source := range []Source{FromAPI, FromSDKs, FromPartner} {
			minute.Events += 60 * s.weight * s.load(source, at)
		}
		for i := range s.scenario.Failures {
			f := &s.scenario.Failures[i]
			if f.Kind != Segment || !f.holds(at) {
				continue
			}
			minute.Away = minute.Away || f.Rule.Status >= 500 || f.Rule.Fault == segmentd.FaultReset ||
				f.Rule.Fault == segmentd.FaultHang
			minute.Answer += time.Duration(f.Rule.Latency)
		}
		days[n] = minute
	}
	return old.Play(s.start, days, old.Sized(s.rate))
}

// marks are what happened.
func (s *simulation) marks(r *recording) []Mark {
	var all []Mark
	add := func(kind Kind, span Span, text string) {
		m := Mark{Kind: kind, From: s.start.Add(span.From), Text: text}
		if span.Until > span.From {
			to := s.start.Add(min(span.Until, s.scenario.Lasts))
			m.To = &to
		}
		all = append(all, m)
	}
	for i := range s.scenario.Load {
		if c := &s.scenario.Load[i]; c.Text != "" {
			add(Load, c.Span, c.Text)
		}
	}
	for i := range s.scenario.Failures {
		if f := &s.scenario.Failures[i]; f.Text != "" {
			add(Fault, f.Span, f.Text)
		}
	}
	for _, step := range s.scenario.Actions {
		add(Action, Span{From: step.At}, step.Text)
	}
	if !r.drained.IsZero() && s.scenario.lastFault() > 0 {
		add(Outcome, Span{From: r.drained.Sub(s.start)}, "everything is delivered, and the queue is as usual")
	}
	return inOrder(append(all, s.outcomes...))
}

// inOrder sorts marks by their time.
func inOrder(all []Mark) []Mark {
	slices.SortStableFunc(all, func(a, b Mark) int { return a.From.Compare(b.From) })
	return all
}

// parameters are the numbers that the result depends on.
func (s *simulation) parameters() []Parameter {
	f, _ := s.topology.Function(s.topology.Names.DeliverFunction)
	source := s.topology.EventSources[0]
	queue, _ := s.topology.Queue(s.topology.Names.EventsQueue)
	typical := cloudwatch.Typical()
	var p []Parameter
	add := func(name, value, source string) {
		p = append(p, Parameter{Name: name, Value: value, Source: source})
	}
	add("Usual traffic", fmt.Sprintf("%v events/s", s.rate), "The flag --rate, or the scenario.")
	add("Concurrency of deliver", fmt.Sprintf("%d reserved, %d at most", f.ReservedConcurrency, source.MaximumConcurrency),
		"infra/topology, what is deployed.")
	add("Receives until SQS gives up", fmt.Sprint(queue.MaxReceiveCount), "infra/topology, what is deployed.")
	add("A call to SQS", fmt.Sprintf("%d ms in the median", sqsLatency.Milliseconds()), "What is usual within a region.")
	add("The API's disk", fmt.Sprintf("%d ms to make an event safe", fsync.Milliseconds()),
		"What is usual for an SSD of a cloud.")
	add("Segment's answer on a good day", fmt.Sprintf("%d ms", segmentLatency.Milliseconds()),
		"What is usual from the same region.")
	add("Lag of the metrics", fmt.Sprintf("%g min; the promises are checked with 0 to 3 min", typical.Lags.Own.Minutes()),
		"What people see of CloudWatch.")
	add("Minutes that are modelled", fmt.Sprintf("%d of %d", s.model.modelled, s.minutes.n),
		"Calm minutes follow from those that were played at the beginning; their events are counted as delivered.")
	if s.pair != nil {
		add("Until clients ask for the name again", fmt.Sprintf("%g s", topology.RecordTTL.Seconds()),
			"An alias record to API Gateway, Route 53 developer guide.")
		add("What Route 53 reads", "the data of the region's own alarms for it",
			"infra/topology, what is deployed. It is not documented how far back Route 53 looks; here as far as CloudWatch.")
	}
	if s.weight > 1 {
		add("A simulated event stands for", fmt.Sprintf("%.4g events", s.weight),
			"So that a drill of much traffic does not take hours; counts are multiplied, times are not.")
	}
	return p
}
