package lambda

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Latest is the qualifier of a function's unpublished code.
const Latest = "$LATEST"

// A Version is a function's code as it was when it was published, with environments of its own. Its
// settings are the function's, and so is its concurrency limit: what one version uses, another
// can't. It is safe for concurrent use.
type Version struct {
	function *Function
	info     FunctionInfo
	create   EnvironmentFactory

	// The function's mu guards what follows.
	idle     []Environment // the most recently used is the last
	replaced bool          // it was $LATEST before an UpdateCode: no environment is idle any more
}

// Number is "1" for the first that was published, and so on.
func (v *Version) Number() string { return v.info.Version }

// Function is the function that the version is of.
func (v *Version) Function() *Function { return v.function }

// ARN implements Invoker.
func (v *Version) ARN() string { return qualified(v.info.ARN, v.info.Version) }

// Invoke implements Invoker.
func (v *Version) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return v.invoke(ctx, v.ARN(), payload)
}

func (v *Version) target() *Version { return v }

// qualified is a function's ARN with a version's or an alias's name.
func qualified(arn, qualifier string) string { return arn + ":" + qualifier }

// UpdateCode replaces the code of $LATEST. No published version changes. What is under way ends
// with the code with which it began.
func (f *Function) UpdateCode(create EnvironmentFactory) {
	f.mu.Lock()
	before := f.latest
	before.replaced = true
	idle := before.idle
	before.idle = nil
	f.latest = &Version{function: f, info: f.info, create: create}
	f.unchanged = false
	f.mu.Unlock()
	closeAll(idle)
}

// Publish makes a version of the code of $LATEST. As on Lambda it makes none and returns the last
// one where nothing has changed since.
func (f *Function) Publish() *Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unchanged {
		return f.published[len(f.published)-1]
	}
	f.unchanged = true
	v := &Version{function: f, info: f.info, create: f.latest.create}
	v.info.Version = strconv.Itoa(len(f.published) + 1)
	f.published = append(f.published, v)
	return v
}

// Qualified returns what a qualifier names: the function itself for none or $LATEST, or else a
// version or an alias. The error is Lambda's ResourceNotFoundException.
func (f *Function) Qualified(qualifier string) (Invoker, error) {
	if qualifier == "" || qualifier == Latest {
		return f, nil
	}
	if a, ok := f.Alias(qualifier); ok {
		return a, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v, ok := f.version(qualifier); ok && v != f.latest {
		return v, nil
	}
	return nil, fmt.Errorf("ResourceNotFoundException: Function not found: %s", qualified(f.info.ARN, qualifier))
}

// version finds $LATEST or a published version; the caller holds mu.
func (f *Function) version(number string) (*Version, bool) {
	if number == Latest {
		return f.latest, true
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(f.published) || strconv.Itoa(n) != number {
		return nil, false
	}
	return f.published[n-1], true
}

// invoke is Function.Invoke under the ARN that was invoked.
func (v *Version) invoke(ctx context.Context, arn string, payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("invoke %s: RequestTooLargeException: the payload must be at most %d bytes, is %d",
			v.info.Name, maxPayload, len(payload))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("invoke %s: not started: %w", v.info.Name, err)
	}
	environment, err := v.acquire()
	if err != nil {
		return nil, err
	}
	defer v.function.busy.Done()
	for {
		fresh := environment == nil
		if fresh {
			if environment, err = v.start(ctx); err != nil {
				v.release(nil)
				return nil, err
			}
		}
		response, err := v.run(ctx, environment, arn, payload)
		if reusableAfter(err) {
			v.release(environment)
			return response, err
		}
		environment.Close()
		if !errors.Is(err, ErrEnvironmentGone) || fresh {
			v.release(nil)
			return nil, err
		}
		environment = v.popIdle() // the other one ended while it was idle
	}
}

// acquire reserves one of the concurrent invocations and returns an idle environment, nil if there
// is none.
func (v *Version) acquire() (Environment, error) {
	v.function.mu.Lock()
	defer v.function.mu.Unlock()
	if v.function.closed {
		return nil, fmt.Errorf("invoke %s: %w", v.info.Name, ErrClosed)
	}
	if v.function.running >= v.function.limit {
		return nil, ErrThrottled
	}
	v.function.running++
	v.function.busy.Add(1)
	return v.popIdleLocked(), nil
}

// release ends an invocation and makes its environment idle; nil means that it was discarded.
func (v *Version) release(environment Environment) {
	v.function.mu.Lock()
	v.function.running--
	ended := v.function.closed || v.replaced
	if environment != nil && !ended {
		v.idle = append(v.idle, environment)
	}
	v.function.mu.Unlock()
	if environment != nil && ended {
		environment.Close()
	}
}

func (v *Version) popIdle() Environment {
	v.function.mu.Lock()
	defer v.function.mu.Unlock()
	return v.popIdleLocked()
}

// popIdleLocked returns the most recently used idle environment, nil if there is none: its caches
// and connections are the warmest. The caller holds mu.
func (v *Version) popIdleLocked() Environment {
	n := len(v.idle)
	if n == 0 {
		return nil
	}
	environment := v.idle[n-1]
	v.idle[n-1] = nil
	v.idle = v.idle[:n-1]
	return environment
}

// start makes an environment within the time that Lambda gives the init.
func (v *Version) start(ctx context.Context) (environment Environment, err error) {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	defer context.AfterFunc(v.function.life, cancel)()
	defer func() {
		if cause := recover(); cause != nil {
			environment, err = nil, newFunctionError("Runtime.ExitError",
				fmt.Sprintf("panic in the init of %s: %v\n%s", v.info.Name, cause, debug.Stack()), true)
		}
	}()
	if environment, err = v.create(ctx, v.info); err != nil {
		return nil, fmt.Errorf("start an environment of %s: %w", v.info.Name, err)
	}
	return environment, nil
}

// run has the environment run one invocation within the function's timeout.
func (v *Version) run(ctx context.Context, environment Environment, arn string, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, time.Now().Add(v.function.timeout), errTaskTimeout)
	defer cancel()
	defer context.AfterFunc(v.function.life, cancel)()
	id := uuid.New()
	invocation := Invocation{RequestID: id.String(), FunctionARN: arn, TraceID: traceID(id, time.Now()), Payload: payload}
	response, err := environment.Invoke(ctx, invocation)
	switch {
	case err == nil && len(response) > maxPayload:
		return nil, newFunctionError("Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size (%d bytes) exceeded maximum allowed payload size (%d bytes).", len(response),
				maxPayload), false)
	case err == nil:
		return response, nil
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(context.Cause(ctx), errTaskTimeout):
		return nil, &TimeoutError{RequestID: invocation.RequestID, After: v.function.timeout}
	case v.function.life.Err() != nil:
		return nil, fmt.Errorf("invoke %s: %w", v.info.Name, ErrClosed)
	default:
		return nil, fmt.Errorf("invoke %s: stopped before the answer: %w", v.info.Name, err)
	}
}
