package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// A Handler is a function's code, as aws-lambda-go's lambda.Handler. That package is left to the
// functions: it brings net/rpc and its decoder, which this process does not need.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// InProcess makes environments that run a handler in this process. Each environment calls factory
// once, as Lambda runs a function's init, so that environments share no handler. The calls may be
// concurrent.
//
// A handler that passes its deadline is abandoned: its goroutine runs until it returns, and its
// late answer is ignored. A handler must not read its payload after it has returned, because the
// memory is reused.
func InProcess(factory func() (Handler, error)) EnvironmentFactory {
	return func(context.Context, FunctionInfo) (Environment, error) {
		handler, err := factory()
		if err != nil {
			return nil, err
		}
		if handler == nil {
			return nil, errors.New("the factory must return a handler or an error, returned neither")
		}
		return &inProcess{handler}, nil
	}
}

type inProcess struct {
	handler Handler
}

type answer struct {
	response []byte
	err      error
}

func (e *inProcess) Invoke(ctx context.Context, invocation Invocation) ([]byte, error) {
	handlerCtx := lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{
		AwsRequestID:       invocation.RequestID,
		InvokedFunctionArn: invocation.FunctionARN,
	})
	answered := make(chan answer, 1) // buffered: a late answer is dropped, and its goroutine ends
	go func() { answered <- call(handlerCtx, e.handler, invocation.Payload) }()
	select {
	case a := <-answered:
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ctx.Err() // both at once: the deadline wins
		}
		return a.response, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *inProcess) Close() {}

// call invokes the handler. It turns a returned error and a panic into what aws-lambda-go makes of
// them. A handler that ends its goroutine (runtime.Goexit, as testing.T.FailNow does) ends call with
// it: its invocation times out.
func call(ctx context.Context, handler Handler, payload []byte) (a answer) {
	defer func() {
		if cause := recover(); cause != nil {
			failed := newFunctionError(typeName(cause), fmt.Sprint(cause), true)
			failed.Payload = withStack(failed.Payload, debug.Stack())
			a = answer{err: failed}
		}
	}()
	response, err := handler.Invoke(ctx, payload)
	if err == nil {
		return answer{response: response}
	}
	if told, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		return answer{err: newFunctionError(told.Type, told.Message, told.ShouldExit)}
	}
	return answer{err: newFunctionError(typeName(err), err.Error(), false)}
}

// typeName names a value's type as aws-lambda-go does: without package and pointer.
func typeName(value any) string {
	t := reflect.TypeOf(value)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// withStack adds the stack to an error's JSON.
func withStack(payload, stack []byte) []byte {
	text, err := json.Marshal(string(stack))
	if err != nil { // a string can always be marshalled
		return payload
	}
	payload = append(payload[:len(payload)-1], `,"stackTrace":[`...)
	payload = append(payload, text...)
	return append(payload, "]}"...)
}
