package codedeploy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/lambda"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type handler func(ctx context.Context, payload []byte) ([]byte, error)

func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return h(ctx, payload) }

func runs(h handler) lambda.EnvironmentFactory {
	return lambda.InProcess(func() (lambda.Handler, error) { return h, nil })
}

func nothing(context.Context, []byte) ([]byte, error) { return nil, nil }

// world is a function with two versions, of which an alias names the first.
type world struct {
	t       *testing.T
	service *Service
	alias   *lambda.Alias
	begun   time.Time

	mu     sync.Mutex
	states []cloudwatch.AlarmState
}

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := lambda.NewFunction(lambda.FunctionConfig{Name: "deliver", NewEnvironment: runs(nothing)})
		defer f.Close()
		f.Publish()
		f.UpdateCode(runs(nothing))
		f.Publish()
		alias, err := f.CreateAlias("live", lambda.Routing{Version: "1"})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, service: New(), alias: alias, begun: time.Now(),
			states: []cloudwatch.AlarmState{{Name: "other", State: cloudwatch.Alarm}, {Name: "new", State: cloudwatch.OK}}}
		defer w.service.Wait()
		test(t, w)
	})
}

// hook makes a function that says a status after a time; an empty one is not said.
func (w *world) hook(status string, after time.Duration) lambda.Invoker {
	f := lambda.NewFunction(lambda.FunctionConfig{Name: "hook", Timeout: 5 * time.Minute,
		NewEnvironment: runs(func(_ context.Context, payload []byte) ([]byte, error) {
			time.Sleep(after)
			if status == "" {
				return nil, errors.New("the hook fails")
			}
			var event hookEvent
			if err := json.Unmarshal(payload, &event); err != nil {
				return nil, err
			}
			if got := w.say(event.DeploymentID, event.ExecutionID, status); got != "" {
				w.t.Errorf("the status is refused: %s", got)
			}
			return nil, nil
		})})
	w.t.Cleanup(f.Close)
	return f
}

// say calls the API and returns the name of its error.
func (w *world) say(deployment, id, status string) string {
	body, err := json.Marshal(map[string]string{"deploymentId": deployment, "lifecycleEventHookExecutionId": id,
		"status": status})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call(putStatus, string(body))
}

func (w *world) call(target, body string) string {
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	rec := httptest.NewRecorder()
	w.service.ServeHTTP(rec, r)
	var answer map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
		w.t.Errorf("the answer %q: %v", rec.Body, err)
	}
	if (rec.Code == http.StatusOK) == (answer["__type"] != nil) {
		w.t.Errorf("status %d with %v", rec.Code, answer)
	}
	kind, _ := answer["__type"].(string)
	return kind
}

// after changes an alarm's state so long after the beginning.
func (w *world) after(d time.Duration, alarm string, s cloudwatch.State) {
	go func() {
		time.Sleep(d)
		w.mu.Lock()
		defer w.mu.Unlock()
		for i := range w.states {
			if w.states[i].Name == alarm {
				w.states[i].State = s
			}
		}
	}()
}

var canary = Config{Share: 0.1, Time: 5 * time.Minute}

func (w *world) deployment() Deployment {
	return Deployment{Alias: w.alias, Version: "2", Config: canary, Alarms: []string{"new"}, Poll: 10 * time.Second,
		States: func() []cloudwatch.AlarmState {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(w.states)
		}}
}

func TestADeploymentMovesTheAliasByItsConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *Deployment)
		status Status
		reason string
		shift  time.Duration // until the first part; negative: never
		lasts  time.Duration
		during lambda.Routing // 3 minutes after the beginning
	}{
		{"a tenth for five minutes, then all", func(*world, *Deployment) {}, Succeeded, "", 0, 5 * time.Minute,
			lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
		{"all at once", func(_ *world, d *Deployment) { d.Config = Config{} }, Succeeded, "", 0, 0,
			lambda.Routing{Version: "2"}},
		{"its alarm fires in the first part",
			func(w *world, _ *Deployment) { w.after(4*time.Minute+5*time.Second, "new", "ALARM") },
			Stopped, "the alarm new fires", 0, 4*time.Minute + 10*time.Second,
			lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
		{"its alarm fires when it is over", func(w *world, _ *Deployment) { w.after(6*time.Minute, "new", "ALARM") },
			Succeeded, "", 0, 5 * time.Minute, lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
		{"another alarm fires", func(w *world, _ *Deployment) { w.after(time.Minute, "other", "ALARM") },
			Succeeded, "", 0, 5 * time.Minute, lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
		{"its alarm has too little data", func(w *world, _ *Deployment) { w.after(0, "new", cloudwatch.InsufficientData) },
			Succeeded, "", 0, 5 * time.Minute, lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
		{"its alarm fires already", func(_ *world, d *Deployment) { d.Alarms = []string{"new", "other"} },
			Stopped, "the alarm other fires", -1, 0, lambda.Routing{Version: "1"}},
		{"its alarm does not exist", func(_ *world, d *Deployment) { d.Alarms = []string{"newer"} },
			Stopped, "the alarm newer does not exist", -1, 0, lambda.Routing{Version: "1"}},
		{"its hook agrees", func(w *world, d *Deployment) { d.Before = w.hook("Succeeded", time.Minute) },
			Succeeded, "", time.Minute, 6 * time.Minute, lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
		{"its hook refuses", func(w *world, d *Deployment) { d.Before = w.hook("Failed", time.Minute) },
			Failed, "the hook BeforeAllowTraffic says Failed", -1, time.Minute, lambda.Routing{Version: "1"}},
		{"its hook says nothing", func(w *world, d *Deployment) { d.Before = w.hook("", time.Minute) },
			Failed, "has said nothing for 1h0m0s; its invocation ended with: Unhandled errorString: the hook fails", -1,
			time.Hour,
			lambda.Routing{Version: "1"}},
		{"its hook refuses in the end", func(w *world, d *Deployment) { d.After = w.hook("Failed", time.Minute) },
			Failed, "the hook AfterAllowTraffic says Failed", 0, 6 * time.Minute,
			lambda.Routing{Version: "1", Other: "2", Weight: 0.1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				d := w.deployment()
				c.change(w, &d)
				named := make(chan lambda.Routing, 1)
				go func() {
					time.Sleep(3 * time.Minute)
					named <- w.alias.Routing()
				}()
				r, err := w.service.Deploy(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				lasts := time.Since(w.begun)
				time.Sleep(10 * time.Minute)
				during := <-named
				shift := time.Duration(-1)
				if !r.Shifted.IsZero() {
					shift = r.Shifted.Sub(w.begun)
				}
				if r.Status != c.status || (r.Reason == "") != (c.reason == "") || !strings.Contains(r.Reason, c.reason) {
					t.Errorf("it ended as %s: %q", r.Status, r.Reason)
				}
				if shift != c.shift || lasts != c.lasts || !r.Ended.Equal(w.begun.Add(lasts)) || during != c.during {
					t.Errorf("shifted after %v, ended after %v; the alias named %+v in between", shift, lasts, during)
				}
				want := lambda.Routing{Version: "1"}
				if c.status == Succeeded {
					want.Version = "2"
				}
				if got := w.alias.Routing(); got != want {
					t.Errorf("in the end the alias names %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestADeploymentThatIsStoppedGoesBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		r, err := w.service.Deploy(ctx, w.deployment())
		if err != nil || r.Status != Stopped || !strings.Contains(r.Reason, "it was stopped") ||
			w.alias.Routing() != (lambda.Routing{Version: "1"}) || r.Ended.Sub(w.begun) != 2*time.Minute {
			t.Errorf("%+v, %v, and the alias names %+v", r, err, w.alias.Routing())
		}
	})
}

func TestAWrongDeploymentChangesNothing(t *testing.T) {
	for want, change := range map[string]func(*world, *Deployment){
		"there is no alias":         func(_ *world, d *Deployment) { d.Alias = nil },
		"names it already":          func(_ *world, d *Deployment) { d.Version = "1" },
		`no version "3"`:            func(_ *world, d *Deployment) { d.Version = "3" },
		"there is no version":       func(_ *world, d *Deployment) { d.Version = "" },
		"can't name $LATEST":        func(_ *world, d *Deployment) { d.Version = lambda.Latest },
		"must be 0 to 1":            func(_ *world, d *Deployment) { d.Config.Share = 10 },
		"at most 10 alarms":         func(_ *world, d *Deployment) { d.Alarms = make([]string, 11) },
		"nobody knows their states": func(_ *world, d *Deployment) { d.States = nil },
		"another deployment is under way": func(w *world, _ *Deployment) {
			if err := w.alias.Route(lambda.Routing{Version: "1", Other: "2", Weight: 0.5}); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			d := w.deployment()
			change(w, &d)
			before := w.alias.Routing()
			_, err := w.service.Deploy(t.Context(), d)
			if err == nil || !strings.Contains(err.Error(), want) || w.alias.Routing() != before {
				t.Errorf("%v, want %q; the alias names %+v", err, want, w.alias.Routing())
			}
		})
	}
}

func TestWhatAHookSaysWronglyIsRefusedByName(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		event := make(chan hookEvent, 1)
		f := lambda.NewFunction(lambda.FunctionConfig{NewEnvironment: runs(func(_ context.Context, payload []byte) ([]byte,
			error) {
			var e hookEvent
			err := json.Unmarshal(payload, &e)
			event <- e
			return nil, err
		})})
		defer f.Close()
		d := w.deployment()
		d.Before, d.Config = f, Config{}
		ended := make(chan Result, 1)
		go func() {
			r, err := w.service.Deploy(t.Context(), d)
			if err != nil {
				t.Error(err)
			}
			ended <- r
		}()
		e := <-event
		if got := w.call(getDeployment, `{"deploymentId":"`+e.DeploymentID+`"}`); got != "" {
			t.Errorf("a deployment that is under way: %q", got)
		}
		for _, c := range []struct{ deployment, id, status, want string }{
			{"", e.ExecutionID, "Succeeded", "DeploymentIdRequiredException"},
			{"d-other", e.ExecutionID, "Succeeded", "DeploymentDoesNotExistException"},
			{e.DeploymentID, "other", "Succeeded", "InvalidLifecycleEventHookExecutionIdException"},
			{e.DeploymentID, e.ExecutionID, "InProgress", "InvalidLifecycleEventHookExecutionStatusException"},
			{e.DeploymentID, e.ExecutionID, "Succeeded", ""},
			{e.DeploymentID, e.ExecutionID, "Failed", "LifecycleEventAlreadyCompletedException"},
		} {
			if got := w.say(c.deployment, c.id, c.status); got != c.want {
				t.Errorf("%+v: %q", c, got)
			}
		}
		if got := w.call("CodeDeploy_20141006.CreateDeployment", "{}"); got != "UnknownOperationException" {
			t.Errorf("another operation: %q", got)
		}
		if got := w.call(putStatus, "{"); got != "SerializationException" {
			t.Errorf("a broken body: %q", got)
		}
		if r := <-ended; r.Status != Succeeded {
			t.Errorf("%+v", r)
		}
		if got := w.call(getDeployment, `{"deploymentId":"`+e.DeploymentID+`"}`); got != "DeploymentDoesNotExistException" {
			t.Errorf("a deployment that has ended: %q", got)
		}
	})
}
