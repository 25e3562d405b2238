package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/trial"
)

var quiet = slog.New(slog.DiscardHandler)

// A bug is what is wrong with a version of deliver.
type bug string

const (
	noBug   bug = ""
	mangles bug = "it sends Segment what Segment can't read, so that every event becomes a dead letter"
	hangs   bug = "it never reaches Segment, so that every event is retried"
	crashes bug = "every invocation ends with an error"
	stalls  bug = "every invocation lasts until its timeout"
	forgets bug = "it answers that everything is done, so that what is to be retried is lost"
)

// A plan is one deployment, and what is different about it.
type plan struct {
	seed      uint64
	old, new  bug
	perMinute float64       // messages
	lag       time.Duration // of the metrics
	poll      time.Duration // of CodeDeploy
	away      bool          // Segment answers nobody
	noHook    bool
	alarm     func(*topology.Alarm) // nil: as it is
}

// A found is what became of a plan.
type found struct {
	codedeploy.Result
	during, touched int // invocations between Shifted and Ended, and those of them of the new version
	sent, lost      int // events
	dead            int // that were dead letters, before somebody redrove them
	peak            int // invocations of both versions at the same time
}

func (f *found) String() string {
	return fmt.Sprintf("%s after %v: %d of %d invocations were its, %d events, %d dead letters, %d lost; %s", f.Status,
		f.Ended.Sub(f.Shifted), f.touched, f.during, f.sent, f.dead, f.lost, f.Reason)
}

// A rig is a pipeline in a bubble in which a new version of deliver takes over.
type rig struct {
	plan
	t       *testing.T
	d       topology.Topology
	world   *virtual.World
	metrics *cloudwatch.Store
	random  *rand.Rand

	mu        sync.Mutex
	delivered map[string]bool
	ran       []ran
	now, peak int
}

// Traffic begins before a deployment, and goes on after it.
const (
	warmUp   = 3 * time.Minute
	coolDown = time.Minute
)

// ran is an invocation.
type ran struct {
	at      time.Time
	version string
}

// play plays one deployment.
func play(t *testing.T, p plan) (f found) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Duration(p.seed%60) * time.Second) // a deployment begins anywhere in a minute
		o := topology.DefaultOptions()
		o.Rollout = true
		r := &rig{plan: p, t: t, d: topology.New(o), metrics: cloudwatch.NewStore(time.Hour), delivered: map[string]bool{},
			random: rand.New(rand.NewPCG(p.seed, 0x5eed))}
		f = r.play()
	})
	return f
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) play() (f found) {
	var err error
	r.world, err = virtual.New(&r.d, segmentd.Options{OnEvent: r.arrive, EventLimit: -1})
	r.must(err)
	defer func() { r.must(r.world.End()) }()
	if r.away {
		r.must(r.world.Segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{{Fault: segmentd.FaultReset}}}))
	}
	r.world.OnInvocation = func(i lambda.Invoked) { feed.Invoked(r.metrics.Put, r.d.Names.DeliverFunction, i) }
	r.must(r.world.Deliver(r.world.Feed, r.code(r.old)))
	r.world.Live().Seed(r.seed)
	var sending sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	sending.Go(func() { f.sent = r.send(ctx) })
	time.Sleep(warmUp)
	r.world.Delivery.Function.UpdateCode(r.code(r.new))
	v := r.world.Delivery.Function.Publish()
	service := codedeploy.New()
	var hook lambda.Invoker
	if !r.noHook {
		tries := virtual.NewHook(&r.d, service, v, nil, quiet)
		defer tries.Close()
		hook = tries
	}
	defer service.Wait()
	f.Result = r.deploy(r.world.Live(), v, service, hook)
	time.Sleep(coolDown)
	stop()
	sending.Wait()
	r.must(r.world.Segment.SetScript(segmentd.Script{}))
	f.dead, f.lost = r.settle(f.sent, f.Status == codedeploy.Succeeded && r.new != noBug)
	r.count(&f)
	return f
}

// count counts the invocations of a deployment that has ended.
func (r *rig) count(f *found) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.ran {
		if !f.Shifted.IsZero() && !i.at.Before(f.Shifted) && i.at.Before(f.Ended) {
			f.during++
			if i.version != "1" {
				f.touched++
			}
		}
	}
	f.peak = r.peak
}

// deploy lets an alias take the version over, as the deployment on AWS does. hook may be nil.
func (r *rig) deploy(live *lambda.Alias, v *lambda.Version, service *codedeploy.Service,
	hook lambda.Invoker) codedeploy.Result {
	alarm := r.d.VersionAlarm(v.Function().Name(), v.Number())
	if r.alarm != nil {
		r.alarm(&alarm)
	}
	assumed := cloudwatch.Typical()
	assumed.Lags.Own, assumed.Lags.Lambda = r.lag, r.lag
	e, err := cloudwatch.New(&topology.Topology{Names: r.d.Names, Alarms: []topology.Alarm{alarm}}, r.metrics, assumed)
	r.must(err)
	result, err := service.Deploy(r.t.Context(), codedeploy.Deployment{
		Before: hook, Alias: live, Version: v.Number(), Alarms: []string{alarm.Name}, States: codedeploy.Watch(e, time.Now),
		Config: codedeploy.Config{Share: topology.CanaryShare, Time: topology.CanaryTime}, Poll: r.poll,
	})
	r.must(err)
	return result
}

// code is deliver with a bug.
func (r *rig) code(b bug) lambda.EnvironmentFactory {
	options := local.PipelineOptions(&r.d, virtual.Endpoint)
	options.SegmentURL, options.WriteKey = virtual.SegmentURL, local.WriteKey
	return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
		in := options.Deliver()
		in.Version = info.Version
		e, err := lambda.InProcess(func() (lambda.Handler, error) {
			return appdeliver.New(in, appdeliver.Parts{SQS: virtual.Client(r.world.ToSQS()), Metrics: storing{r.metrics},
				Logger: quiet, Transport: toSegment{r.world.Segment.HTTPClient().Transport, b}})
		})(ctx, info)
		return &environment{e, r, b, info.Version}, err
	}
}

// storing is where the functions write their metrics to.
type storing struct{ *cloudwatch.Store }

func (s storing) Write(line []byte) (int, error) { return len(line), s.PutEMF(line) }

// toSegment is the way to Segment of a version with a bug.
type toSegment struct {
	http.RoundTripper
	bug bug
}

func (s toSegment) RoundTrip(q *http.Request) (*http.Response, error) {
	time.Sleep(50 * time.Millisecond)
	switch s.bug {
	case hangs:
		q.Body.Close()
		return nil, errors.New("no such host")
	case mangles:
		body, err := io.ReadAll(q.Body)
		q.Body.Close()
		if err != nil {
			return nil, err
		}
		q = q.Clone(q.Context())
		q.Body, q.ContentLength = io.NopCloser(strings.NewReader("x"+string(body))), int64(len(body)+1)
	}
	return s.RoundTripper.RoundTrip(q)
}

type environment struct {
	lambda.Environment
	*rig
	bug     bug
	version string
}

func (e *environment) Invoke(ctx context.Context, i lambda.Invocation) ([]byte, error) {
	if trial.Is(i.Payload) { // it is nobody's, and none of the event source's
		return e.run(ctx, i)
	}
	e.mu.Lock()
	e.ran = append(e.ran, ran{time.Now(), e.version})
	e.now++
	e.peak = max(e.peak, e.now)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.now--
	}()
	return e.run(ctx, i)
}

// failures are the messages that an answer names, also that of a trial.
var failures = regexp.MustCompile(`"batchItemFailures":\[[^]]*\]`)

func (e *environment) run(ctx context.Context, i lambda.Invocation) ([]byte, error) {
	if e.bug == crashes {
		return nil, &lambda.FunctionError{Type: "errorString", Message: "the function ends with an error",
			Payload: []byte("{}")}
	}
	if e.bug == stalls {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer, err := e.Environment.Invoke(ctx, i)
	if e.bug == forgets {
		answer = failures.ReplaceAll(answer, []byte(`"batchItemFailures":[]`))
	}
	return answer, err
}

// arrive notes what Segment gets.
func (r *rig) arrive(e segmentd.Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delivered[e.MessageID] = true
}

// id is the messageId of an event.
func id(n int) string { return fmt.Sprint(n) }

func event(n int) string {
	return fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":"u","messageId":%q,`+
		`"timestamp":"2026-01-02T03:04:05.000Z"}`, id(n))
}

// send sends messages of an event each until ctx ends, at random times.
func (r *rig) send(ctx context.Context) (sent int) {
	client, url := virtual.Client(r.world.ToSQS()), virtual.QueueURL(r.d.Names.EventsQueue)
	for ctx.Err() == nil {
		if _, err := client.SendMessage(context.Background(), &awssqs.SendMessageInput{QueueUrl: &url,
			MessageBody: aws.String(event(sent))}); err != nil {
			r.t.Error(err)
			return sent
		}
		sent++
		r.pause(ctx)
	}
	return sent
}

// pause waits for the next event, or until ctx ends.
func (r *rig) pause(ctx context.Context) {
	wait := time.NewTimer(time.Duration(r.random.ExpFloat64() / r.perMinute * float64(time.Minute)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// settle lets the good version have what is left, redrives the dead letters, and counts what
// Segment never got.
func (r *rig) settle(sent int, bad bool) (dead, lost int) {
	if bad || r.old != noBug && r.world.Live().Routing().Version == "1" {
		return 0, 0 // nobody has mended it
	}
	if !r.world.Drained(2 * time.Hour) {
		r.t.Error("the queue has not drained")
	}
	client := virtual.Client(r.world.ToSQS())
	dead = int(r.world.Queue(r.d.Names.DeadLetterQueue).Stats().Events)
	_, err := deadletter.New(client, virtual.QueueURL(r.d.Names.DeadLetterQueue)).Redrive(context.Background(),
		sqsclient.New(client, virtual.QueueURL(r.d.Names.EventsQueue)), deadletter.RedriveOptions{})
	r.must(err)
	if !r.world.Drained(2 * time.Hour) {
		r.t.Error("what was redriven is not delivered")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range sent {
		if !r.delivered[id(n)] {
			lost++
		}
	}
	return dead, lost
}
