package lambda

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// accountConcurrency limits a function without reserved concurrency: the default quota of an
	// account and region (Lambda developer guide, quotas; new accounts begin with less).
	accountConcurrency = 1000

	// maxTimeout is the longest timeout of a function (Lambda developer guide, quotas).
	maxTimeout = 15 * time.Minute

	// maxPayload is the maximum size in bytes of an invocation's event, and of its answer (Lambda
	// developer guide, quotas: 6 MB).
	maxPayload = 6 * 1024 * 1024

	// initTimeout is how long the init of an environment may take (Lambda developer guide,
	// execution environment lifecycle).
	initTimeout = 10 * time.Second

	defaultTimeout  = 3 * time.Second // Lambda's own default
	defaultMemoryMB = 128             // Lambda's own default
	defaultRegion   = "us-east-1"
	localAccount    = "000000000000" // what emulators of AWS use
)

// FunctionConfig describes a function. Only NewEnvironment is required.
type FunctionConfig struct {
	// Name is "function" if empty.
	Name string
	// Timeout limits an invocation, without the init. 0 or less means Lambda's default of 3 s; more
	// than 15 minutes is lowered to 15 minutes.
	Timeout time.Duration
	// ReservedConcurrency limits the invocations at the same time. 0 or less means that none is
	// reserved; the limit is then an account's default of 1,000.
	ReservedConcurrency int
	// MemoryMB is told to the environment and not enforced. 0 or less means Lambda's default of 128.
	MemoryMB int
	// Region is "us-east-1" if empty.
	Region string
	// NewEnvironment is made by InProcess or Process.
	NewEnvironment EnvironmentFactory
}

// A Function invokes a handler in its environments. It is safe for concurrent use.
type Function struct {
	info    FunctionInfo
	timeout time.Duration
	limit   int
	create  EnvironmentFactory

	life context.Context // ends with Close
	end  context.CancelFunc
	busy sync.WaitGroup // one for each invocation under way

	mu      sync.Mutex
	idle    []Environment // the most recently used is the last
	running int
	closed  bool
}

// errTaskTimeout distinguishes the function's timeout from a deadline of the caller.
var errTaskTimeout = errors.New("the function's timeout")

// NewFunction makes a function. The first invocation makes its first environment. NewFunction
// panics if the config has no NewEnvironment, since such a function could never run. Call Close to
// end its environments.
func NewFunction(config FunctionConfig) *Function {
	if config.NewEnvironment == nil {
		panic("lambda: a FunctionConfig needs NewEnvironment: InProcess or Process")
	}
	f := &Function{
		info: FunctionInfo{
			Name:     or(config.Name, "function"),
			Region:   or(config.Region, defaultRegion),
			MemoryMB: config.MemoryMB,
		},
		timeout: config.Timeout,
		limit:   config.ReservedConcurrency,
		create:  config.NewEnvironment,
	}
	f.info.ARN = "arn:aws:lambda:" + f.info.Region + ":" + localAccount + ":function:" + f.info.Name
	if f.info.MemoryMB <= 0 {
		f.info.MemoryMB = defaultMemoryMB
	}
	if f.timeout <= 0 {
		f.timeout = defaultTimeout
	}
	f.timeout = min(f.timeout, maxTimeout)
	if f.limit <= 0 {
		f.limit = accountConcurrency
	}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

func or(s, ifEmpty string) string {
	if s == "" {
		return ifEmpty
	}
	return s
}

// Invoke runs one invocation and waits for its answer, as the Invoke API does with the type
// RequestResponse. The payload and the answer are at most 6 MB.
//
// The error is ErrThrottled (nothing ran), ErrClosed, a *TimeoutError, a *FunctionError, an
// *ExitError, the error of a failed init, or one that wraps ctx's error. Invoke returns as soon as
// ctx is done and abandons the invocation.
//
// The caller must not change the payload before Invoke returns. Afterwards it may reuse its memory
// if the error is nil, ErrThrottled or a *FunctionError that is not Fatal; after any other error an
// abandoned handler may still be reading it.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("invoke %s: RequestTooLargeException: the payload must be at most %d bytes, is %d",
			f.info.Name, maxPayload, len(payload))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("invoke %s: not started: %w", f.info.Name, err)
	}
	environment, err := f.acquire()
	if err != nil {
		return nil, err
	}
	defer f.busy.Done()
	for {
		fresh := environment == nil
		if fresh {
			if environment, err = f.start(ctx); err != nil {
				f.release(nil)
				return nil, err
			}
		}
		response, err := f.run(ctx, environment, payload)
		if reusableAfter(err) {
			f.release(environment)
			return response, err
		}
		environment.Close()
		if !errors.Is(err, ErrEnvironmentGone) || fresh {
			f.release(nil)
			return nil, err
		}
		environment = f.popIdle() // the other one ended while it was idle
	}
}

// Close ends all environments and returns when they have ended. Invocations under way fail with
// ErrClosed, so stop the event source mappings first. A second Close does nothing.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	idle := f.idle
	f.idle = nil
	f.mu.Unlock()
	f.end()
	var closing sync.WaitGroup
	for _, environment := range idle {
		closing.Go(environment.Close)
	}
	closing.Wait()
	f.busy.Wait()
}

// acquire reserves one of the concurrent invocations and returns an idle environment, nil if there
// is none.
func (f *Function) acquire() (Environment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fmt.Errorf("invoke %s: %w", f.info.Name, ErrClosed)
	}
	if f.running >= f.limit {
		return nil, ErrThrottled
	}
	f.running++
	f.busy.Add(1)
	return f.popIdleLocked(), nil
}

// release ends an invocation and makes its environment idle; nil means that it was discarded.
func (f *Function) release(environment Environment) {
	f.mu.Lock()
	f.running--
	closed := f.closed
	if environment != nil && !closed {
		f.idle = append(f.idle, environment)
	}
	f.mu.Unlock()
	if environment != nil && closed {
		environment.Close()
	}
}

func (f *Function) popIdle() Environment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.popIdleLocked()
}

// popIdleLocked returns the most recently used idle environment, nil if there is none: its caches
// and connections are the warmest. The caller holds mu.
func (f *Function) popIdleLocked() Environment {
	n := len(f.idle)
	if n == 0 {
		return nil
	}
	environment := f.idle[n-1]
	f.idle[n-1] = nil
	f.idle = f.idle[:n-1]
	return environment
}

// start makes an environment within the time that Lambda gives the init.
func (f *Function) start(ctx context.Context) (environment Environment, err error) {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	defer context.AfterFunc(f.life, cancel)()
	defer func() {
		if cause := recover(); cause != nil {
			environment, err = nil, newFunctionError("Runtime.ExitError",
				fmt.Sprintf("panic in the init of %s: %v\n%s", f.info.Name, cause, debug.Stack()), true)
		}
	}()
	if environment, err = f.create(ctx, f.info); err != nil {
		return nil, fmt.Errorf("start an environment of %s: %w", f.info.Name, err)
	}
	return environment, nil
}

// run has the environment run one invocation within the function's timeout.
func (f *Function) run(ctx context.Context, environment Environment, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, time.Now().Add(f.timeout), errTaskTimeout)
	defer cancel()
	defer context.AfterFunc(f.life, cancel)()
	id := uuid.New()
	invocation := Invocation{RequestID: id.String(), FunctionARN: f.info.ARN, TraceID: traceID(id, time.Now()),
		Payload: payload}
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
		return nil, &TimeoutError{RequestID: invocation.RequestID, After: f.timeout}
	case f.life.Err() != nil:
		return nil, fmt.Errorf("invoke %s: %w", f.info.Name, ErrClosed)
	default:
		return nil, fmt.Errorf("invoke %s: stopped before the answer: %w", f.info.Name, err)
	}
}

// traceID writes an X-Ray trace header that says "not sampled".
func traceID(id uuid.UUID, now time.Time) string {
	random := hex.EncodeToString(id[:12])
	return "Root=1-" + strconv.FormatInt(now.Unix(), 16) + "-" + random + ";Parent=" + random[:16] + ";Sampled=0"
}
