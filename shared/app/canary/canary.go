// Package canary wires the function that sends an event through the pipeline every minute.
package canary

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/version"
)

// The environment variables of the function.
const (
	envName      = "SPILLWAY_NAME"             // the pipeline's; default: spillway
	envIngestURL = "SPILLWAY_INGEST_URL"       // of the ingest endpoint
	envWriteKey  = "SPILLWAY_CANARY_WRITE_KEY" // the same as the other functions have; default: canary.WriteKey
	envLogLevel  = "SPILLWAY_LOG_LEVEL"        // debug, info, warn, error; default: info
)

// Options are what a deployment decides about the canary.
type Options struct {
	Name      string // the pipeline's, a dimension of its metrics
	IngestURL string // of the ingest endpoint, as SDKs use it
	WriteKey  string // see shared/canary; empty: canary.WriteKey
	LogLevel  slog.Level

	trimmed []string // see env.Read
}

// LogValue shows the options without the write key.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", o.Name), slog.String("ingest_url", o.IngestURL),
		slog.Bool("ends_before_segment", canary.EndsBeforeSegment(o.WriteKey)))
}

var errNoURL = errors.New("must be the URL of the ingest endpoint that SDKs use, like https://events.example.com")

// readOptions reads the options from environ, which has the form of os.Environ. The error names
// every wrong variable.
func readOptions(environ []string) (Options, error) {
	var o Options
	var err error
	o.trimmed, err = env.Read(environ, env.String(envName, &o.Name), env.String(envIngestURL, &o.IngestURL),
		env.String(envWriteKey, &o.WriteKey), env.LogLevel(envLogLevel, &o.LogLevel))
	if o.IngestURL == "" {
		err = errors.Join(err, fmt.Errorf("%s %w", envIngestURL, errNoURL))
	}
	o.Name, o.WriteKey = cmp.Or(o.Name, emf.DefaultPipeline), cmp.Or(o.WriteKey, canary.WriteKey)
	return o, err
}

// Parts are what the function is connected to.
type Parts struct {
	Metrics io.Writer // gets a line of JSON for each group of metrics
	Logger  *slog.Logger
	Report  func(canary.Result) // called for each event; may be nil
	// Transport is of the requests to the ingest endpoint; nil: http.DefaultTransport.
	Transport http.RoundTripper
}

// A Function sends a canary event for each invocation. It implements lambda.Handler.
type Function struct {
	canary  *canary.Canary
	metrics *emf.Writer
	parts   Parts
}

// FromEnvironment builds the Lambda function. out gets its log and its metrics.
func FromEnvironment(environ []string, out io.Writer) (*Function, error) {
	o, err := readOptions(environ)
	if err != nil {
		return nil, err
	}
	logger := jsonlog.New(out, o.LogLevel)
	f, err := New(o, Parts{Metrics: out, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("%s or %s: %w", envIngestURL, envWriteKey, err)
	}
	env.LogTrimmed(logger, o.trimmed)
	logger.Info("configured", "version", version.String(), "config", o)
	return f, nil
}

// New builds the function.
func New(o Options, p Parts) (*Function, error) {
	c, err := canary.New(canary.Config{URL: o.IngestURL, WriteKey: cmp.Or(o.WriteKey, canary.WriteKey),
		Transport: p.Transport})
	if err != nil {
		return nil, err
	}
	return &Function{c, emf.NewWriter(p.Metrics, o.Name, "canary"), p}, nil
}

// Invoke implements lambda.Handler; the payload is the schedule's event. It returns no error,
// because Lambda would then invoke it again: a canary that is sent twice a minute conceals that
// every other one fails. A metric reports the failure.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	f.send(ctx, scheduled(payload, time.Now()))
	return []byte("null"), nil
}

// scheduled is the minute for which EventBridge invokes the function. Who invokes it by hand sends
// no time, or one of a test event, so a time that is not of the last minutes counts as none.
func scheduled(payload []byte, now time.Time) time.Time {
	var e struct{ Time time.Time }
	_ = json.Unmarshal(payload, &e)
	if late := now.Sub(e.Time); late < -canary.Interval || late > canary.MissingAfter {
		e.Time = now
	}
	return e.Time.Truncate(canary.Interval)
}

// Run replaces the schedule where there is none: it sends an event at once and then every minute
// until ctx ends. It returns after the event under way has been answered, so that it is counted.
func (f *Function) Run(ctx context.Context) {
	every := time.NewTicker(canary.Interval)
	defer every.Stop()
	for {
		f.send(context.WithoutCancel(ctx), time.Now().Truncate(canary.Interval))
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (f *Function) send(ctx context.Context, minute time.Time) {
	r := f.canary.Send(ctx, minute)
	if err := f.metrics.Write(time.Now(), r.Metrics()...); err != nil {
		f.parts.Logger.WarnContext(ctx, "metrics could not be written", "error", err)
	}
	if f.parts.Report != nil {
		f.parts.Report(r)
	}
	if r.Err != nil {
		f.parts.Logger.ErrorContext(ctx, "the canary was not accepted", "latency_ms", r.Latency.Milliseconds(), "error",
			r.Err)
	} else {
		f.parts.Logger.InfoContext(ctx, "the canary was accepted", "latency_ms", r.Latency.Milliseconds())
	}
}
