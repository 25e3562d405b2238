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
	// AccountConcurrency bounds a function without reserved concurrency: the default quota of an
	// account and region (Lambda developer guide, quotas; new accounts begin with less).
	AccountConcurrency = 1000

	// MaxTimeout is the longest that an invocation may take (Lambda developer guide, quotas).
	MaxTimeout = 15 * time.Minute

	// MaxPayload bounds the bytes of an invocation's event and of its answer, each (Lambda
	// developer guide, quotas: 6 MB).
	MaxPayload = 6 * 1024 * 1024

	// initTimeout is how long the init of an environment may take (Lambda developer guide,
	// execution environment lifecycle).
	initTimeout = 10 * time.Second

	defaultTimeout  = 3 * time.Second // Lambda's own default
	defaultMemoryMB = 128             // Lambda's own default
	defaultRegion   = "us-east-1"
	localAccount    = "000000000000" // twelve zeros, as local stand-ins for AWS use it
)

// FunctionConfig describes a function. NewEnvironment is all that it must have.
type FunctionConfig struct {
	Name string // "function" if empty
	// of an invocation, without the init; 0 is Lambda's default of 3 s; at most MaxTimeout
	Timeout             time.Duration
	ReservedConcurrency int                // invocations at the same time; 0 and below: unreserved, AccountConcurrency
	MemoryMB            int                // told to the environment, not enforced; 0 is Lambda's default of 128
	Region              string             // "us-east-1" if empty
	NewEnvironment      EnvironmentFactory // InProcess or Process
}

// A Function invokes a handler in its environments. All its methods may be called concurrently.
type Function struct {
	info    FunctionInfo
	timeout time.Duration
	limit   int
	create  EnvironmentFactory

	life context.Context // ends with Close
	end  context.CancelFunc
	busy sync.WaitGroup // a count for each invocation under way

	mu      sync.Mutex
	idle    []Environment // the last one was used last
	running int
	closed  bool
}

// errTaskTimeout tells the function's own time-out from a deadline of the caller.
var errTaskTimeout = errors.New("the function's time-out")

// NewFunction makes a function. It makes no environment yet: the first invocation does. It panics
// if the config has no NewEnvironment, since such a function could never run. A time-out above
// MaxTimeout is lowered to it.
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
	f.timeout = min(f.timeout, MaxTimeout)
	if f.limit <= 0 {
		f.limit = AccountConcurrency
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

// Name is the function's name.
func (f *Function) Name() string { return f.info.Name }

// ARN is the function's Amazon resource name, in the account 000000000000.
func (f *Function) ARN() string { return f.info.ARN }

// Invoke runs one invocation and waits for its answer, as the Invoke API does with the type
// RequestResponse.
//
// It fails with ErrThrottled (at once, nothing ran), a *TimeoutError, a *FunctionError, an
// *ExitError, an error of the init, or one that wraps ctx's error: the invocation is then
// abandoned, whatever it is doing.
//
// The payload must not be changed until Invoke returns. It is free afterwards if the answer is nil,
// ErrThrottled or a *FunctionError that is not Fatal; after any other error an abandoned handler
// may still be reading it.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("invoke %s: RequestTooLargeException: a payload of %d bytes is over the limit of %d; send "+
			"fewer or smaller records",
			f.info.Name, len(payload), MaxPayload)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("invoke %s: not begun: %w", f.info.Name, err)
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
		if usableAfter(err) {
			f.release(environment)
			return response, err
		}
		environment.Close()
		if !errors.Is(err, ErrEnvironmentGone) || fresh {
			f.release(nil)
			return nil, err
		}
		environment = f.popIdle() // it had died while it was idle
	}
}

// Close ends all environments and returns when they have ended. Invocations that are under way fail
// with ErrClosed: let the event source mappings end first.
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

// acquire takes a place among the concurrent invocations, and an idle environment if there is one.
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

// release gives the place back, and the environment unless it is nil.
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

// popIdleLocked takes the environment that was used last: its caches and connections are the
// warmest, and what load no longer needs stays unused.
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

// start makes an environment within the time that Lambda allows for the init.
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

// run has the environment run one invocation within the function's time-out.
func (f *Function) run(ctx context.Context, environment Environment, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, time.Now().Add(f.timeout), errTaskTimeout)
	defer cancel()
	defer context.AfterFunc(f.life, cancel)()
	id := uuid.New()
	invocation := Invocation{RequestID: id.String(), FunctionARN: f.info.ARN, TraceID: traceID(id, time.Now()),
		Payload: payload}
	response, err := environment.Invoke(ctx, invocation)
	switch {
	case err == nil && len(response) > MaxPayload:
		return nil, newFunctionError("Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size (%d bytes) exceeded maximum allowed payload size (%d bytes).", len(response),
				MaxPayload), false)
	case err == nil:
		return response, nil
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(context.Cause(ctx), errTaskTimeout):
		return nil, &TimeoutError{RequestID: invocation.RequestID, After: f.timeout}
	case f.life.Err() != nil:
		return nil, fmt.Errorf("invoke %s: %w", f.info.Name, ErrClosed)
	default:
		return nil, fmt.Errorf("invoke %s: stopped before it had answered: %w", f.info.Name, err)
	}
}

// traceID writes an X-Ray trace header that says "not sampled".
func traceID(id uuid.UUID, now time.Time) string {
	random := hex.EncodeToString(id[:12])
	return "Root=1-" + strconv.FormatInt(now.Unix(), 16) + "-" + random + ";Parent=" + random[:16] + ";Sampled=0"
}
