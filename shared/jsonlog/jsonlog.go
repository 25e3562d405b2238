// Package jsonlog makes the lines that a function writes: JSON, and with the id of the Lambda
// request in which they were written.
//
// Lambda writes lines of its own: START, END, REPORT, and "Task timed out". They name the request,
// and ours do too, so that a query finds everything that one invocation left.
//
// aws-lambda-go writes by package log: what a handler returned as its error, a panic with its
// stack, and its own errors in talking to Lambda. Such lines begin with a date, so a query over
// JSON fields would not find the very lines that say why an invocation failed. [Redirect] makes
// them JSON too.
package jsonlog

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// requestID is the key of the id of the Lambda request.
const requestID = "request_id"

// New returns a logger that writes lines of JSON to out, which must be safe for concurrent use if
// several loggers share it. A line that is logged with the context of an invocation has the id of
// its request.
func New(out io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(withRequest{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})})
}

// withRequest adds the id to the lines of a handler.
type withRequest struct{ slog.Handler }

func (h withRequest) Handle(ctx context.Context, r slog.Record) error {
	if c, ok := lambdacontext.FromContext(ctx); ok && c.AwsRequestID != "" {
		r.AddAttrs(slog.String(requestID, c.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h withRequest) WithAttrs(attributes []slog.Attr) slog.Handler {
	return withRequest{h.Handler.WithAttrs(attributes)}
}

func (h withRequest) WithGroup(name string) slog.Handler {
	return withRequest{h.Handler.WithGroup(name)}
}

// A Log is where the lines of package log go.
type Log struct {
	*slog.Logger
	request atomic.Pointer[lambdacontext.LambdaContext] // of the last invocation that has begun
}

// Redirect makes package log write lines of JSON to out, and returns a logger of such lines. It is
// for the begin of main: package log has one output for the whole process.
func Redirect(out io.Writer) *Log {
	l := &Log{Logger: New(out, nil)}
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(lines{l})
	return l
}

// A Handler is a lambda.Handler.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Follow returns the handler for lambda.Start that lets the lines of package log have the id of the
// request: aws-lambda-go writes them after the handler has returned, without a context. Lambda
// calls a process for one request at a time.
func (l *Log) Follow(h Handler) Handler { return followed{h, l} }

type followed struct {
	Handler
	log *Log
}

func (f followed) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if c, ok := lambdacontext.FromContext(ctx); ok {
		f.log.request.Store(c)
	}
	return f.Handler.Invoke(ctx, payload)
}

// lines is the output of package log. Each Write is a line, perhaps with line feeds in it. It is
// safe for concurrent use.
type lines struct{ log *Log }

// failure is what aws-lambda-go writes of an invocation that failed.
type failure struct {
	Message string          `json:"errorMessage"`
	Type    string          `json:"errorType"`
	Stack   json.RawMessage `json:"stackTrace"` // of a panic
}

func (l lines) Write(line []byte) (int, error) {
	ctx := context.Background()
	if c := l.log.request.Load(); c != nil {
		ctx = lambdacontext.NewContext(ctx, c)
	}
	var f failure
	if err := json.Unmarshal(line, &f); err != nil || f.Type == "" {
		l.log.WarnContext(ctx, strings.TrimSpace(string(line)))
		return len(line), nil
	}
	attributes := []any{"error", f.Message, "error_type", f.Type}
	if len(f.Stack) > 0 {
		attributes = append(attributes, "stack", f.Stack)
	}
	l.log.ErrorContext(ctx, "the invocation failed", attributes...)
	return len(line), nil
}
