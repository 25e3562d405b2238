package lanes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// segmentLatency is usual from a region of AWS.
const segmentLatency = 50 * time.Millisecond

// warmUp is how long fresh events come in before the bulk queue is filled. A sample has less.
func (l *load) warmUp() time.Duration {
	if l.bulk < many {
		return 30 * time.Second
	}
	return 2 * time.Minute
}

// A load is what is sent to a pipeline, and what Segment takes of it.
type load struct {
	fresh    float64 // events/s, in messages of perFresh
	perFresh int
	bulk     int // events, in messages of perBulk
	perBulk  int
	limit    float64       // of Segment, events/s; 0: none
	lasts    time.Duration // at most, after the warm-up
}

// A result is what a load led to.
type result struct {
	load
	drain     time.Duration // of the bulk queue
	latencies []time.Duration
	throttled struct{ fresh, bulk, freshMinutes int } // events; minutes
	receives  float64                                 // of each bulk message
	refused   int                                     // requests
	fired     []string
}

// p is a percentile of the fresh events' way from SQS to Segment.
func (r *result) p(percent float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	i := int(float64(len(r.latencies)) * percent / 100)
	return r.latencies[min(i, len(r.latencies)-1)].Round(time.Millisecond)
}

func (r *result) rate() float64 { return float64(r.bulk) / r.drain.Seconds() }

func (r *result) String() string {
	return fmt.Sprintf("%d in %v, %.0f/s; fresh p50 %v p99 %v p99.9 %v max %v; throttled: %d fresh in %d min, %d bulk, "+
		"%d requests; %.2f receives; fired %v", r.bulk, r.drain.Round(time.Second), r.rate(), r.p(50), r.p(99), r.p(99.9),
		r.p(100), r.throttled.fresh, r.throttled.freshMinutes, r.throttled.bulk, r.refused, r.receives, r.fired)
}

// lanes is a pipeline under a load.
type lanes struct {
	*testing.T
	load
	topology topology.Topology
	world    *virtual.World
	store    *cloudwatch.Store
	began    time.Time

	mu      sync.Mutex
	sent    []time.Time // of each fresh event
	arrived []time.Time
	bulk    []bool // has arrived
	result  result
	minutes map[int]bool // in which fresh events were throttled
}

// play plays a load. It must be called in a bubble.
func play(t *testing.T, l load) *result {
	t.Helper()
	o := topology.DefaultOptions()
	o.NoIngest = true // the canary goes through it
	p := &lanes{T: t, load: l, topology: topology.New(o), store: cloudwatch.NewStore(24 * time.Hour),
		bulk: make([]bool, l.bulk), minutes: map[int]bool{}}
	p.result.load = l
	p.start()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.sendFresh(ctx) })
	running.Go(func() { p.sample(ctx) })
	time.Sleep(l.warmUp())
	p.fillBulk()
	p.drain()
	stop()
	running.Wait()
	time.Sleep(time.Minute)
	p.finish()
	if err := p.world.End(); err != nil {
		t.Error(err)
	}
	return &p.result
}

// start starts the pipeline.
func (p *lanes) start() {
	p.Helper()
	p.began = time.Now()
	p.store.Now = time.Now
	var err error
	if p.world, err = virtual.New(&p.topology, segmentd.Options{OnEvent: p.arrive, EventLimit: -1}); err != nil {
		p.Fatal(err)
	}
	if err := p.world.Segment.SetScript(p.segment()); err != nil {
		p.Fatal(err)
	}
	p.world.OnInvocation = func(i lambda.Invoked) {
		feed.Invoked(p.store.Put, p.topology.Names.DeliverFunction, i)
	}
	if err := p.world.DeliverAsDeployed(emf{p.store}, p.report); err != nil {
		p.Fatal(err)
	}
}

// segment is how Segment answers.
func (p *lanes) segment() segmentd.Script {
	s := segmentd.Script{Rules: []segmentd.Rule{
		{Latency: segmentd.Duration(segmentLatency), Jitter: segmentd.Duration(segmentLatency)}}}
	if p.limit > 0 {
		s.Rules = append(s.Rules, segmentd.Rule{EventsPerSecond: p.limit})
	}
	return s
}

// emf takes the function's metrics.
type emf struct{ *cloudwatch.Store }

func (e emf) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		if bytes.Contains(line, []byte(`"_aws"`)) {
			_ = e.PutEMF(bytes.TrimSpace(line)) // finish looks at what it refused
		}
	}
	return len(lines), nil
}

var _ io.Writer = emf{}

func (p *lanes) report(r deliver.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range r.Flushes {
		if f.Class.String() == "throttled" {
			p.result.refused++
		}
	}
	p.result.throttled.bulk += r.Retried[deliver.Paced]
	if n := r.Retried["throttled"]; n > 0 {
		p.result.throttled.fresh += n
		p.minutes[int(time.Since(p.began)/time.Minute)] = true
	}
}

// writeKey is that of all events: a pause of the key would concern both queues.
const writeKey = "the-key"

const (
	freshMark = "fresh-"
	bulkMark  = "bulk-"
)

// arrive notes when Segment gets an event for the first time.
func (p *lanes) arrive(r segmentd.Received) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := strings.CutPrefix(r.MessageID, freshMark); ok {
		n, _ := strconv.Atoi(i)
		if p.arrived[n].IsZero() {
			p.arrived[n] = r.At
		}
		return
	}
	n, err := strconv.Atoi(strings.TrimPrefix(r.MessageID, bulkMark))
	if err != nil {
		p.Errorf("an event with the messageId %q", r.MessageID)
		return
	}
	p.bulk[n] = true
}

// body is a message with n events.
func body(key, mark string, first, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"writeKey":%q,"batch":[`, key)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"track","event":"Run Started","userId":"user-1207","messageId":"%s%d",`+
			`"timestamp":"2018-09-24T09:00:00.000Z","properties":{"plan":"team","workspace":"a4f0c2d1","steps":14}}`, mark, first+i)
	}
	b.WriteString(`]}`)
	return b.String()
}

// sendFresh sends fresh events, at random moments.
func (p *lanes) sendFresh(ctx context.Context) {
	to := sqsclient.New(virtual.Client(p.world.ToSQS()), virtual.QueueURL(p.topology.Names.EventsQueue))
	rng := rand.New(rand.NewPCG(1, 2))
	for ctx.Err() == nil {
		time.Sleep(time.Duration(rng.ExpFloat64() * float64(p.perFresh) / p.fresh * float64(time.Second)))
		p.mu.Lock()
		first := len(p.sent)
		p.sent = append(p.sent, slices.Repeat([]time.Time{time.Now()}, p.perFresh)...)
		p.arrived = append(p.arrived, make([]time.Time, p.perFresh)...)
		p.mu.Unlock()
		m := message.Message{Body: body(writeKey, freshMark, first, p.perFresh)}
		if err := to.Send(context.WithoutCancel(ctx), []message.Message{m}); err != nil {
			p.Error(err)
		}
	}
}

// fillBulk sends all bulk events.
func (p *lanes) fillBulk() {
	to := sqsclient.New(virtual.Client(p.world.ToSQS()), virtual.QueueURL(p.topology.Names.BulkQueue))
	var some []message.Message
	for first := 0; first < p.load.bulk; first += p.perBulk {
		some = append(some, message.Message{Body: body(writeKey, bulkMark, first, min(p.perBulk, p.load.bulk-first))})
		if len(some) == 10 || first+p.perBulk >= p.load.bulk {
			if err := to.Send(p.Context(), some); err != nil {
				p.Fatal(err)
			}
			some = some[:0]
		}
	}
}

// drain waits until the bulk queue is empty.
func (p *lanes) drain() {
	began := time.Now()
	q := p.world.Queue(p.topology.Names.BulkQueue)
	for time.Since(began) < p.lasts {
		time.Sleep(time.Second)
		if s := q.Stats(); s.Visible+s.InFlight+s.Delayed == 0 {
			break
		}
	}
	p.result.drain = time.Since(began)
	s := q.Stats()
	p.result.receives = float64(s.Received) / max(1, float64(s.Sent))
}

// sample writes what SQS and Lambda write about a minute.
func (p *lanes) sample(ctx context.Context) {
	var queues []*feed.Queue
	for _, q := range p.topology.Queues {
		queues = append(queues, feed.NewQueue(p.store.Put, p.world.Queue(q.Name)))
	}
	for n := 1; ctx.Err() == nil; n++ {
		time.Sleep(time.Until(p.began.Add(time.Duration(n) * time.Minute)))
		minute := p.began.Add(time.Duration(n-1) * time.Minute)
		for _, q := range queues {
			q.Sample(minute)
		}
		feed.Concurrent(p.store.Put, p.topology.Names.DeliverFunction, minute, int64(p.world.Delivery.Function.Concurrent()))
	}
}

// finish counts, and judges the alarms under everything that is plausible.
func (p *lanes) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := 0
	for i, at := range p.arrived {
		if at.IsZero() {
			lost++
		} else if p.sent[i].Sub(p.began) >= p.warmUp() {
			p.result.latencies = append(p.result.latencies, at.Sub(p.sent[i]))
		}
	}
	missing := 0
	for _, here := range p.bulk {
		if !here {
			missing++
		}
	}
	if lost > 0 || missing > 0 {
		p.Errorf("%d fresh and %d bulk events have not arrived", lost, missing)
	}
	slices.Sort(p.result.latencies)
	p.result.throttled.freshMinutes = len(p.minutes)
	for reason, n := range p.store.Rejected() {
		p.Errorf("%d values of metrics are not recorded: %s", n, reason)
	}
	fired := map[string]bool{}
	for _, a := range cloudwatch.Plausible() {
		e, err := cloudwatch.New(&p.topology, p.store, a)
		if err != nil {
			p.Fatal(err)
		}
		for at := p.began; at.Before(time.Now()); at = at.Add(time.Minute) {
			for _, c := range e.Evaluate(at) {
				if c.To == cloudwatch.Alarm {
					fired[strings.TrimPrefix(c.Alarm, p.topology.Names.Alarm(""))] = true
				}
			}
		}
	}
	for name := range fired {
		p.result.fired = append(p.result.fired, name)
	}
	slices.Sort(p.result.fired)
}
