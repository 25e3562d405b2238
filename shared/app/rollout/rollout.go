// Package rollout wires the function that a deployment asks before a new version gets traffic: the
// hook BeforeAllowTraffic of CodeDeploy.
//
// It invokes the new versions of deliver and ingest with trials (package trial) of good, poisonous
// and throttled events, and tells CodeDeploy whether each came to the end that it must. A quiet
// site needs that most: there a tenth of the invocations may be none until all go to the version.
package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/version"
)

// The environment variables of the function.
const (
	envName     = "SPILLWAY_NAME"            // the pipeline's; default: spillway
	envDeliver  = "SPILLWAY_DELIVER_VERSION" // see Options
	envIngest   = "SPILLWAY_INGEST_VERSION"  //
	envLogLevel = "SPILLWAY_LOG_LEVEL"       // debug, info, warn, error; default: info
)

// Options are what a deployment decides about the function.
type Options struct {
	Name string // the pipeline's, for the log
	// Deliver and Ingest are the versions that are about to get traffic: a function's ARN with its
	// version, or NAME:VERSION. Without Ingest deliver alone is tried.
	Deliver, Ingest string
	LogLevel        slog.Level

	ignored env.Ignored
}

// LogValue shows the options.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", o.Name), slog.String("deliver", o.Deliver), slog.String("ingest", o.Ingest))
}

// readOptions reads the options from environ, which has the form of os.Environ. The error names
// every wrong variable.
func readOptions(environ []string) (Options, error) {
	var o Options
	var err error
	o.ignored, err = env.Read(environ, env.String(envName, &o.Name), env.String(envDeliver, &o.Deliver),
		env.String(envIngest, &o.Ingest), env.LogLevel(envLogLevel, &o.LogLevel))
	o.Name = cmp.Or(o.Name, emf.DefaultPipeline)
	return o, err
}

// Parts are what the function is connected to.
type Parts struct {
	Lambda, CodeDeploy *signed.Client
	Logger             *slog.Logger
}

// A Function tries new versions. It implements lambda.Handler.
type Function struct {
	versions []target
	parts    Parts
}

// A target is a version that is tried.
type target struct {
	function, version string
	trials            func(now time.Time) []check
}

// FromEnvironment builds the Lambda function. out gets its log.
func FromEnvironment(ctx context.Context, environ []string, out io.Writer) (*Function, error) {
	o, err := readOptions(environ)
	if err != nil {
		return nil, err
	}
	logger := jsonlog.New(out, o.LogLevel)
	o.ignored.Log(logger)
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	f, err := New(o, Parts{Lambda: signed.Lambda(cloud), CodeDeploy: signed.CodeDeploy(cloud), Logger: logger})
	if err != nil {
		return nil, err
	}
	logger.InfoContext(ctx, "configured", "version", version.String(), "config", o)
	return f, nil
}

// New builds the function.
func New(o Options, p Parts) (*Function, error) {
	f := &Function{parts: p}
	for _, v := range []struct {
		variable, value string
		optional        bool
		trials          func(time.Time) []check
	}{
		{envDeliver, o.Deliver, false, deliverTrials}, {envIngest, o.Ingest, true, ingestTrials},
	} {
		if v.value == "" && v.optional {
			continue
		}
		t, ok := parseVersion(v.value)
		if !ok {
			return nil, fmt.Errorf("%s %w", v.variable, env.MustBe("the ARN of a function with its version, like "+
				"arn:aws:lambda:eu-west-1:123456789012:function:spillway-deliver:7", v.value))
		}
		t.trials = v.trials
		f.versions = append(f.versions, t)
	}
	return f, nil
}

// parseVersion reads NAME:VERSION at the end of an ARN. An alias is no version: it may name another
// one by the time of the trial.
func parseVersion(arn string) (t target, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) < 2 {
		return t, false
	}
	t.function, t.version = parts[len(parts)-2], parts[len(parts)-1]
	return t, t.function != "" && t.version != "" && strings.Trim(t.version, "0123456789") == ""
}

// A Result is what the function answers.
type Result struct {
	Status   string   `json:"status"`             // Succeeded or Failed, as CodeDeploy has them
	Why      string   `json:"why,omitempty"`      // nothing was tried
	Problems []string `json:"problems,omitempty"` // of each version that failed a trial
}

// The statuses of a hook (CodeDeploy API reference, PutLifecycleEventHookExecutionStatus).
const (
	succeeded = "Succeeded"
	failed    = "Failed"
)

// sayingTime is the part of an invocation's time that is left for telling CodeDeploy: without an
// answer it waits for an hour.
const sayingTime = 30 * time.Second

// Invoke implements lambda.Handler; the payload is CodeDeploy's event. It returns the Result as
// JSON. Invoked by hand, without a deployment, it only does that.
//
// An error says that CodeDeploy could not be told. Lambda then invokes the function again, twice.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event struct {
		DeploymentID string `json:"DeploymentId"`
		HookID       string `json:"LifecycleEventHookExecutionId"`
	}
	_ = json.Unmarshal(payload, &event) // a test event of the console has neither
	v := f.result(ctx, event.DeploymentID)
	log := f.parts.Logger.With("deployment", event.DeploymentID, "status", v.Status)
	for _, problem := range v.Problems {
		log.ErrorContext(ctx, "a new version must not get traffic", "problem", problem)
	}
	if v.Status == succeeded {
		log.InfoContext(ctx, "the new versions may get traffic", "why", cmp.Or(v.Why, "each passed its trials"))
	}
	if event.HookID != "" {
		if err := f.say(ctx, event.DeploymentID, event.HookID, v.Status); err != nil {
			return nil, err
		}
	}
	return json.Marshal(v)
}

func (f *Function) result(ctx context.Context, deployment string) Result {
	remaining := 5 * time.Minute // without Lambda, which always sets a deadline
	if deadline, ok := ctx.Deadline(); ok {
		remaining = time.Until(deadline)
	}
	ctx, cancel := context.WithTimeout(ctx, remaining-min(sayingTime, remaining/4))
	defer cancel()
	if deployment != "" && f.goesBack(ctx, deployment) {
		return Result{Status: succeeded, Why: "the deployment goes back: nothing is tried, so that nothing is in its way"}
	}
	problems := make([]string, len(f.versions))
	var running sync.WaitGroup
	for i, t := range f.versions {
		running.Go(func() {
			if err := f.try(ctx, &t); err != nil {
				problems[i] = fmt.Sprintf("%s version %s: %v", t.function, t.version, err)
			}
		})
	}
	running.Wait()
	v := Result{Status: succeeded}
	for _, problem := range problems {
		if problem != "" {
			v.Status, v.Problems = failed, append(v.Problems, problem)
		}
	}
	return v
}

// try makes all trials of a version. The error joins what is wrong.
func (f *Function) try(ctx context.Context, t *target) error {
	var errs []error
	for _, c := range t.trials(time.Now()) {
		if err := f.makeTrial(ctx, t, &c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}
