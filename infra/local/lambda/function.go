package lambda

import (
	"context"
	"encoding/hex"
	"errors"
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
	// MemoryMB is told to the environment and not enforced. 0 or less means Lambda's default of
	// 128.
	MemoryMB int
	// Region is "us-east-1" if empty.
	Region string
	// NewEnvironment is made by InProcess or Process. It is the code of $LATEST: see Publish.
	NewEnvironment EnvironmentFactory
}

// A Function invokes a handler in its environments. It is safe for concurrent use.
type Function struct {
	info    FunctionInfo // of $LATEST
	timeout time.Duration
	limit   int // of all versions together

	life context.Context // ends with Close
	end  context.CancelFunc
	busy sync.WaitGroup // one for each invocation under way

	mu        sync.Mutex
	latest    *Version
	published []*Version // version 1 is the first
	unchanged bool       // since the last version was published
	aliases   map[string]*Alias
	running   int // invocations of all versions
	fed       int // those that event sources have begun, throttled ones included
	closed    bool
}

// An Invoker is what an event source mapping invokes: a *Function, which is its $LATEST, a *Version
// or an *Alias of it.
type Invoker interface {
	// Invoke is Function.Invoke.
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
	// ARN ends with the qualifier, if there is one.
	ARN() string
	// target is the version of one invocation.
	target() *Version
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
			Version:  Latest,
		},
		timeout: config.Timeout,
		limit:   config.ReservedConcurrency,
		aliases: map[string]*Alias{},
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
	f.latest = &Version{function: f, info: f.info, create: config.NewEnvironment}
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
	return f.target().invoke(ctx, f.ARN(), payload)
}

func (f *Function) target() *Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest
}

// Concurrent is how many invocations are under way, of all versions.
func (f *Function) Concurrent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// feeds counts an invocation that an event source begins, and returns how many are under way.
func (f *Function) feeds() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fed++
	return int64(f.fed)
}

func (f *Function) hasFed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fed--
}

// Name is the function's.
func (f *Function) Name() string { return f.info.Name }

// ARN is that of the function, without a qualifier.
func (f *Function) ARN() string { return f.info.ARN }

// Close ends all environments and returns when they have ended. Invocations under way fail with
// ErrClosed, so stop the event source mappings first. A second Close does nothing.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	var idle []Environment
	for _, v := range append([]*Version{f.latest}, f.published...) {
		idle = append(idle, v.idle...)
		v.idle = nil
	}
	f.mu.Unlock()
	f.end()
	closeAll(idle)
	f.busy.Wait()
}

func closeAll(environments []Environment) {
	var closing sync.WaitGroup
	for _, environment := range environments {
		closing.Go(environment.Close)
	}
	closing.Wait()
}

// traceID writes an X-Ray trace header that says "not sampled".
func traceID(id uuid.UUID, now time.Time) string {
	random := hex.EncodeToString(id[:12])
	return "Root=1-" + strconv.FormatInt(now.Unix(), 16) + "-" + random + ";Parent=" + random[:16] + ";Sampled=0"
}
