package virtual

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/deliver"
)

var every = flag.Bool("every", false, "try everything that Segment may do to the largest batch, not only the longest")

// slowSQS is how long each call of the function to SQS takes here: five times the usual.
const slowSQS = 5 * sqsLatency

// A batch has at most as many messages as the topology says, and 6 MB. Whatever Segment does to it,
// and although SQS is slow, the invocation ends before its timeout and says what becomes of each
// message. An invocation that timed out would leave all of them invisible for six minutes, and send
// those again that had arrived.
func TestTheLargestBatchEndsBeforeTheTimeoutAtWorst(t *testing.T) {
	for name, c := range map[string]struct {
		rule    segmentd.Rule
		keys    int // write keys: each needs requests of its own
		bytes   int // of a message
		dead    bool
		atLeast time.Duration // takes the longest invocation; otherwise the case tries nothing
		usual   bool          // it is tried without -every
	}{
		"429": {rule: segmentd.Rule{Status: 429, RetryAfter: segmentd.Duration(time.Second)}, keys: 1, bytes: 1 << 10,
			atLeast: time.Second},
		"429, a request for each message": {rule: segmentd.Rule{Status: 429}, keys: 1 << 20, bytes: 1 << 10},
		"every answer takes 9.9 s, the largest events": {rule: segmentd.Rule{Latency: segmentd.Duration(9900 * time.Millisecond)}, keys: 1,
			bytes: 31 << 10, atLeast: 9 * time.Second},
		"every answer takes 9.9 s, a request for each message": {
			rule: segmentd.Rule{Latency: segmentd.Duration(9900 * time.Millisecond)}, keys: 1 << 20, bytes: 1 << 10,
			atLeast: 15 * time.Second, usual: true},
		"no answer, which ends after 10 s": {rule: segmentd.Rule{Fault: segmentd.FaultHang}, keys: 1 << 20, bytes: 1 << 10,
			atLeast: 10 * time.Second},
		"every event becomes a dead letter": {rule: segmentd.Rule{Status: 400}, keys: 1 << 20, bytes: 1 << 10, dead: true,
			atLeast: 400 * time.Millisecond, usual: true},
	} {
		if !*every && !c.usual {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// Two invocations at a time are enough: each has its own environment.
				o := topology.DefaultOptions()
				o.MaximumConcurrency = 2
				d := &deadline{t: t, production: topology.New(o)}
				d.start(c.rule)
				defer d.end()
				batch := d.production.EventSources[0].BatchSize
				n := batch * d.production.EventSources[0].MaximumConcurrency
				d.send(n, c.keys, c.bytes)
				time.Sleep(3 * time.Minute) // each batch has had its invocation
				d.check(batch, c.atLeast)
				if err := d.world.Segment.SetScript(segmentd.Script{}); err != nil {
					t.Fatal(err)
				}
				if !d.world.Drained(time.Hour) {
					t.Error("the backlog was not drained afterwards")
				}
				dead := d.world.Queue(d.production.Names.DeadLetterQueue).Stats().Visible
				if got := d.world.Segment.Stats().Distinct; got+dead != int64(n) || c.dead != (dead > 0) {
					t.Errorf("%d events arrived and %d are dead letters, want %d in all", got, dead, n)
				}
			})
		})
	}
}

// deadline is a pipeline with production's numbers whose function's calls to SQS are slow.
type deadline struct {
	t          *testing.T
	production topology.Topology
	world      *World

	mu      sync.Mutex
	longest time.Duration
	full    int // invocations with a full batch
}

func (d *deadline) start(rule segmentd.Rule) {
	d.t.Helper()
	var err error
	if d.world, err = New(&d.production, segmentd.Options{EventLimit: -1}); err != nil {
		d.t.Fatal(err)
	}
	d.world.OnInvocation = d.invoked
	if err := d.world.Segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{rule}}); err != nil {
		d.t.Fatal(err)
	}
	options := local.PipelineOptions(&d.production, Endpoint)
	options.SegmentURL, options.WriteKey = SegmentURL, local.WriteKey
	newHandler, err := appdeliver.NewFactory(options.Deliver(), appdeliver.Parts{
		SQS: Client(slowTransport{d.world.ToSQS()}), Transport: d.world.Segment.HTTPClient().Transport,
		Metrics: io.Discard, Logger: slog.New(slog.DiscardHandler), Report: d.report,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.world.Deliver(func(queue string) lambda.Queue { return Slow(d.world.Feed(queue)) },
		lambda.InProcess(func() (lambda.Handler, error) { return newHandler() })); err != nil {
		d.t.Fatal(err)
	}
	d.world.Delivery.SetEnabled(false) // until all have been sent
}

func (d *deadline) end() {
	if err := d.world.End(); err != nil {
		d.t.Error(err)
	}
}

type slowTransport struct{ http.RoundTripper }

func (s slowTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(slowSQS)
	return s.RoundTripper.RoundTrip(r)
}

// send sends n messages of one event each, and then lets them be delivered.
func (d *deadline) send(n, keys, bytes int) {
	d.t.Helper()
	client, url := Client(d.world.ToSQS()), aws.String(QueueURL(d.production.Names.EventsQueue))
	filling := strings.Repeat("x", bytes-200)
	for from := 0; from < n; from += 10 {
		in := &awssqs.SendMessageBatchInput{QueueUrl: url}
		for i := from; i < from+10; i++ {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
				MessageBody: aws.String(fmt.Sprintf(`{"type":"track","event":"Run","userId":"u","messageId":"m-%d",`+
					`"writeKey":"key-%d","properties":{"x":"%s"}}`, i, i%keys, filling))})
		}
		if out, err := client.SendMessageBatch(d.t.Context(), in); err != nil || len(out.Failed) > 0 {
			d.t.Fatal(err, out.Failed)
		}
	}
	d.world.Delivery.SetEnabled(true)
}

func (d *deadline) invoked(i lambda.Invoked) {
	if i.Err != nil {
		d.t.Errorf("an invocation failed: %v", i.Err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.longest = max(d.longest, i.Duration)
}

func (d *deadline) report(r deliver.Report) {
	if r.VisibilityErrors+r.DeadLetterErrors > 0 {
		d.t.Errorf("of %d messages visibility was not changed in %d queues, and dead letters failed in %d", r.Messages,
			r.VisibilityErrors, r.DeadLetterErrors)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Messages == d.production.EventSources[0].BatchSize {
		d.full++
	}
}

func (d *deadline) check(batch int, atLeast time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t.Logf("the longest invocation took %v", d.longest)
	function, _ := d.production.Function(d.production.Names.DeliverFunction)
	if d.longest < atLeast || d.longest > function.Timeout-time.Second {
		d.t.Errorf("the longest invocation took %v, want %v to a second less than %v", d.longest, atLeast, function.Timeout)
	}
	if d.full == 0 {
		d.t.Errorf("no batch had %d messages", batch)
	}
}
