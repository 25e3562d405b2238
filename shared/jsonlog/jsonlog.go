// Package jsonlog makes JSON of what a function writes by package log, as its own lines are.
//
// aws-lambda-go writes by package log: what a handler returned as its error, a panic with its
// stack, and its own errors in talking to Lambda. Such lines begin with a date, so a query over
// JSON fields would not find the very lines that say why an invocation failed.
package jsonlog

import (
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"strings"
)

// Redirect makes package log write lines of JSON to out, and returns a logger of such lines. It is
// for the begin of main: package log has one output for the whole process.
func Redirect(out io.Writer) *slog.Logger {
	logger := slog.New(slog.NewJSONHandler(out, nil))
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(lines{logger})
	return logger
}

// lines is the output of package log. Each Write is a line, perhaps with line feeds in it. It is
// safe for concurrent use.
type lines struct{ logger *slog.Logger }

// failure is what aws-lambda-go writes of an invocation that failed.
type failure struct {
	Message string          `json:"errorMessage"`
	Type    string          `json:"errorType"`
	Stack   json.RawMessage `json:"stackTrace"` // of a panic
}

func (l lines) Write(line []byte) (int, error) {
	var f failure
	if err := json.Unmarshal(line, &f); err != nil || f.Type == "" {
		l.logger.Warn(strings.TrimSpace(string(line)))
		return len(line), nil
	}
	attributes := []any{"error", f.Message, "error_type", f.Type}
	if len(f.Stack) > 0 {
		attributes = append(attributes, "stack", f.Stack)
	}
	l.logger.Error("the invocation failed", attributes...)
	return len(line), nil
}
