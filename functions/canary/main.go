// Command canary is the Lambda function that a schedule calls every minute to send an event through
// the public door. It only wires: what it does, and why, is in shared/canary. See config.go for its
// environment variables.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/emf"
)

func main() {
	f, err := newFunction(os.Environ(), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "canary:", err)
		os.Exit(1)
	}
	lambda.Start(f)
}

// A function is the canary with its log and its metrics.
type function struct {
	canary  *canary.Canary
	metrics *emf.Writer
	logger  *slog.Logger
}

func newFunction(environ []string, out io.Writer) (*function, error) {
	c, err := readConfig(environ)
	if err != nil {
		return nil, err
	}
	f := &function{metrics: emf.NewWriter(out, c.name, "canary"),
		logger: slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: c.logLevel}))}
	if f.canary, err = canary.New(canary.Config{URL: c.ingestURL, WriteKey: c.writeKey}); err != nil {
		return nil, fmt.Errorf("%s or %s: %w", envIngestURL, envCanaryWriteKey, err)
	}
	f.logger.Info("configured", "config", c)
	return f, nil
}

// Invoke implements lambda.Handler. What the schedule sends does not matter. It returns no error:
// Lambda would call it again for that, and a canary that comes twice a minute hides that every
// other one fails. The metric says it.
func (f *function) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	r := f.canary.Send(ctx)
	if err := f.metrics.Write(time.Now(), r.Metrics()...); err != nil {
		f.logger.Warn("metrics could not be written", "error", err)
	}
	if r.Err != nil {
		f.logger.Error("the canary was not accepted", "latency_ms", r.Latency.Milliseconds(), "error", r.Err)
	} else {
		f.logger.Info("the canary was accepted", "latency_ms", r.Latency.Milliseconds())
	}
	return []byte("null"), nil
}
