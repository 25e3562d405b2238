package rollout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/trial"
)

const (
	firstPause = time.Second
	maxPause   = 10 * time.Second
	// patience is how long a call that fails is made again: a role or a version that was made just
	// now may not be known everywhere.
	patience = 20 * time.Second
	// askTime bounds a call without which the trials go on.
	askTime = 5 * time.Second
)

// makeTrial invokes a version with a trial, and judges its outcome.
func (f *Function) makeTrial(ctx context.Context, t *target, c *check) error {
	payload, err := c.trial.Encode()
	if err != nil {
		return err
	}
	var i signed.Invocation
	// While a backlog drains, the function's concurrency may be used up.
	err = again(ctx, func() (err error) {
		i, err = signed.Invoke(ctx, f.parts.Lambda, t.function, t.version, payload)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("it could not be invoked: %w", err)
	case i.Failed != "":
		return fmt.Errorf("the invocation failed (%s): %s; the end of its log: %s", i.Failed, i.Answer,
			strings.TrimSpace(i.Log))
	}
	outcome, err := trial.ReadOutcome(i.Answer)
	if err != nil {
		return err
	}
	if err := c.judge(&outcome); err != nil {
		if len(outcome.Log) > 0 {
			err = fmt.Errorf("%w; its log: %s", err, strings.Join(outcome.Log, " "))
		}
		return err
	}
	return nil
}

// goesBack reports whether a deployment takes an alias back to the version before. What can't be
// found out counts as no.
func (f *Function) goesBack(ctx context.Context, deployment string) bool {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var out struct {
		Info struct {
			Creator      string `json:"creator"`
			RollbackInfo struct {
				Of string `json:"rollbackTriggeringDeploymentId"`
			} `json:"rollbackInfo"`
		} `json:"deploymentInfo"`
	}
	err := f.parts.CodeDeploy.Call(ctx, "CodeDeploy_20141006.GetDeployment", map[string]string{"deploymentId": deployment},
		&out)
	if err != nil {
		f.parts.Logger.WarnContext(ctx, "CodeDeploy does not say whether the deployment goes back: it counts as new",
			"deployment", deployment, "error", err)
		return false
	}
	// codeDeployRollback and CloudFormationRollback (CodeDeploy API reference, DeploymentInfo).
	return strings.HasSuffix(strings.ToLower(out.Info.Creator), "rollback") || out.Info.RollbackInfo.Of != ""
}

// say tells CodeDeploy how a hook ended.
func (f *Function) say(ctx context.Context, deployment, hook, status string) error {
	err := again(ctx, func() error {
		return f.parts.CodeDeploy.Call(ctx, "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus", map[string]string{
			"deploymentId": deployment, "lifecycleEventHookExecutionId": hook, "status": status}, nil)
	})
	if err != nil {
		return fmt.Errorf("tell CodeDeploy that the hook of the deployment %s %s: %w", deployment, strings.ToLower(status),
			err)
	}
	return nil
}

// again calls f until it succeeds, and returns its last error. It gives up when ctx ends, or after
// patience unless AWS says that there are too many calls.
func again(ctx context.Context, f func() error) error {
	began := time.Now()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil || !isThrottled(err) && time.Since(began) >= patience {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func isThrottled(err error) bool {
	answer, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err)
	return ok && answer.HTTPStatusCode() == http.StatusTooManyRequests
}
