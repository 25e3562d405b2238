package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrThrottled is the error of an invocation above the function's concurrency limit. Nothing of the
// invocation ran. Lambda answers it with status 429, TooManyRequestsException.
var ErrThrottled = errors.New("TooManyRequestsException: the function has reached its concurrency limit; retry later " +
	"or reserve more concurrency")

// ErrClosed is the error of an invocation that began after Close or was under way during it.
var ErrClosed = errors.New("the function is closed")

// ErrEnvironmentGone is the error of an Environment that ended before it took the invocation.
// Nothing of the invocation ran, and the Function uses another environment.
var ErrEnvironmentGone = errors.New("the environment has ended")

// A FunctionError is the error of an invocation whose handler returned an error or panicked. Lambda
// answers it with status 200 and the header "X-Amz-Function-Error: Unhandled".
type FunctionError struct {
	Type    string // the error's type, as aws-lambda-go names it; "errorString" for errors.New
	Message string
	Payload []byte // the JSON that Lambda answers with: errorMessage, errorType, perhaps stackTrace
	Fatal   bool   // the handler panicked or exited: its environment can't be reused
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("Unhandled %s: %s", e.Type, e.Message)
}

// newFunctionError makes a FunctionError whose payload is Lambda's error JSON.
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

// A TimeoutError is the error of an invocation that did not answer within the function's timeout.
// It wraps context.DeadlineExceeded.
type TimeoutError struct {
	RequestID string
	After     time.Duration // the function's timeout
}

// Error returns the text that Lambda logs, so that a search finds both.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", e.RequestID, e.After.Seconds())
}

func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// An ExitError is the error of an invocation whose process ended before it had answered. Lambda
// calls it Runtime.ExitError.
type ExitError struct {
	RequestID string
	Cause     error // how the process ended; nil if it exited with 0
}

func (e *ExitError) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("RequestId: %s Error: Runtime exited without providing a reason", e.RequestID)
	}
	return fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %v", e.RequestID, e.Cause)
}

func (e *ExitError) Unwrap() error { return e.Cause }

// reusableAfter reports whether an environment can run another invocation after one that ended with
// err. The same condition says whether the payload's memory is free: after any other error an
// abandoned handler may still be reading it.
func reusableAfter(err error) bool {
	var failed *FunctionError
	return err == nil || errors.As(err, &failed) && !failed.Fatal
}
