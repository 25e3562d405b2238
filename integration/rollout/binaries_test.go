package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	localsqs "github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var binaries = flag.Bool("binaries", false,
	"deploy a built function with a bug behind a good one, in half a minute of real time")

func TestMain(m *testing.M) { testutil.MainInVirtualTime(m) }

// The planted bug: deliver can read no message. It is not in the tree: the build replaces the line.
const (
	buggyFile = "shared/deliver/delivery.go"
	goodLine  = "if err := d.Decode(m.body, &m.content); err != nil {"
	badLine   = `if err := errors.Join(d.Decode(m.body, &m.content), errors.New("a planted bug")); err != nil {`
)

// buildBuggy builds deliver with the bug.
func buildBuggy(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, original := t.TempDir(), filepath.Join(root, buggyFile)
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(source, []byte(goodLine)) != 1 {
		t.Fatalf("%s has not the line once in which the bug is planted: %s", buggyFile, goodLine)
	}
	changed, overlay, path := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"),
		filepath.Join(dir, "deliver")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		changed: bytes.Replace(source, []byte(goodLine), []byte(badLine), 1), overlay: text} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "-overlay", overlay, "-tags", "lambda.norpc",
		"github.com/spillwayhq/spillway/functions/deliver").CombinedOutput()
	if err != nil {
		t.Fatalf("build deliver with a bug: %v\n%s", err, out)
	}
	return path
}

// speed is how many seconds of CloudWatch's and CodeDeploy's time pass in one: a minute takes 5 s.
const speed = 12

// A fastClock is a time that passes faster.
type fastClock struct{ began time.Time }

func (c fastClock) at(t time.Time) time.Time { return c.began.Add(speed * t.Sub(c.began)) }
func (c fastClock) now() time.Time           { return c.at(time.Now()) }

// A built is a pipeline of built functions whose metrics have the clock's time.
type built struct {
	t       *testing.T
	d       topology.Topology
	clock   fastClock
	metrics *cloudwatch.Store
	segment *localtest.Arrivals
	server  *localsqs.Server
	url     string // of SQS
	env     []string
	deliver *lambda.Function
	live    *lambda.Alias
	said    testutil.Buffer // by the hook

	mu   sync.Mutex
	rest []byte
	ran  map[string]int // invocations by version
}

// timestamp is that of a line of metrics.
var timestamp = regexp.MustCompile(`"Timestamp":(\d+)`)

// Write takes what the functions print.
func (b *built) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = append(b.rest, text...)
	for {
		line, after, ok := bytes.Cut(b.rest, []byte("\n"))
		if !ok {
			return len(text), nil
		}
		if m := timestamp.FindSubmatch(line); m != nil {
			milli, err := strconv.ParseInt(string(m[1]), 10, 64)
			if err != nil {
				b.t.Errorf("the line %s: %v", line, err)
			}
			line = bytes.Replace(line, m[0], fmt.Appendf(nil, `"Timestamp":%d`, b.clock.at(time.UnixMilli(milli)).UnixMilli()),
				1)
			if err := b.metrics.PutEMF(line); err != nil {
				b.t.Errorf("metrics: %v", err)
			}
		}
		b.rest = bytes.Clone(after)
	}
}

func (b *built) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func startBuilt(t *testing.T) *built {
	o := topology.DefaultOptions()
	o.Rollout, o.BatchSize, o.BatchingWindow = true, 10, 0
	b := &built{t: t, d: topology.New(o), clock: fastClock{time.Now().Truncate(time.Minute)}, ran: map[string]int{},
		segment: localtest.NewArrivals(), metrics: cloudwatch.NewStore(time.Hour)}
	b.metrics.Now = b.clock.now
	_, segmentURL := localtest.Segment(t, segmentd.Options{OnEvent: b.segment.Add, EventLimit: -1})
	b.server, b.url = localtest.SQS(t)
	b.must(local.CreateQueues(b.server, &b.d))
	b.env = localtest.DeliverEnvironment(b.url, "SPILLWAY_SEGMENT_ENDPOINT="+segmentURL, "SPILLWAY_WRITE_KEY=test")
	delivery, err := local.NewDelivery(&b.d, local.FeedFrom(b.server), b.code(testutil.Build(t, "functions/deliver")),
		quiet,
		func(i lambda.Invoked) {
			i.End = b.clock.at(i.End)
			feed.Invoked(b.metrics.Put, b.d.Names.DeliverFunction, i)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ran[i.Version]++
		})
	b.must(err)
	b.deliver = delivery.Function
	b.live, _ = b.deliver.Alias(topology.LiveAlias)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := delivery.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait(); b.deliver.Close() })
	return b
}

func (b *built) code(binary string) lambda.EnvironmentFactory {
	return lambda.Process(lambda.ProcessConfig{Path: binary, Env: b.env, Output: b})
}

// deploy lets the alias take a version over, and returns how many invocations each version had
// meanwhile.
func (b *built) deploy(v *lambda.Version, service *codedeploy.Service, hook lambda.Invoker) (r codedeploy.Result,
	old, new int) {
	alarm := b.d.VersionAlarm(b.d.Names.DeliverFunction, v.Number())
	e, err := cloudwatch.New(&topology.Topology{Names: b.d.Names, Alarms: []topology.Alarm{alarm}}, b.metrics,
		cloudwatch.Typical())
	b.must(err)
	before := b.versions()
	r, err = service.Deploy(b.t.Context(), codedeploy.Deployment{
		Alias: b.live, Version: v.Number(), Before: hook,
		Alarms: []string{alarm.Name}, States: codedeploy.Watch(e, b.clock.now), Poll: 30 * time.Second / speed,
		Config: codedeploy.Config{Share: topology.CanaryShare, Time: topology.CanaryTime / speed},
	})
	b.must(err)
	after := b.versions()
	return r, after[0] - before[0], after[1] - before[1]
}

// hook is the built function that tries a version of deliver.
func (b *built) hook(service *codedeploy.Service, v *lambda.Version) *lambda.Function {
	function := httptest.NewServer(lambda.NewAPI(b.deliver))
	deployments := httptest.NewServer(service)
	hook := lambda.NewFunction(lambda.FunctionConfig{Name: b.d.Names.RolloutFunction, Timeout: time.Minute,
		NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: testutil.Build(b.t, "functions/rollout"), Output: &b.said,
			Env: []string{"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey,
				"SPILLWAY_DELIVER_VERSION=" + v.ARN(), "AWS_ENDPOINT_URL_LAMBDA=" + function.URL,
				"AWS_ENDPOINT_URL_CODEDEPLOY=" + deployments.URL}})})
	b.t.Cleanup(func() {
		hook.Close()
		function.Close()
		deployments.Close()
	})
	return hook
}

// versions are how many invocations version 1 has had, and all others.
func (b *built) versions() (n [2]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for version, ran := range b.ran {
		if version == "1" {
			n[0] += ran
		} else {
			n[1] += ran
		}
	}
	return n
}

// send sends 25 events a second until ctx ends.
func (b *built) send(ctx context.Context) (sent int) {
	client, url := localtest.Client(b.url), local.QueueURL(b.url, b.d.Names.EventsQueue)
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; sent++ {
		if _, err := client.SendMessage(context.WithoutCancel(ctx), &awssqs.SendMessageInput{QueueUrl: &url,
			MessageBody: aws.String(event(sent))}); err != nil {
			b.t.Error(err)
			return sent
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return sent
}

func TestABuiltVersionWithABugGoesBackAndLosesNothing(t *testing.T) {
	if !*binaries {
		t.Skip("it takes half a minute: run it with -binaries")
	}
	t.Parallel()
	buggy := buildBuggy(t)
	b := startBuilt(t)
	var sending sync.WaitGroup
	sent := 0
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	sending.Go(func() { sent = b.send(ctx) })
	time.Sleep(5 * time.Second)
	b.deliver.UpdateCode(b.code(buggy))
	bad := b.deliver.Publish()

	service := codedeploy.New()
	hook := b.hook(service, bad)
	r, old, met := b.deploy(bad, service, hook)
	service.Wait()
	hook.Close() // all that it has said has arrived
	t.Logf("with the hook: %s: %s", r.Status, r.Reason)
	if r.Status != codedeploy.Failed || !r.Shifted.IsZero() || met != 0 ||
		!strings.Contains(b.said.String(), "a new version must not get traffic") {
		t.Errorf("the hook let it through: %+v; %d invocations of %d; %s", r, met, old+met, b.said.String())
	}
	r, old, met = b.deploy(bad, service, nil)
	share := float64(met) / float64(old+met)
	t.Logf("without the hook: %s after %v of the fast clock, %d of %d invocations were its; %s", r.Status,
		speed*r.Ended.Sub(r.Shifted), met, old+met, r.Reason)
	if r.Status != codedeploy.Stopped || speed*r.Ended.Sub(r.Shifted) > backWithin || share > mostShare || met == 0 {
		t.Errorf("%.2f of the invocations met it", share)
	}
	stop()
	sending.Wait()
	dead, _ := b.server.Queue(b.d.Names.DeadLetterQueue)
	deadLettered := dead.Stats().Events
	if deadLettered == 0 {
		t.Error("the version with the bug made no dead letters: the bug is not what it should be")
	}
	client := localtest.Client(b.url)
	_, err := deadletter.New(client, local.QueueURL(b.url, b.d.Names.DeadLetterQueue)).Redrive(t.Context(),
		sqsclient.New(client, local.QueueURL(b.url, b.d.Names.EventsQueue)), deadletter.RedriveOptions{
			Filter: deadletter.Filter{Reasons: []string{message.ReasonUndecodable}}})
	b.must(err)
	b.segment.Await(t, "every event that was sent", func() bool { return b.segment.Distinct() >= sent })
	for n := range sent {
		if len(b.segment.Get(id(n))) == 0 {
			t.Errorf("the event %d is lost", n)
		}
	}
	t.Logf("%d events: %d were dead letters and were redriven, none is lost", sent, deadLettered)
}
