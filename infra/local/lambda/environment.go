package lambda

import "context"

// An EnvironmentFactory makes an environment and runs the function's init in it. Its context ends
// when Lambda would give the init up (10 s), not with the environment. It is called concurrently.
// Its error fails the invocation that needed the environment; the next invocation calls it again.
type EnvironmentFactory func(ctx context.Context, info FunctionInfo) (Environment, error)

// FunctionInfo is what an environment knows about its function. All fields are set.
type FunctionInfo struct {
	Name     string
	ARN      string // of the function, without a qualifier
	Version  string // "$LATEST", or the number of the published version, such as "7"
	Region   string
	MemoryMB int
}

// An Environment runs the invocations of one function, one at a time.
type Environment interface {
	// Invoke runs one invocation and returns the handler's answer. The Function never makes two
	// calls at the same time. When ctx is done first, Invoke returns an error that wraps ctx's at
	// once, and may go on reading the payload.
	//
	// After a *FunctionError that is not Fatal the Function uses the environment again; after any
	// other error it closes it. ErrEnvironmentGone promises that nothing of the invocation ran.
	Invoke(ctx context.Context, invocation Invocation) ([]byte, error)

	// Close ends the environment and returns when it has ended. It is called once, and never during
	// an Invoke.
	Close()
}

// An Invocation is one event to handle. The context of Invoke has its deadline.
type Invocation struct {
	RequestID   string
	FunctionARN string // as it was invoked: with the alias or version, if there was one
	TraceID     string
	Payload     []byte // JSON, at most 6 MB; it belongs to the environment until Invoke returns
}
