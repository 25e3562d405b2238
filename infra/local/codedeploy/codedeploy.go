// Package codedeploy is the CodeDeploy emulator, for Lambda: it moves an alias of the Lambda
// emulator to a new version as a deployment on AWS does. A hook tries the version first, then the
// version gets a part of the invocations for a time, then all; if an alarm fires meanwhile, the
// alias names the version before again.
//
// It exists because a deployment is the most dangerous moment of a pipeline, and the one that is
// tried least: with it a bad version can be deployed in virtual time, a thousand times, and what it
// costs is counted.
//
// # Not emulated
//
// Revisions and AppSpec files, triggers, linear shifting, a change of the deployment by redeploying
// the version before (a deployment goes back in one step here), and CloudFormation's part.
package codedeploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/lambda"
)

const (
	// hookTimeout is how long a deployment waits for what its hook says (CodeDeploy user guide,
	// "AppSpec 'hooks' section": within one hour).
	hookTimeout = time.Hour
	// maxAlarms are an alarm configuration's (API reference, AlarmConfiguration).
	maxAlarms = 10
	// defaultPoll is our guess: AWS does not say how often CodeDeploy looks at the alarms.
	defaultPoll = 30 * time.Second
)

// Config is how the invocations are shifted: CodeDeploy's TimeBasedCanary. The zero value is
// AllAtOnce.
type Config struct {
	Share float64       // the part of the invocations that the new version gets first: 0 to 1
	Time  time.Duration // for so long; 0: it gets all at once
}

// A Deployment moves an alias to a version. Alias and Version are required.
type Deployment struct {
	Alias   *lambda.Alias
	Version string
	Config  Config

	// Alarms are the names of those that end the deployment, at most 10. One that does not exist
	// ends it too (IgnorePollAlarmFailure is false).
	Alarms []string
	// States is what CloudWatch says of all alarms; it is required with Alarms.
	States func() []cloudwatch.AlarmState
	// Poll is how often that is asked; 0: 30 s.
	Poll time.Duration

	// Before and After are hooks: BeforeAllowTraffic, before the version gets its first invocation,
	// and AfterAllowTraffic, when it has all. nil: there is none.
	Before, After lambda.Invoker
}

// Status is how a deployment has ended, by CodeDeploy's names.
type Status string

// The statuses.
const (
	Succeeded Status = "Succeeded"
	Failed    Status = "Failed"  // a hook has said so, or nothing
	Stopped   Status = "Stopped" // by an alarm, or by a person
)

// A Result is what a deployment came to.
type Result struct {
	ID      string
	Status  Status
	Reason  string    // empty: it succeeded
	Shifted time.Time // when the version got its first part of the invocations; zero: it never did
	Ended   time.Time // when it had all of them, or none any more
}

// A Service runs deployments and hears what their hooks say, as an http.Handler. It is safe for
// concurrent use.
type Service struct {
	hooks sync.WaitGroup // their invocations

	mu      sync.Mutex
	last    int
	running map[string]bool       // deployments, by their IDs
	waiting map[string]*execution // by its ID
}

// An execution is a hook that is asked, or was.
type execution struct {
	deployment string
	said       chan string // takes one status
	answered   bool
}

// New makes a Service.
func New() *Service {
	return &Service{running: map[string]bool{}, waiting: map[string]*execution{}}
}

// Wait returns when no hook runs any more. A deployment ends when its hook has said how it is,
// which may be before the hook's invocation ends.
func (s *Service) Wait() { s.hooks.Wait() }

// Deploy runs a deployment and returns when it has ended. While it lasts nothing else may change
// the alias. A ctx that ends stops it, and the alias goes back. The error says what CodeDeploy
// would not take; nothing has changed then.
func (s *Service) Deploy(ctx context.Context, d Deployment) (Result, error) {
	before, err := check(&d)
	if err != nil {
		return Result{}, fmt.Errorf("deploy version %q: %w", d.Version, err)
	}
	s.mu.Lock()
	s.last++
	r := Result{ID: fmt.Sprintf("d-%09d", s.last), Status: Succeeded}
	s.running[r.ID] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, r.ID)
	}()

	if r.Status, r.Reason = s.run(ctx, &d, &r); r.Status != Succeeded {
		err = d.Alias.Route(before)
	}
	r.Ended = time.Now()
	return r, err
}

// check returns what the alias names now, or what is wrong with the deployment.
func check(d *Deployment) (before lambda.Routing, err error) {
	if d.Alias == nil {
		return before, errors.New("there is no alias")
	}
	before = d.Alias.Routing()
	switch {
	case d.Version == "":
		return before, errors.New("there is no version")
	case before.Other != "":
		return before, fmt.Errorf("the alias %s names two versions: another deployment is under way", d.Alias.Name())
	case before.Version == d.Version:
		return before, fmt.Errorf("the alias %s names it already", d.Alias.Name())
	case d.Config.Share < 0 || d.Config.Share > 1:
		return before, fmt.Errorf("the share must be 0 to 1, is %v", d.Config.Share)
	case len(d.Alarms) > maxAlarms:
		return before, fmt.Errorf("it may have at most %d alarms, has %d", maxAlarms, len(d.Alarms))
	case len(d.Alarms) > 0 && d.States == nil:
		return before, errors.New("it has alarms, and nobody knows their states")
	}
	// What can't be an alias's second version can't be deployed, also all at once.
	if err := d.Alias.Route(lambda.Routing{Version: before.Version, Other: d.Version}); err != nil {
		return before, err
	}
	return before, d.Alias.Route(before)
}

// run goes through the deployment's steps. It leaves the alias as the last step did.
func (s *Service) run(ctx context.Context, d *Deployment, r *Result) (Status, string) {
	if reason := d.alarmed(); reason != "" {
		return Stopped, reason
	}
	if reason := s.hook(ctx, r.ID, "BeforeAllowTraffic", d.Before); reason != "" {
		return Failed, reason
	}
	r.Shifted = time.Now()
	if d.Config.Share > 0 && d.Config.Time > 0 {
		err := d.Alias.Route(lambda.Routing{Version: d.Alias.Routing().Version, Other: d.Version, Weight: d.Config.Share})
		if err != nil {
			return Failed, err.Error()
		}
		if reason := d.watch(ctx, r.Shifted.Add(d.Config.Time)); reason != "" {
			return Stopped, reason
		}
	}
	if err := d.Alias.Route(lambda.Routing{Version: d.Version}); err != nil {
		return Failed, err.Error()
	}
	if reason := s.hook(ctx, r.ID, "AfterAllowTraffic", d.After); reason != "" {
		return Failed, reason
	}
	return Succeeded, ""
}

// watch looks at the alarms until a time and returns why the deployment stops, or nothing.
func (d *Deployment) watch(ctx context.Context, until time.Time) string {
	poll := d.Poll
	if poll <= 0 {
		poll = defaultPoll
	}
	for {
		if reason := d.alarmed(); reason != "" {
			return reason
		}
		rest := time.Until(until)
		if rest <= 0 {
			return ""
		}
		timer := time.NewTimer(min(rest, poll))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "it was stopped: " + context.Cause(ctx).Error()
		}
	}
}

// alarmed says which of the alarms fire, or can't be read; empty: none.
func (d *Deployment) alarmed() string {
	if len(d.Alarms) == 0 {
		return ""
	}
	states := map[string]cloudwatch.AlarmState{}
	for _, a := range d.States() {
		states[a.Name] = a
	}
	var reasons []string
	for _, name := range d.Alarms {
		switch a, ok := states[name]; {
		case !ok:
			reasons = append(reasons, "the alarm "+name+" does not exist")
		case a.State == cloudwatch.Alarm:
			reasons = append(reasons, "the alarm "+name+" fires: "+a.Reason)
		}
	}
	slices.Sort(reasons)
	return strings.Join(reasons, "; ")
}

// hook invokes a hook and waits for what it says. It returns why the deployment fails, or nothing.
func (s *Service) hook(ctx context.Context, deployment, event string, hook lambda.Invoker) string {
	if hook == nil {
		return ""
	}
	id, e := uuid.NewString(), &execution{deployment: deployment, said: make(chan string, 1)}
	s.mu.Lock()
	s.waiting[id] = e
	s.mu.Unlock()
	payload, _ := json.Marshal(hookEvent{deployment, id}) // two strings can always be marshalled
	ended := make(chan error, 1)
	s.hooks.Go(func() {
		_, err := hook.Invoke(context.WithoutCancel(ctx), payload)
		ended <- err
	})
	timer := time.NewTimer(hookTimeout)
	defer timer.Stop()
	var failure error
	for {
		select {
		case status := <-e.said:
			if status == string(Succeeded) {
				return ""
			}
			return fmt.Sprintf("the hook %s says %s; its log says why", event, status)
		case failure = <-ended: // it may have reported before, or somebody else does
			ended = nil
		case <-timer.C:
			return fmt.Sprintf("the hook %s has said nothing for %v; its invocation ended with: %v", event, hookTimeout, failure)
		case <-ctx.Done():
			return "it was stopped: " + context.Cause(ctx).Error()
		}
	}
}

// A hookEvent is what a hook is invoked with.
type hookEvent struct {
	DeploymentID string `json:"DeploymentId"`
	ExecutionID  string `json:"LifecycleEventHookExecutionId"`
}
