package drill

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/route53"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/publisher"
)

// The regions of a drill with two: the clients are near the first.
const (
	nearRegion = "eu-west-1"
	farRegion  = "us-east-1"
)

// farEndpoint is that of the far region's queues in their URLs, by which the publisher tells them
// apart.
const farEndpoint = "http://sqs.far.test"

// A pair is a second region, and the name in front of both. It is safe for concurrent use.
type pair struct {
	name *route53.Name
	// far is the pipeline of the other region. It shares the ledger with the near one, and what is
	// counted for the report; no fault concerns it.
	far *simulation

	mu      sync.Mutex
	changes []route53.Change
	asked   map[string]float64 // requests of SDKs in this minute, by the region that answered; empty: none did
	first   time.Time          // when the far region accepted first
	// unanswered are all requests that no region answered.
	unanswered int
}

// openPair starts the far region and the name.
func (s *simulation) openPair(ctx context.Context, running *sync.WaitGroup) error {
	scenario := *s.scenario
	scenario.Failures, scenario.Actions, scenario.Load, scenario.TwoRegions = nil, nil, nil, false
	scenario.Promises, scenario.MayFire = nil, s.scenario.FarMayFire
	scenario.Played = []Span{{0, s.scenario.Lasts}} // between the requests of clients there are only canaries
	far := newSimulation(&scenario, s.topology, s.seed+1, s.rate)
	far.ledger, far.usage, far.minutes, far.latency, far.start = s.ledger, s.usage, s.minutes, s.latency, s.start
	if err := far.prepare(s.start); err != nil {
		return fmt.Errorf("prepare the far region: %w", err)
	}
	s.pair = &pair{name: route53.NewName(topology.RecordTTL), far: far, asked: map[string]float64{}}
	if err := far.open(ctx, running); err != nil {
		return fmt.Errorf("open the far region: %w", err)
	}
	for i, r := range s.regions() {
		check, err := route53.NewCheck(s.topology, r.record.store, cloudwatch.Typical())
		if err != nil {
			return err
		}
		s.pair.name.Add([]string{nearRegion, farRegion}[i], check)
	}
	return nil
}

// regions are the near one and, if there is one, the far one.
func (s *simulation) regions() []*simulation {
	if s.pair == nil {
		return []*simulation{s}
	}
	return []*simulation{s, s.pair.far}
}

// minute ends a minute: what AWS writes of the far region, and what Route 53 reads of both.
func (p *pair) minute(at time.Time) {
	if p == nil {
		return
	}
	p.far.deadQueue.Sample(at)
	p.far.awsMetrics(at)
}

// evaluate lets Route 53 read the alarms' data at the end of a minute.
func (p *pair) evaluate(now time.Time) error {
	if p == nil {
		return nil
	}
	changes, err := p.name.Evaluate(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes = append(p.changes, changes...)
	return err
}

// endpointOf is the ingest endpoint as clients see it who are near the near region.
func (s *simulation) endpointOf(g *gateway) http.RoundTripper {
	if s.pair == nil {
		return g
	}
	return &named{s.pair, s.pair.name.Resolver(nearRegion, farRegion), map[string]*gateway{nearRegion: g,
		farRegion: s.pair.far.gateway}}
}

// named is a way to the region that the name leads to.
type named struct {
	*pair
	resolver *route53.Resolver
	gateways map[string]*gateway
}

// RoundTrip implements http.RoundTripper.
func (n *named) RoundTrip(r *http.Request) (*http.Response, error) {
	region := n.resolver.Region(time.Now())
	resp, err := n.gateways[region].RoundTrip(r)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.asked[""]++
		n.unanswered++
		return nil, err
	}
	n.asked[region]++
	if region == farRegion && n.first.IsZero() && resp.StatusCode == http.StatusOK {
		n.first = time.Now()
	}
	return resp, nil
}

// take returns the requests of the minute.
func (p *pair) take() map[string]float64 {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = map[string]float64{}
	return asked
}

// fallbacks are the further queues of the publisher's list.
func (s *simulation) fallbacks() []string {
	if s.pair == nil {
		return nil
	}
	return []string{local.QueueURL(farEndpoint, s.topology.Names.EventsQueue)}
}

// publishersQueue is the publisher's client of a queue. The publisher itself tries again.
func (s *simulation) publishersQueue(url string) (publisher.SQS, error) {
	region := s
	if slices.Contains(s.fallbacks(), url) {
		region = s.pair.far
	}
	return virtual.Client(region.toSQS(), func(o *awssqs.Options) { o.RetryMaxAttempts = 1 }), nil
}

// nameResult is what the name did. Clients near the near region were led elsewhere from when Route
// 53 left it until it was healthy again, each up to a minute later.
func (s *simulation) nameResult() *Name {
	if s.pair == nil {
		return nil
	}
	n := &Name{Near: nearRegion, Far: farRegion, TTLSeconds: topology.RecordTTL.Seconds()}
	cause := s.start.Add(s.scenario.Away.From)
	for _, c := range s.pair.changes {
		switch last := len(n.Left) - 1; {
		case c.Region != nearRegion || c.At.Before(cause): // at the very beginning no region has any data
		case !c.Healthy:
			n.Left = append(n.Left, Left{From: c.At, Alarms: c.Failing})
		case last >= 0:
			n.Left[last].To = &c.At
		}
	}
	if !s.pair.first.IsZero() {
		n.FirstElsewhere = &s.pair.first
	}
	return n
}

// marks are when the name led elsewhere.
func (n *Name) marks() (all []Mark) {
	if n == nil {
		return nil
	}
	for _, l := range n.Left {
		all = append(all, Mark{Kind: Outcome, From: l.From, To: l.To,
			Text: fmt.Sprintf("the name leads to %s (%s)", n.Far, strings.Join(l.Alarms, ", "))})
	}
	return all
}

// checkRegions says what is wrong with the name and with the alarms of the far region, on a normal
// day or else under any of the assumptions.
func (s *simulation) checkRegions() (broken []string, err error) {
	if s.pair == nil {
		return nil, nil
	}
	far := &recording{scenario: s.pair.far.scenario, topology: s.topology, store: s.pair.far.record.store, start: s.start}
	judged := append([]cloudwatch.Assumptions{cloudwatch.Typical()}, assumptions(s.scenario)...)
	found, err := far.judgeAll(judged)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(judged) && len(broken) == 0; i++ {
		for _, text := range far.broken(found[i], judged[i]) {
			broken = append(broken, fmt.Sprintf("in %s, %s: %s", farRegion, assumed(judged[i]), text))
		}
		wrong, err := s.checkName(judged[i])
		if err != nil {
			return nil, err
		}
		for _, text := range wrong {
			broken = append(broken, fmt.Sprintf("the name, %s: %s", assumed(judged[i]), text))
		}
	}
	if s.scenario.Answered && s.pair.unanswered > 0 {
		broken = append(broken, fmt.Sprintf("%v requests of SDKs got no answer", s.pair.unanswered))
	}
	if s.pair.first.IsZero() {
		broken = append(broken, "no SDK's request was accepted in "+farRegion)
	}
	return broken, nil
}

// checkName says what the name does too late or without a cause, if both regions' metrics are read
// under some assumptions.
func (s *simulation) checkName(a cloudwatch.Assumptions) (broken []string, err error) {
	cause, end := s.start.Add(s.scenario.Away.From), s.start.Add(s.scenario.Away.Until)
	until := cause.Add(s.scenario.LeavesWithin + lag(a))
	if s.scenario.Vanishes {
		until = until.Add(time.Duration(a.BeyondRange) * time.Minute)
	}
	back := end.Add(backWithin + lag(a))
	for i, r := range s.regions() {
		region := []string{nearRegion, farRegion}[i]
		check, err := route53.NewCheck(s.topology, r.record.store, a)
		if err != nil {
			return nil, err
		}
		for n := 1; n <= s.minutes.n; n++ {
			now := s.start.Add(time.Duration(n) * time.Minute)
			healthy, err := check.Evaluate(now)
			if err != nil {
				return nil, err
			}
			must := i == 0 && !now.Before(until) && !now.After(end) // be left
			may := i == 0 && now.After(cause) && now.Before(back) || now.Before(s.start.Add(patternFrom))
			if healthy && must || !healthy && !may {
				broken = append(broken, fmt.Sprintf("%s is healthy at %s: %v (%s)", region, clock(now), healthy,
					strings.Join(check.Failing(), ", ")))
			}
		}
	}
	return broken[:min(len(broken), 3)], nil
}

// backWithin is how long after the end of the cause the name leads to its region again.
const backWithin = 3 * time.Minute
