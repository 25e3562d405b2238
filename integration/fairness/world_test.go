package fairness

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// What is usual within a region, and of Segment from there.
const (
	sqsLatency     = 10 * time.Millisecond
	segmentLatency = 50 * time.Millisecond
)

// afterwards is for how long a run goes on after the flood at most, so that what waits can arrive.
const afterwards = 30 * time.Second

// A source sends events with a write key of its own, at random moments.
type source struct {
	key        string
	rate       float64 // events/s
	perMessage int
	perCall    int // messages
}

// slow is a queue whose calls take time.
type slow struct{ lambda.Queue }

func (q slow) Receive(ctx context.Context, most int, wait time.Duration) ([]lambda.Message, error) {
	got, err := q.Queue.Receive(ctx, most, wait)
	time.Sleep(sqsLatency)
	return got, err
}

func (q slow) Delete(ctx context.Context, handles []string) error {
	time.Sleep(sqsLatency)
	return q.Queue.Delete(ctx, handles)
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
	r := &run{T: t, topology: topology.Default(), sources: sources, sent: make([][]time.Time, len(sources)),
		arrived: make([][]time.Time, len(sources))}
	began := time.Now()
	r.start(limit, f)
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var running sync.WaitGroup
	for n := range sources {
		running.Go(func() { r.send(ctx, n) })
	}
	running.Wait()
	for end := time.Now().Add(afterwards); time.Now().Before(end) && r.waiting(); {
		time.Sleep(100 * time.Millisecond)
	}
	r.ended = time.Since(began)
	if err := r.world.End(); err != nil {
		t.Error(err)
	}
	return r
}

// start starts the pipeline.
func (r *run) start(limit float64, f sqs.Fairness) {
	r.Helper()
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
	options := local.PipelineOptions(&r.topology, virtual.Endpoint)
	options.SegmentURL, options.Gzip, options.WriteKey = virtual.SegmentURL, false, local.WriteKey
	newHandler, err := appdeliver.NewFactory(options.Deliver(), appdeliver.Parts{
		SQS: virtual.Client(r.world.ToSQS()), Transport: r.world.Segment.HTTPClient().Transport,
		Metrics: io.Discard, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.Fatal(err)
	}
	environments := lambda.InProcess(func() (lambda.Handler, error) { return newHandler() })
	if err := r.world.Deliver(func(queue string) lambda.Queue { return slow{r.world.Feed(queue)} },
		environments); err != nil {
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

// send sends the events of source n until ctx ends.
func (r *run) send(ctx context.Context, n int) {
	s := &r.sources[n]
	c, err := message.NewCompressor()
	if err != nil {
		r.Error(err)
		return
	}
	packer := message.NewPacker(message.Header{WriteKey: s.key}, c)
	packer.Fair = true
	to := sqsclient.New(virtual.Client(r.world.ToSQS()), virtual.QueueURL(r.topology.Names.EventsQueue))
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for {
		time.Sleep(time.Duration(rng.ExpFloat64() * float64(s.perMessage*s.perCall) / s.rate * float64(time.Second)))
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		next := len(r.sent[n])
		r.sent[n] = append(r.sent[n], slices.Repeat([]time.Time{time.Now()}, s.perMessage*s.perCall)...)
		r.arrived[n] = append(r.arrived[n], make([]time.Time, s.perMessage*s.perCall)...)
		r.mu.Unlock()
		messages := make([]message.Message, s.perCall)
		for i := range messages {
			for range s.perMessage {
				packer.Add(fmt.Appendf(nil, `{"type":"track","event":"Run Started","userId":"user-1207","messageId":"%d-%d",`+
					`"timestamp":"2018-09-24T09:00:00.000Z","properties":{"plan":"team","steps":14}}`, n, next))
				next++
			}
			messages[i] = packer.Pack()
		}
		if err := to.Send(context.WithoutCancel(ctx), messages); err != nil {
			r.Error(err)
		}
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

// waiting reports whether events of a source other than the first have not arrived.
func (r *run) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.arrived[1:], func(all []time.Time) bool { return slices.ContainsFunc(all, time.Time.IsZero) })
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
