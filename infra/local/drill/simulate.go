package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	appcanary "github.com/spillwayhq/spillway/shared/app/canary"
	"github.com/spillwayhq/spillway/shared/app/pipeline"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// Every drill begins like a first deployment, without a metric and without traffic, and goes on
// with some minutes of usual traffic. Both are patterns for the minutes that are modelled.
const (
	quietStart   = 5 * time.Minute
	patternFrom  = 8 * time.Minute // before, environments start
	patternUntil = 16 * time.Minute
)

// segmentLatency is how long Segment takes to answer on a good day.
const segmentLatency = 50 * time.Millisecond

var errNoRegion = errors.New("no route to the region")

// simulation is one run of a scenario in a bubble.
type simulation struct {
	scenario *Scenario
	topology *topology.Topology
	rate     float64 // usual events/s
	weight   float64 // how many events each simulated one stands for
	seed     uint64
	start    time.Time

	world     *virtual.World
	faults    *faults
	usage     *usage
	record    *recorder
	ledger    *ledger
	minutes   *minutes
	latency   *latencies
	gateway   *gateway
	model     *model
	history   *history
	function  *appcanary.Function
	api       *api
	pair      *pair          // nil: there is no other region
	sending   sync.WaitGroup // requests of SDKs
	queues    []*feed.Queue  // that deliver is fed from
	deadQueue *feed.Queue    // of the dead-letter queue, whose metrics are never modelled
	endpoint  feed.Endpoint
	dead      map[string]int64 // events in dead letters at the end, by reason
	spent     [2]price.Usage   // at the beginning and the end of the pattern's minutes

	mu       sync.Mutex
	failed   error
	rolling  bool             // a deployment by steps is under way,
	ran      []lambda.Invoked // and these of deliver have ended meanwhile
	outcomes []Mark           // of deployments
	broken   []string         // what they should not have done
}

// fail notes an error of what runs in the background.
func (s *simulation) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}

// logger is the functions' log.
func (s *simulation) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(s.record, nil)) }

func newSimulation(s *Scenario, t *topology.Topology, seed uint64, rate float64) *simulation {
	sim := &simulation{scenario: s, topology: t, seed: seed, rate: rate, ledger: newLedger(), usage: new(usage),
		minutes: newMinutes(int(s.Lasts / time.Minute)), latency: new(latencies)}
	sim.weight = max(1, rate/s.sample())
	return sim
}

// calm reports whether a minute is modelled.
func (s *simulation) calm(at time.Duration) bool {
	return at >= patternUntil && !slices.ContainsFunc(s.scenario.Played, func(p Span) bool { return p.holds(at) })
}

// prepare makes what is around the functions.
func (s *simulation) prepare(start time.Time) (err error) {
	s.start = start
	s.faults = newFaults(s.scenario, start, s.seed)
	s.record = newRecorder(s.scenario.Lasts, s.weight, func() bool {
		return s.faults.active(NoMetrics) || s.calm(time.Since(start))
	})
	s.history = newHistory(s)
	s.record.logs = func(line []byte) {
		s.usage.logs.Add(int64(len(line)))
		s.history.add(line)
	}
	s.model = newModel(s)
	s.world, err = virtual.New(s.topology, segmentd.Options{OnEvent: s.ledger.arrive, EventLimit: -1})
	return err
}

// run plays the scenario. It must be called in a bubble.
func (s *simulation) run(ctx context.Context, start time.Time) (err error) {
	time.Sleep(time.Until(start))
	if err := s.prepare(start); err != nil {
		return err
	}
	// What was started ends in the reverse order, also after an error.
	inside, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	err = s.begin(inside, &running)
	if err == nil {
		err = s.play(ctx)
	}
	stop()
	running.Wait()
	s.sending.Wait()
	if s.api != nil {
		err = errors.Join(err, s.api.end(context.Background()))
	}
	for _, r := range s.regions() {
		r.stop()
	}
	if err == nil {
		err = s.count()
	}
	for _, r := range s.regions() {
		err = errors.Join(err, r.failed, r.world.End())
	}
	return err
}

// stop ends the functions, when nobody sends any more.
func (s *simulation) stop() {
	s.sending.Wait()
	if s.gateway != nil {
		s.gateway.function.Close()
	}
	s.world.StopDelivery()
}

// open starts the pipeline.
func (s *simulation) open(ctx context.Context, running *sync.WaitGroup) (err error) {
	if err := s.world.Segment.SetScript(s.script()); err != nil {
		return err
	}
	for _, source := range s.topology.EventSources {
		s.queues = append(s.queues, feed.NewQueue(s.putUnless(NoSQS, NoRegion), s.world.Queue(source.Queue)))
	}
	s.deadQueue = feed.NewQueue(func(at time.Time, k cloudwatch.Key, values ...float64) {
		if !s.faults.active(NoSQS, NoRegion, NoMetrics) {
			s.record.store.Put(at, k, values...)
		}
	}, s.world.Queue(s.topology.Names.DeadLetterQueue))
	f, _ := s.topology.Function(s.topology.Names.DeliverFunction)
	s.usage.memory = f.MemoryMB
	if s.gateway, err = s.wire(ctx); err != nil {
		return err
	}
	running.Go(func() { s.canaries(ctx) })
	return nil
}

// begin starts the pipeline and what sends to it.
func (s *simulation) begin(ctx context.Context, running *sync.WaitGroup) (err error) {
	if s.scenario.TwoRegions {
		if err := s.openPair(ctx, running); err != nil {
			return err
		}
	}
	if err := s.open(ctx, running); err != nil {
		return err
	}
	if s.api, err = newAPI(ctx, s); err != nil {
		return err
	}
	senders := sdks{s, &http.Client{Transport: s.endpointOf(s.gateway)}}
	running.Go(func() { s.produce(ctx, FromAPI, burst, s.api.call) })
	running.Go(func() {
		s.produce(ctx, FromSDKs, sdkInterval, func(n int) { senders.post(webKey, webEvent, n) })
	})
	running.Go(func() {
		s.produce(ctx, FromPartner, sdkInterval, func(n int) { senders.post(partnerKey, partnerEvent, n) })
	})
	running.Go(func() { s.produce(ctx, FromFlood, burst, senders.flood) })
	for i := range s.scenario.Failures {
		if f := &s.scenario.Failures[i]; f.Kind == DeliverHeld {
			running.Go(func() { s.hold(ctx, f) })
		}
	}
	return nil
}

// putUnless writes AWS's metrics, except while a fault says that their service is away.
func (s *simulation) putUnless(away ...Problem) feed.Put {
	return func(at time.Time, k cloudwatch.Key, values ...float64) {
		if !s.faults.active(away...) {
			s.record.put(at, k, values...)
		}
	}
}

// toSQS is SQS for the parts in the region.
func (s *simulation) toSQS() http.RoundTripper {
	return onTheWay{s.world.ToSQS(), s.faults, s.usage, s.topology.Names.DeadLetterQueue}
}

// options are those of the functions.
func (s *simulation) options() *pipeline.Options {
	o := local.PipelineOptions(s.topology, virtual.Endpoint)
	o.SegmentURL, o.Gzip, o.WriteKey, o.IngestURL = virtual.SegmentURL, true, apiKey, ingestURL
	return &o
}

// toSegment is the way of the deliver function to Segment.
func (s *simulation) toSegment() http.RoundTripper {
	return toSegment{s.world.Segment.HTTPClient().Transport, s}
}

// wire connects the functions, as the deployed ones are.
func (s *simulation) wire(ctx context.Context) (g *gateway, err error) {
	s.world.OnInvocation = func(i lambda.Invoked) {
		feed.Invoked(s.putUnless(NoRegion), s.topology.Names.DeliverFunction, i)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.rolling {
			s.ran = append(s.ran, i)
		}
	}
	err = s.world.Deliver(func(queue string) lambda.Queue { return receiver{s.world.Feed(queue), s.faults, s.usage} },
		s.deliverCode(s.toSegment()))
	if err != nil {
		return nil, err
	}
	s.world.Live().Seed(s.seed)
	if g, err = newGateway(s, s.ingestCode(ctx)); err != nil {
		return nil, err
	}
	s.function, err = appcanary.New(s.options().Canary(), appcanary.Parts{Metrics: s.record, Logger: s.logger(),
		Transport: g, Traffic: s.history, Switched: s.switches()})
	return g, err
}

// switches are the parameters in which a person's marks are.
func (s *simulation) switches() appcanary.Switched {
	source := func(parameter string) reload.Source {
		return ssm.Parameter(documents{s.faults}, s.topology.Names.Parameter(parameter)).Else(nil, ssm.NotFound)
	}
	return appcanary.Switched{Paused: source(topology.PausedParameter), PausedKeys: source(topology.PausedKeysParameter),
		Drained: source(topology.DrainedParameter)}
}

// canaries invokes the canary's function every minute, as the schedule does.
func (s *simulation) canaries(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		at := time.Since(s.start)
		if !s.calm(at) && !s.faults.active(NoRegion, NoCanary) {
			s.usage.scheduled.Add(1)
			_, _ = s.function.Invoke(context.WithoutCancel(ctx), nil) // it reports its failures by metrics
		}
		sleep(ctx, time.Until(s.start.Add((time.Since(s.start)/canary.Interval+1)*canary.Interval)))
	}
}

// script is how Segment answers.
func (s *simulation) script() segmentd.Script {
	script := segmentd.Script{Seed: s.seed}
	for _, f := range s.scenario.Failures {
		if f.Kind != Segment {
			continue
		}
		rule := f.Rule
		rule.From, rule.Until = segmentd.Moment{At: s.start.Add(f.From)}, segmentd.Moment{At: s.start.Add(f.Until)}
		script.Rules = append(script.Rules, rule)
	}
	script.Rules = append(script.Rules,
		segmentd.Rule{EventsPerSecond: topology.SegmentEventsPerSecond / s.weight},
		segmentd.Rule{Latency: segmentd.Duration(segmentLatency * 4 / 5), Jitter: segmentd.Duration(segmentLatency * 2 / 5)})
	return script
}

// toSegment counts the bytes to Segment.
type toSegment struct {
	http.RoundTripper
	*simulation
}

func (t toSegment) RoundTrip(r *http.Request) (*http.Response, error) {
	t.usage.egress.Add(max(0, r.ContentLength))
	return t.RoundTripper.RoundTrip(r)
}

// invoked notes what an invocation of deliver did.
func (s *simulation) invoked(r deliver.Report) { s.minutes.invoked(&r) }

// play lets the scenario's time pass, minute by minute.
func (s *simulation) play(ctx context.Context) error {
	steps := slices.Clone(s.scenario.Actions)
	slices.SortFunc(steps, func(a, b Step) int { return int(a.At - b.At) })
	for n := range s.minutes.n {
		end := time.Duration(n+1) * time.Minute
		for len(steps) > 0 && steps[0].At < end {
			time.Sleep(time.Until(s.start.Add(steps[0].At)))
			if err := s.do(&steps[0]); err != nil {
				return fmt.Errorf("%s: %w", steps[0].Text, err)
			}
			steps = steps[1:]
		}
		// The last moment of the minute, so that what is put belongs to it.
		time.Sleep(time.Until(s.start.Add(end - time.Millisecond)))
		s.minute(n)
		time.Sleep(time.Until(s.start.Add(end)))
		if err := s.pair.evaluate(time.Now()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// minute writes what AWS and the report have of a minute that ends.
func (s *simulation) minute(n int) {
	at, since := time.Now(), time.Duration(n)*time.Minute
	peak := s.usage.peak()
	s.deadQueue.Sample(at)
	s.pair.minute(at)
	if s.calm(since) {
		if err := s.model.minute(n); err != nil {
			s.fail(err)
		}
	} else {
		s.awsMetrics(at)
		s.minutes.set(n, s.observed(peak))
	}
	switch since + time.Minute {
	case patternFrom:
		s.spent[0] = s.usage.aws()
	case patternUntil:
		s.spent[1] = s.usage.aws()
		s.model.learn()
	}
}

// awsMetrics writes what SQS, Lambda and the gateway write at the end of a minute.
func (s *simulation) awsMetrics(at time.Time) {
	for _, q := range s.queues {
		q.Sample(at)
	}
	feed.Concurrent(s.putUnless(NoRegion), s.topology.Names.DeliverFunction, at,
		int64(s.world.Delivery.Function.Concurrent()))
	s.endpoint.Sample(s.record.put, at)
}

// observed is a minute for the report.
func (s *simulation) observed(peak int) observation {
	o := s.minutes.take()
	accepted, delivered := s.ledger.take()
	o.accepted, o.delivered = float64(accepted)*s.weight, float64(delivered)*s.weight
	waiting, oldest := s.ledger.open(), s.api.oldest()
	for _, r := range s.regions() {
		waiting -= r.world.Queue(s.topology.Names.DeadLetterQueue).Stats().Events
		for _, source := range s.topology.EventSources {
			if sent := r.world.Queue(source.Queue).Stats().OldestSent; !sent.IsZero() {
				oldest = max(oldest, time.Since(sent))
			}
		}
	}
	o.waiting, o.oldest = float64(waiting)*s.weight, oldest.Seconds()
	o.asked = s.pair.take()
	for region := range o.asked {
		o.asked[region] *= s.weight
	}
	o.peak = float64(peak)
	o.p50, o.p99, o.calls = s.latency.take()
	for class := range o.answers {
		o.answers[class] *= s.weight
	}
	return o
}
