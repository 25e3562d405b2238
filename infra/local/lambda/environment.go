package lambda

import "context"

// An EnvironmentFactory makes an environment, which includes the function's init. The context ends
// when Lambda would give up the init; it is not the environment's life.
type EnvironmentFactory func(ctx context.Context, info FunctionInfo) (Environment, error)

// FunctionInfo is what an environment knows of its function.
type FunctionInfo struct {
	Name     string
	ARN      string
	Region   string
	MemoryMB int
}

// An Environment runs one function's invocations, one after the other.
type Environment interface {
	// Invoke runs one invocation and returns the handler's answer. It is never called twice at the
	// same time. When ctx is done first it returns an error that wraps ctx's, at once, and may go
	// on reading the payload: the environment is then closed and never used again. A *FunctionError
	// that is not Fatal leaves it usable; after any other error it is closed. ErrEnvironmentGone
	// promises that nothing of the invocation has run.
	Invoke(ctx context.Context, invocation Invocation) ([]byte, error)

	// Close ends the environment and returns when it has ended. It may be called after a failed
	// Invoke, but not during one.
	Close()
}

// An Invocation is one event to handle. Its deadline is its context's.
type Invocation struct {
	RequestID   string
	FunctionARN string
	TraceID     string
	Payload     []byte // JSON; it belongs to the environment until Invoke returns
}
