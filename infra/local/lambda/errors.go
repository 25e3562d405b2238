package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrThrottled says that a function has as many invocations under way as it may: it has run
// nothing. Lambda answers it with status 429, TooManyRequestsException.
var ErrThrottled = errors.New("TooManyRequestsException: the function has reached its concurrency; try again later " +
	"or reserve more")

// ErrClosed says that a function was closed before or during an invocation.
var ErrClosed = errors.New("the function is closed")

// ErrEnvironmentGone is what an Environment answers when it had ended before it took the
// invocation, so that nothing of it has run. The Function then takes another environment.
var ErrEnvironmentGone = errors.New("the environment has ended")

// A FunctionError is an invocation that the function itself failed: its handler returned an error
// or panicked. Lambda answers it with status 200 and the header "X-Amz-Function-Error: Unhandled".
type FunctionError struct {
	Type    string // the error's type, as aws-lambda-go names it; "errorString" for errors.New
	Message string
	Payload []byte // the JSON that Lambda answers with: errorMessage, errorType, perhaps stackTrace
	Fatal   bool   // the environment can't be used again: it panicked or exited
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("Unhandled %s: %s", e.Type, e.Message)
}

// newFunctionError makes a FunctionError of the parts that Lambda's error JSON has.
func newFunctionError(kind, message string, fatal bool) *FunctionError {
	payload, err := json.Marshal(errorJSON{Message: message, Type: kind})
	if err != nil { // two strings can always be marshalled
		payload = []byte(`{"errorType":"Unhandled"}`)
	}
	return &FunctionError{Type: kind, Message: message, Payload: payload, Fatal: fatal}
}

// errorJSON is the body of an error in the Runtime API and in an answer of Lambda.
type errorJSON struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// A TimeoutError is an invocation that had not answered when its function's time-out was over. It
// wraps context.DeadlineExceeded.
type TimeoutError struct {
	RequestID string
	After     time.Duration // the function's time-out
}

// Error is worded as Lambda words it, so that a search for the one finds the other.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", e.RequestID, e.After.Seconds())
}

func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// An ExitError is an invocation whose process ended before it was done. Lambda calls it
// Runtime.ExitError.
type ExitError struct {
	RequestID string
	Cause     error // of the process; nil if it exited with 0
}

func (e *ExitError) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("RequestId: %s Error: Runtime exited without providing a reason", e.RequestID)
	}
	return fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %v", e.RequestID, e.Cause)
}

func (e *ExitError) Unwrap() error { return e.Cause }

// usableAfter says whether an environment can take another invocation after one that ended with
// err. It is also the answer to whether the payload is free again: in every other case something
// abandoned may still be reading it.
func usableAfter(err error) bool {
	var failed *FunctionError
	return err == nil || errors.As(err, &failed) && !failed.Fatal
}
