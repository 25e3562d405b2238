package fairness

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// segmentLatency is usual from a region of AWS.
const segmentLatency = 50 * time.Millisecond

// afterwards is for how long a run goes on after the flood at most, so that what waits can arrive.
const afterwards = 30 * time.Second

// A source sends events with a write key of its own, at random moments.
type source struct {
	key        string
	rate       float64 // events/s
	perMessage int
	perCall    int // messages
	backlog    int // events that wait in the queue before deliver starts
}

// run is a pipeline with several sources.
type run struct {
	*testing.T
	topology topology.Topology
	world    *virtual.World
	sources  []source
	ended    time.Duration

	mu      sync.Mutex
	sent    [][]time.Time // of each event of each source
	arrived [][]time.Time // at Segment; zero: it has not
}

// play lets the sources send for a time to a pipeline whose Segment takes so many events/s. It must
// be called in a bubble.
func play(t *testing.T, limit float64, f sqs.Fairness, lasts time.Duration, sources ...source) *run {
	t.Helper()
	r := open(t, limit, f, sources...)
	began := time.Now()
	r.deliver()
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var running sync.WaitGroup
	for n := range sources {
		running.Go(func() { r.send(ctx, n) })
	}
	running.Wait()
	for end := time.Now().Add(afterwards); time.Now().Before(end) && r.waiting(1, len(sources)); {
		time.Sleep(100 * time.Millisecond)
	}
	r.end(began)
	return r
}

// drain lets the sources send to a pipeline in whose queue the first source's backlog waits
// already, until that has arrived. It must be called in a bubble.
func drain(t *testing.T, limit float64, lasts time.Duration, sources ...source) *run {
	t.Helper()
	r := open(t, limit, sqs.FairAsDocumented, sources...)
	for n := range sources {
		sender := r.sender(n)
		for len(r.sent[n]) < sources[n].backlog {
			sender.send(t.Context())
		}
	}
	began := time.Now()
	r.deliver()
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var running sync.WaitGroup
	for n := range sources {
		if sources[n].rate > 0 {
			running.Go(func() { r.send(ctx, n) })
		}
	}
	for ctx.Err() == nil && r.waiting(0, 1) {
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	running.Wait()
	r.end(began)
	return r
}

// end ends the pipeline.
func (r *run) end(began time.Time) {
	r.ended = time.Since(began)
	if err := r.world.End(); err != nil {
		r.Error(err)
	}
}

// open opens a pipeline without deliver.
func open(t *testing.T, limit float64, f sqs.Fairness, sources ...source) *run {
	t.Helper()
	r := &run{T: t, topology: topology.Default(), sources: sources, sent: make([][]time.Time, len(sources)),
		arrived: make([][]time.Time, len(sources))}
	var err error
	if r.world, err = virtual.New(&r.topology, segmentd.Options{OnEvent: r.arrive, EventLimit: -1},
		func(o *sqs.Options) { o.Fairness = f }); err != nil {
		r.Fatal(err)
	}
	if err := r.world.Segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{
		{Latency: segmentd.Duration(segmentLatency), Jitter: segmentd.Duration(segmentLatency)}, {EventsPerSecond: limit},
	}}); err != nil {
		r.Fatal(err)
	}
	return r
}

// deliver starts deliver.
func (r *run) deliver() {
	r.Helper()
	if err := r.world.DeliverAsDeployed(nil, nil); err != nil {
		r.Fatal(err)
	}
}

// arrive notes when Segment gets an event for the first time.
func (r *run) arrive(e segmentd.Received) {
	s, i, _ := strings.Cut(e.MessageID, "-")
	n, err := strconv.Atoi(s)
	k, err2 := strconv.Atoi(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || err2 != nil || n >= len(r.sources) || k >= len(r.arrived[n]) {
		r.Errorf("Segment got an event that nobody sent, with the messageId %q", e.MessageID)
		return
	}
	if r.arrived[n][k].IsZero() {
		r.arrived[n][k] = e.At
	}
}

// A sender sends a source's events.
type sender struct {
	*run
	n      int
	packer *message.Packer
	to     *sqsclient.Queue
}

func (r *run) sender(n int) *sender {
	c, err := message.NewCompressor()
	if err != nil {
		r.Error(err)
	}
	s := &sender{run: r, n: n, packer: message.NewPacker(message.Header{WriteKey: r.sources[n].key}, c),
		to: sqsclient.New(virtual.Client(r.world.ToSQS()), virtual.QueueURL(r.topology.Names.EventsQueue))}
	s.packer.Fair = true
	return s
}

// send sends the events of source n until ctx ends.
func (r *run) send(ctx context.Context, n int) {
	s, sender := &r.sources[n], r.sender(n)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for {
		time.Sleep(time.Duration(rng.ExpFloat64() * float64(s.perMessage*s.perCall) / s.rate * float64(time.Second)))
		if ctx.Err() != nil {
			return
		}
		sender.send(ctx)
	}
}

// send makes one call.
func (s *sender) send(ctx context.Context) {
	n, source := s.n, &s.sources[s.n]
	s.mu.Lock()
	next := len(s.sent[n])
	s.sent[n] = append(s.sent[n], slices.Repeat([]time.Time{time.Now()}, source.perMessage*source.perCall)...)
	s.arrived[n] = append(s.arrived[n], make([]time.Time, source.perMessage*source.perCall)...)
	s.mu.Unlock()
	messages := make([]message.Message, source.perCall)
	for i := range messages {
		for range source.perMessage {
			s.packer.Add(fmt.Appendf(nil, `{"type":"track","event":"Run Started","userId":"user-1207","messageId":"%d-%d",`+
				`"timestamp":"2018-09-24T09:00:00.000Z","properties":{"plan":"team","steps":14}}`, n, next))
			next++
		}
		messages[i] = s.packer.Pack()
	}
	if err := s.to.Send(context.WithoutCancel(ctx), messages); err != nil {
		s.Error(err)
	}
}

// latency is a percentile of the way of source n's events from SQS to Segment; math.MaxInt64: so
// many have not arrived.
func (r *run) latency(n int, percent float64) time.Duration {
	all := make([]time.Duration, len(r.sent[n]))
	for i, at := range r.arrived[n] {
		if all[i] = math.MaxInt64; !at.IsZero() {
			all[i] = at.Sub(r.sent[n][i])
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return math.MaxInt64
	}
	return all[min(len(all)-1, int(float64(len(all))*percent/100))]
}

// throughput is how many events/s Segment has got until so much of the first source's backlog had
// arrived.
func (r *run) throughput(percent float64) (perSecond float64) {
	took := r.latency(0, percent)
	end := r.sent[0][0].Add(took)
	for _, all := range r.arrived {
		for _, at := range all {
			if !at.IsZero() && !at.After(end) {
				perSecond += 1 / took.Seconds()
			}
		}
	}
	return perSecond
}

// waiting reports whether events of the sources from one to another, without that, have not
// arrived.
func (r *run) waiting(from, to int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.arrived[from:to], func(all []time.Time) bool { return slices.ContainsFunc(all, time.Time.IsZero) })
}

// delivered is how many events Segment has got.
func (r *run) delivered() (events int) {
	for _, all := range r.arrived {
		for _, at := range all {
			if !at.IsZero() {
				events++
			}
		}
	}
	return events
}

func (r *run) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events delivered in %v", r.delivered(), r.ended.Round(time.Second))
	for n, s := range r.sources {
		fmt.Fprintf(&b, "\n%-13s %7d sent", s.key, len(r.sent[n]))
		for _, p := range []float64{50, 99, 100} {
			if l := r.latency(n, p); l < math.MaxInt64 {
				fmt.Fprintf(&b, ", p%v %v", p, l.Round(time.Millisecond))
			} else {
				fmt.Fprintf(&b, ", p%v never", p)
			}
		}
	}
	return b.String()
}
