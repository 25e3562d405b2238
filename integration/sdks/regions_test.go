package sdks

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/route53"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	appcanary "github.com/spillwayhq/spillway/shared/app/canary"
	"github.com/spillwayhq/spillway/shared/canary"
)

// A clock lets a minute of the alarms and of the name take less: all their numbers are
// production's. On a slow machine a minute takes longer, and the alarms do not see that. It is safe
// for concurrent use.
type clock struct {
	takes time.Duration // a minute, at least

	mu      sync.Mutex
	minutes int
	since   time.Time // when the minute began
}

// epoch is when every test begins, by its clock.
var epoch = time.Date(2018, time.September, 24, 0, 0, 0, 0, time.UTC)

// now is the time of the alarms.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	part := min(float64(time.Since(c.since))/float64(c.takes), 0.999)
	return epoch.Add(time.Duration((float64(c.minutes) + part) * float64(time.Minute)))
}

// next ends the minute.
func (c *clock) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.minutes, c.since = c.minutes+1, time.Now()
}

// A region is one `spillway up`, and what AWS has around it: the schedule with the canary, and
// CloudWatch.
type region struct {
	name, dir           string
	segment             string
	sqsPort, ingestPort string
	process             *testutil.Process
	metrics             *cloudwatch.Store
	canary              *appcanary.Function
	queue               *sqs.Client

	mu   sync.Mutex // held for a minute's work
	gone bool
	at   time.Time // the minute
}

// sharedName is the name in front of the regions, as their canaries write it.
const sharedName = "events.test"

var ingestEndpoint = regexp.MustCompile(`ingest endpoint\s+(http://\S+)`)

func newRegion(t *testing.T, name, segmentURL string) *region {
	t.Helper()
	r := &region{name: name, dir: t.TempDir(), segment: segmentURL, sqsPort: testutil.FreePort(t),
		ingestPort: testutil.FreePort(t), metrics: cloudwatch.NewStore(24 * time.Hour)}
	r.start(t)
	r.queue = localtest.Client(r.sqsURL(), func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	var err error
	r.canary, err = appcanary.New(appcanary.Options{Name: topology.DefaultNames().Pipeline,
		IngestURL:  "http://" + sharedName,
		IngestDial: r.ingest()}, appcanary.Parts{Metrics: io.Discard, Logger: quiet, Report: r.tried})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start starts the region's pipeline, again if it ran before.
func (r *region) start(t *testing.T) {
	t.Helper()
	r.process = testutil.Serve(t,
		exec.Command(testutil.Build(t, "cmd/spillway"), "up", "--console=false", "--canary=false",
			"--allow-host="+sharedName,
			"--data-dir="+r.dir, "--segment="+r.segment, "--write-key="+writeKey, "--sqs-port="+r.sqsPort,
			"--ingest-port="+r.ingestPort), ingestEndpoint)
}

func (r *region) ingest() string { return "127.0.0.1:" + r.ingestPort }
func (r *region) sqsURL() string { return "http://127.0.0.1:" + r.sqsPort }
func (r *region) events() string {
	return local.QueueURL(r.sqsURL(), topology.DefaultNames().EventsQueue)
}

// tried puts the canary's metrics into the region's CloudWatch.
func (r *region) tried(result canary.Result) {
	for _, m := range result.Metrics() {
		r.metrics.Put(r.at, cloudwatch.Key{Own: "canary", Pipeline: topology.DefaultNames().Pipeline, Name: m.Name},
			m.Values...)
	}
}

// minute is what AWS does in the region each minute.
func (r *region) minute(ctx context.Context, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	r.at = at
	_, _ = r.canary.Invoke(ctx, nil) // it reports its failures by metrics
	visible := types.QueueAttributeNameApproximateNumberOfMessages
	out, err := r.queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(r.events()),
		AttributeNames: []types.QueueAttributeName{visible}})
	if err != nil {
		return
	}
	if n, err := strconv.ParseFloat(out.Attributes[string(visible)], 64); err == nil {
		r.metrics.Put(at, cloudwatch.Key{Queue: topology.DefaultNames().EventsQueue,
			Name: "ApproximateNumberOfMessagesVisible"}, n)
	}
}

// setGone says whether nothing of the region is there: no schedule, no metrics. It waits for the
// canary under way.
func (r *region) setGone(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
}

// regions are two of them behind one name, whose clients are all near the first.
type regions struct {
	*clock
	URL       string // of the name
	near, far *region

	state struct {
		sync.Mutex
		changes []route53.Change
		opened  map[string]int // connections by region
	}
}

// newRegions starts them. The name is a proxy that each connection asks where to go, as a client
// asks its resolver.
func newRegions(t *testing.T, segmentURL string, minute time.Duration) *regions {
	t.Helper()
	rs := &regions{near: newRegion(t, "near", segmentURL), far: newRegion(t, "far", segmentURL)}
	rs.state.opened = map[string]int{}
	name := route53.NewName(topology.RecordTTL)
	production := topology.Default()
	for _, r := range []*region{rs.near, rs.far} {
		check, err := route53.NewCheck(&production, r.metrics, cloudwatch.Typical())
		if err != nil {
			t.Fatal(err)
		}
		name.Add(r.name, check)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rs.URL, rs.clock = "http://"+l.Addr().String(), &clock{takes: minute, since: time.Now()}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { rs.serve(l, name.Resolver("near", "far"), &running) })
	running.Go(func() { rs.run(ctx, t, name) })
	t.Cleanup(func() { stop(); _ = l.Close(); running.Wait() })
	return rs
}

// run lets the minutes pass.
func (rs *regions) run(ctx context.Context, t *testing.T, name *route53.Name) {
	for ; ctx.Err() == nil; rs.next() {
		at, passed := rs.now().Truncate(time.Minute), time.After(rs.takes)
		var both sync.WaitGroup
		for _, r := range []*region{rs.near, rs.far} {
			both.Go(func() { r.minute(context.WithoutCancel(ctx), at) })
		}
		both.Wait()
		changes, err := name.Evaluate(at)
		if err != nil {
			t.Error(err)
		}
		rs.state.Lock()
		rs.state.changes = append(rs.state.changes, changes...)
		rs.state.Unlock()
		select {
		case <-passed:
		case <-ctx.Done():
		}
	}
}

func (rs *regions) serve(l net.Listener, resolver *route53.Resolver, running *sync.WaitGroup) {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			running.Go(func() { rs.connect(client, resolver) })
		}
	}
}

// connect joins a client with the region to which the name leads it. A region that is not there
// resets the connection.
func (rs *regions) connect(client net.Conn, resolver *route53.Resolver) {
	defer client.Close()
	r := rs.near
	if resolver.Region(rs.now()) == rs.far.name {
		r = rs.far
	}
	rs.state.Lock()
	rs.state.opened[r.name]++
	rs.state.Unlock()
	server, err := net.Dial("tcp", r.ingest())
	if err != nil {
		_ = client.(*net.TCPConn).SetLinger(0)
		return
	}
	defer server.Close()
	go func() {
		defer server.Close()
		_, _ = io.Copy(server, client)
	}()
	_, _ = io.Copy(client, server)
}

// pass waits until more than d has passed by the clock.
func (rs *regions) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end, deadline := rs.now().Add(d), time.Now().Add(testTimeout); !rs.now().After(end); time.Sleep(rs.takes / 10) {
		if time.Now().After(deadline) {
			t.Fatalf("%v have not passed", d)
		}
	}
}

// changed returns the last change of a region's health; false: there was none.
func (rs *regions) changed(region string) (last route53.Change, any bool) {
	rs.state.Lock()
	defer rs.state.Unlock()
	for _, c := range rs.state.changes {
		if c.Region == region {
			last, any = c, true
		}
	}
	return last, any
}

// connections are how many were made to each region so far.
func (rs *regions) connections() (near, far int) {
	rs.state.Lock()
	defer rs.state.Unlock()
	return rs.state.opened["near"], rs.state.opened["far"]
}
