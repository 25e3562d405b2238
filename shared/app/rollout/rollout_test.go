package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
	"github.com/spillwayhq/spillway/shared/trial"
)

var _ lambda.Handler = (*Function)(nil)

// handle is a version's function.
type handle func(context.Context, []byte) ([]byte, error)

// cloud is Lambda with a version of each function, and CodeDeploy with a deployment. It implements
// http.RoundTripper.
type cloud struct {
	versions  map[string]handle // by NAME:VERSION
	throttles int               // how many invocations are refused before the first is taken
	denies    int               // the same with another error
	creator   string            // of the deployment; empty: CodeDeploy does not say
	lost      int               // calls of CodeDeploy that fail before one is heard

	mu      sync.Mutex
	invoked int
	told    []string // what CodeDeploy was told: deployment, hook and status
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return c.codeDeploy(target, body)
	}
	c.mu.Lock()
	c.invoked++
	throttled, denied := c.throttles > 0, c.denies > 0
	c.throttles, c.denies = c.throttles-1, c.denies-1
	c.mu.Unlock()
	switch {
	case throttled:
		return answer(http.StatusTooManyRequests, `{"message":"Rate Exceeded."}`, "X-Amzn-Errortype",
			"TooManyRequestsException"), nil
	case denied:
		return answer(http.StatusForbidden, `{"message":"no"}`, "X-Amzn-Errortype", "AccessDeniedException"), nil
	}
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/invocations")
	version := c.versions[name+":"+r.URL.Query().Get("Qualifier")]
	if version == nil {
		return answer(http.StatusNotFound, `{"message":"Function not found"}`, "X-Amzn-Errortype",
			"ResourceNotFoundException"), nil
	}
	out, err := version(r.Context(), body)
	if err != nil {
		text, _ := json.Marshal(map[string]string{"errorMessage": err.Error()})
		return answer(http.StatusOK, string(text), "X-Amz-Function-Error", "Unhandled", "X-Amz-Log-Result",
			"cGFuaWM6IGJ1Zwo="), nil
	}
	return answer(http.StatusOK, string(out)), nil
}

func (c *cloud) codeDeploy(target string, body []byte) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var in map[string]string
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	switch target {
	case "CodeDeploy_20141006.GetDeployment":
		if c.creator == "" {
			return answer(http.StatusBadRequest, `{"__type":"AccessDeniedException"}`), nil
		}
		return answer(http.StatusOK, fmt.Sprintf(`{"deploymentInfo":{"creator":%q}}`, c.creator)), nil
	case "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus":
		if c.lost--; c.lost >= 0 {
			return nil, errors.New("connection reset")
		}
		c.told = append(c.told, in["deploymentId"]+" "+in["lifecycleEventHookExecutionId"]+" "+in["status"])
		return answer(http.StatusOK, `{}`), nil
	}
	return answer(http.StatusBadRequest, `{"__type":"UnknownOperationException"}`), nil
}

func answer(status int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

const hookEvent = `{"DeploymentId":"d-1","LifecycleEventHookExecutionId":"h-1"}`

// run invokes the hook, and returns what it answered and what it logged.
func (c *cloud) run(t *testing.T, o Options, payload string) (v Result, log string) {
	t.Helper()
	config := aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.test"),
		HTTPClient: &http.Client{Transport: c}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	var out strings.Builder
	f, err := New(o, Parts{Lambda: signed.Lambda(config), CodeDeploy: signed.CodeDeploy(config),
		Logger: slog.New(slog.NewJSONHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	answer, err := f.Invoke(ctx, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		t.Fatal(err)
	}
	return v, out.String()
}

var both = Options{Deliver: "arn:aws:lambda:eu-west-1:123456789012:function:spillway-deliver:7",
	Ingest: "spillway-ingest:9"}

// theVersions are the real functions, in an environment in which nothing is reached.
func theVersions(t *testing.T) map[string]handle {
	t.Helper()
	d, err := deliver.New(deliver.Options{QueueURL: "http://sqs.test/1/events",
		DeadLetterQueueURL: "http://sqs.test/1/dead",
		Endpoint:           "http://segment.test", Gzip: true},
		deliver.Parts{Metrics: never{t}, Logger: slog.New(slog.NewTextHandler(never{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	i, err := ingest.New(t.Context(), ingest.Options{QueueURL: "http://sqs.test/1/events",
		DeadLetterQueueURL: "http://sqs.test/1/dead", FallbackQueueURLs: []string{"http://elsewhere.test/1/events"}},
		ingest.Parts{Metrics: never{t}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]handle{"spillway-deliver:7": d.Invoke, "spillway-ingest:9": i.Lambda().Invoke}
}

// never is a log that must stay empty: what nobody sent is in no metric and no log.
type never struct{ t *testing.T }

func (n never) Write(p []byte) (int, error) {
	n.t.Errorf("this was written: %s", p)
	return len(p), nil
}

func TestTheVersionsOfThisReleasePassTheirTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{versions: theVersions(t), creator: "CloudFormation"}
		began := time.Now()
		if v, log := c.run(t, both, hookEvent); v.Status != "Succeeded" || len(v.Problems) > 0 ||
			strings.Contains(log, "ERROR") {
			t.Errorf("%+v\n%s", v, log)
		}
		if len(c.told) != 1 || c.told[0] != "d-1 h-1 Succeeded" {
			t.Errorf("CodeDeploy was told %q", c.told)
		}
		if c.invoked != 6 || time.Since(began) > time.Second {
			t.Errorf("%d invocations took %v", c.invoked, time.Since(began))
		}
	})
}

// changed is a version whose outcomes differ from what the real one's are.
func changed(h handle, change func(*trial.Outcome)) handle {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		out, err := h(ctx, payload)
		if err != nil {
			return nil, err
		}
		o, err := trial.ReadOutcome(out)
		if err != nil {
			return nil, err
		}
		change(&o)
		return json.Marshal(map[string]any{"spillwayTrial": o})
	}
}

func TestAVersionThatFailsATrialMustNotGetTraffic(t *testing.T) {
	const deliverName, ingestName = "spillway-deliver:7", "spillway-ingest:9"
	for name, c := range map[string]struct {
		version string
		breaks  func(handle) handle
		want    string
	}{
		"it crashes": {deliverName, func(handle) handle {
			return func(context.Context, []byte) ([]byte, error) { return nil, errors.New("exit status 2") }
		}, `the invocation failed (Unhandled): {"errorMessage":"exit status 2"}; the end of its log: panic: bug`},
		"it takes a trial for an event": {deliverName, func(handle) handle {
			return func(context.Context, []byte) ([]byte, error) { return []byte(`{"batchItemFailures":[]}`), nil }
		}, "the version does not know trials"},
		"it answers no JSON": {ingestName, func(handle) handle {
			return func(context.Context, []byte) ([]byte, error) { return []byte(`x`), nil }
		}, "read the answer to a trial"},
		"it drops an event": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				for i := range o.Segment {
					o.Segment[i].Body = strings.ReplaceAll(o.Segment[i].Body, otherGoodID, "gone")
				}
			})
		}, "the event trial-good-2 reached Segment 0 times, not 1"},
		"it rounds numbers": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				for i := range o.Segment {
					o.Segment[i].Body = strings.ReplaceAll(o.Segment[i].Body, precise, "9007199254740992")
				}
			})
		}, "an event is not as it was sent"},
		"it makes dead letters of everything": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) { o.Segment = nil; o.Sent = append(o.Sent, o.Sent...) })
		}, "the event trial-good-1 reached Segment 0 times, not 1"},
		"it makes no dead letters": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) { o.Sent = nil })
		}, `trial-rejected is not a dead letter with the reason "rejected"`},
		"its dead letters go back to the events queue": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				for i := range o.Sent {
					o.Sent[i].Queue = trial.EventsQueue
				}
			})
		}, "a message was sent to the queue events"},
		"it deletes what is throttled": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) { o.Answer = json.RawMessage(`{"batchItemFailures":[]}`) })
		}, `retained for retry are the messages []`},
		"it retries everything": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				o.Answer = json.RawMessage(`{"batchItemFailures":[{"itemIdentifier":"good"},{"itemIdentifier":"throttled"}]}`)
				o.Log = []string{"the disk is on fire"}
			})
		}, `not the throttled one alone; its log: the disk is on fire`},
		"it retries at once": {deliverName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) { o.Visibility["throttled"] = 0 })
		}, "the visibility timeouts are map[throttled:0]"},
		"it refuses everything": {ingestName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) { o.Answer = json.RawMessage(`{"statusCode":400,"headers":{},"body":""}`) })
		}, "a good batch: the answer is 400, not 200"},
		"it accepts without a queue": {ingestName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				o.Answer, o.Sent = json.RawMessage(`{"statusCode":200,"headers":{}}`),
					nil
			})
		}, "the events queue has the event trial-good-1 0 times, not once"},
		"it does not say when to retry": {ingestName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				o.Answer = json.RawMessage(strings.ReplaceAll(string(o.Answer), "Retry-After", "X-Gone"))
			})
		}, "a good batch while the queue fails: the answer 429 has no Retry-After"},
		"it sends invalid events on": {ingestName, func(h handle) handle {
			return changed(h, func(o *trial.Outcome) {
				for i := range o.Sent {
					o.Sent[i].Queue = trial.EventsQueue
				}
			})
		}, "a batch with an invalid event: the events queue has not the 1 events"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := &cloud{versions: theVersions(t)}
				world.versions[c.version] = c.breaks(world.versions[c.version])
				v, log := world.run(t, both, hookEvent)
				if v.Status != "Failed" || len(v.Problems) != 1 || !strings.Contains(v.Problems[0], c.want) ||
					!strings.HasPrefix(v.Problems[0], strings.Replace(c.version, ":", " version ", 1)) {
					t.Errorf("%+v, want a problem with %q", v, c.want)
				}
				if len(world.told) != 1 || world.told[0] != "d-1 h-1 Failed" || !strings.Contains(log, `"level":"ERROR"`) {
					t.Errorf("CodeDeploy was told %q; the log is\n%s", world.told, log)
				}
			})
		})
	}
}

// A version that lacks a permission or a parameter would fail at each event.
func TestAVersionThatCannotReadItsParametersMustNotGetTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := deliver.New(deliver.Options{EndpointParameter: "/segment"},
			deliver.Parts{SSM: denied{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		i, err := ingest.New(t.Context(), ingest.Options{WriteKeysParameters: []string{"/keys"}},
			ingest.Parts{SSM: denied{}, Metrics: io.Discard, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c := &cloud{versions: map[string]handle{"spillway-deliver:7": d.Invoke, "spillway-ingest:9": i.Lambda().Invoke}}
		v, _ := c.run(t, both, hookEvent)
		if v.Status != "Failed" || len(v.Problems) != 2 ||
			!strings.Contains(v.Problems[0], "the event trial-good-1 reached Segment 0 times") ||
			!strings.Contains(v.Problems[1], "a good batch: the answer is 429") {
			t.Errorf("%+v", v)
		}
		for _, problem := range v.Problems {
			if !strings.Contains(problem, "AccessDenied") {
				t.Errorf("%s does not say that the parameter can't be read", problem)
			}
		}
	})
}

// denied is an SSM whose permission is missing.
type denied struct{}

func (denied) GetParameter(context.Context, string, bool) (ssm.Value, error) {
	return ssm.Value{}, errors.New("AccessDenied")
}

// A backlog uses all of deliver's concurrency, and a role that was made just now is not known
// everywhere: neither says anything about the version.
func TestATrialIsMadeAgainUntilLambdaTakesIt(t *testing.T) {
	for name, c := range map[string]struct {
		world  *cloud
		status string
		within time.Duration
	}{
		"throttled for a while":  {&cloud{throttles: 8}, "Succeeded", 2 * time.Minute},
		"throttled all the time": {&cloud{throttles: 1 << 20}, "Failed", 5 * time.Minute},
		"refused for a moment":   {&cloud{denies: 3}, "Succeeded", 20 * time.Second},
		"refused":                {&cloud{denies: 1 << 20}, "Failed", 4 * time.Minute},
		"CodeDeploy is away":     {&cloud{lost: 4}, "Succeeded", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := c.world
				world.versions = theVersions(t)
				began := time.Now()
				if v, _ := world.run(t, both, hookEvent); v.Status != c.status {
					t.Errorf("%+v", v)
				}
				if took := time.Since(began); took > c.within || len(world.told) != 1 || world.told[0] != "d-1 h-1 "+c.status {
					t.Errorf("after %v CodeDeploy was told %q", took, world.told)
				}
			})
		})
	}
}

// The way back must be free: the version before may be older than trials, and whatever is wrong
// with it, the one that it replaces is worse.
func TestADeploymentThatGoesBackIsNotTried(t *testing.T) {
	for _, creator := range []string{"codeDeployRollback", "CloudFormationRollback"} {
		synctest.Test(t, func(t *testing.T) {
			c := &cloud{creator: creator}
			v, log := c.run(t, both, hookEvent)
			if v.Status != "Succeeded" || c.invoked != 0 || len(c.told) != 1 || c.told[0] != "d-1 h-1 Succeeded" ||
				!strings.Contains(log, "the deployment goes back") {
				t.Errorf("%s: %+v after %d invocations, CodeDeploy was told %q", creator, v, c.invoked, c.told)
			}
		})
	}
}

func TestInvokedByHandItOnlyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{versions: theVersions(t)}
		for _, payload := range []string{`{"key1":"value1"}`, `null`, ``} {
			if v, _ := c.run(t, both, payload); v.Status != "Succeeded" || len(c.told) > 0 {
				t.Errorf("%q: %+v, CodeDeploy was told %q", payload, v, c.told)
			}
		}
	})
}

func TestWithoutAVersionOfIngestDeliverAloneIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{versions: theVersions(t)}
		if v, _ := c.run(t, Options{Deliver: both.Deliver}, hookEvent); v.Status != "Succeeded" || c.invoked != 1 {
			t.Errorf("%+v after %d invocations", v, c.invoked)
		}
	})
}

func TestTheHookFailsIfCodeDeployCannotBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{versions: theVersions(t), lost: 1 << 20}
		config := aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.test"),
			HTTPClient: &http.Client{Transport: c}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
		f, err := New(both, Parts{Lambda: signed.Lambda(config), CodeDeploy: signed.CodeDeploy(config),
			Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Invoke(t.Context(), []byte(hookEvent)); err == nil ||
			!strings.Contains(err.Error(), "tell CodeDeploy that the hook of the deployment d-1 succeeded: ") {
			t.Errorf("%v", err)
		}
	})
}

func TestAWrongVariableIsNamedWithWhatItMustBe(t *testing.T) {
	const good = "SPILLWAY_DELIVER_VERSION=arn:aws:lambda:eu-west-1:1:function:spillway-deliver:7"
	for _, c := range []struct{ variables, want string }{
		{"", "SPILLWAY_DELIVER_VERSION must be the ARN of a function with its version"},
		{"SPILLWAY_DELIVER_VERSION=spillway-deliver", "SPILLWAY_DELIVER_VERSION must be"},
		{"SPILLWAY_DELIVER_VERSION=spillway-deliver:live", "SPILLWAY_DELIVER_VERSION must be"},
		{"SPILLWAY_DELIVER_VERSION=spillway-deliver:$LATEST", "SPILLWAY_DELIVER_VERSION must be"},
		{"SPILLWAY_DELIVER_VERSION=:7", "SPILLWAY_DELIVER_VERSION must be"},
		{good + ",SPILLWAY_INGEST_VERSION=spillway-ingest:", "SPILLWAY_INGEST_VERSION must be"},
		{good + ",SPILLWAY_LOG_LEVEL=loud", "must be debug, info, warn or error"},
	} {
		if _, err := FromEnvironment(t.Context(), strings.Split(c.variables, ","), io.Discard); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.variables, err, c.want)
		}
	}
	if _, err := FromEnvironment(t.Context(), []string{good, "SPILLWAY_INGEST_VERSION=spillway-ingest:12"},
		io.Discard); err != nil {
		t.Error(err)
	}
}
