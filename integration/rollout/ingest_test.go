package rollout

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	appingest "github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const refuses bug = "it can't read the write keys, so that every request is answered 429"

// An ingestRig is the ingest function in a bubble, of which a new version takes over. Clients send
// a request again until it is accepted, as Segment's SDKs do.
type ingestRig struct {
	*rig
	live     *lambda.Alias
	sending  sync.WaitGroup
	accepted int
}

// playIngest plays one deployment of ingest. The hook would find these bugs, so it is left out.
func playIngest(t *testing.T, p plan) (f found) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Duration(p.seed%60) * time.Second)
		o := topology.DefaultOptions()
		o.Rollout = true
		r := &ingestRig{rig: &rig{plan: p, t: t, d: topology.New(o), metrics: cloudwatch.NewStore(time.Hour),
			random: rand.New(rand.NewPCG(p.seed, 0x1e5))}}
		f = r.play()
	})
	return f
}

func (r *ingestRig) play() (f found) {
	var err error
	r.world, err = virtual.New(&r.d, segmentd.Options{EventLimit: -1})
	r.must(err)
	defer func() { r.must(r.world.End()) }()
	function := lambda.NewFunction(lambda.FunctionConfig{Name: r.d.Names.IngestFunction, Timeout: 15 * time.Second,
		NewEnvironment: r.code(r.old)})
	defer function.Close()
	r.live, err = function.CreateAlias(topology.LiveAlias, lambda.Routing{Version: function.Publish().Number()})
	r.must(err)
	r.live.Seed(r.seed)
	ctx, stop := context.WithCancel(context.Background())
	r.sending.Go(func() { f.sent = r.send(ctx) })
	time.Sleep(warmUp)
	function.UpdateCode(r.code(r.new))
	f.Result = r.deploy(r.live, function.Publish(), codedeploy.New(), nil)
	time.Sleep(coolDown)
	stop()
	r.sending.Wait()
	r.count(&f)
	if f.lost = f.sent - r.accepted; r.accepted != int(r.world.Events().Stats().Events) {
		r.t.Errorf("%d events were accepted, and %d are in the queue", r.accepted, r.world.Events().Stats().Events)
	}
	return f
}

// code is ingest with a bug.
func (r *ingestRig) code(b bug) lambda.EnvironmentFactory {
	options := local.PipelineOptions(&r.d, virtual.Endpoint)
	return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
		o := options.Ingest()
		o.Version, o.WriteKeysParameters, o.Server = info.Version, []string{"/keys"}, nil
		e, err := lambda.InProcess(func() (lambda.Handler, error) {
			e, err := appingest.New(context.Background(), o, appingest.Parts{SQS: virtual.Client(r.world.ToSQS()),
				SSM: writeKeys{b}, Metrics: storing{r.metrics}, Logger: quiet})
			if err != nil {
				return nil, err
			}
			return e.Lambda(), nil
		})(ctx, info)
		return &ingestEnvironment{environment{e, r.rig, b, info.Version}}, err
	}
}

// writeKeys is SSM, which a version with the bug can't read.
type writeKeys struct{ bug bug }

func (w writeKeys) GetParameter(context.Context, string, bool) (ssm.Value, error) {
	if w.bug == refuses {
		return ssm.Value{}, errors.New("AccessDeniedException")
	}
	return ssm.Value{Text: `{"writeKeys":[{"name":"web","writeKey":"web"}]}`, Version: 1}, nil
}

// ingestEnvironment writes Lambda's metrics, which the event source does for deliver.
type ingestEnvironment struct{ environment }

func (e *ingestEnvironment) Invoke(ctx context.Context, i lambda.Invocation) ([]byte, error) {
	answer, err := e.environment.Invoke(ctx, i)
	feed.Invoked(e.metrics.Put, e.d.Names.IngestFunction,
		lambda.Invoked{Version: e.version, End: time.Now(), Duration: time.Millisecond, Concurrent: 1, Err: err})
	return answer, err
}

// send sends requests at random times until ctx ends, each until it is accepted.
func (r *ingestRig) send(ctx context.Context) (sent int) {
	for ; ctx.Err() == nil; sent++ {
		n := sent
		r.sending.Go(func() { r.request(n) })
		r.pause(ctx)
	}
	return sent
}

// maxTries are more than SDKs make; a tenth of the requests meet the bug each time.
const maxTries = 10

func (r *ingestRig) request(n int) {
	payload, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": "/v1/track", "body": event(n), "isBase64Encoded": false,
		"headers": map[string]string{"content-type": "application/json",
			"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("web:"))},
		"requestContext": map[string]any{"stage": "$default", "domainName": "events.test",
			"http": map[string]any{"method": http.MethodPost, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.9"}},
	})
	if err != nil {
		r.t.Error(err)
		return
	}
	for range maxTries {
		var reply struct{ StatusCode int }
		answer, err := r.live.Invoke(context.Background(), payload)
		if err == nil && json.Unmarshal(answer, &reply) == nil && reply.StatusCode == http.StatusOK {
			r.mu.Lock()
			r.accepted++
			r.mu.Unlock()
			return
		}
		time.Sleep(5 * time.Second)
	}
}

func TestABadVersionOfIngestGoesBackAndClientsGetThrough(t *testing.T) {
	t.Parallel()
	for _, b := range []bug{refuses, crashes} {
		all := playAll(t, *seeds, playIngest, busy(b))
		for _, text := range broken(all) {
			t.Errorf("%s: %s", b, text)
		}
		t.Logf("%s: %s", b, summary(all))
	}
	for _, f := range playAll(t, max(1, *seeds/10), playIngest, busy(noBug)) {
		if f.Status != codedeploy.Succeeded || f.lost > 0 {
			t.Errorf("a good version: %s", &f)
		}
	}
	for _, f := range playAll(t, max(1, *seeds/10), playIngest, func(seed uint64, r *rand.Rand) plan {
		p := busy(noBug)(seed, r)
		p.old = crashes
		return p
	}) {
		if f.Status != codedeploy.Succeeded {
			t.Errorf("the remedy of a version that crashes: %s", &f)
		}
	}
}
