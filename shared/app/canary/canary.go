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
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/traffic"
	"github.com/spillwayhq/spillway/shared/version"
)

// The environment variables of the function.
const (
	envName      = "SPILLWAY_NAME"       // the pipeline's; default: spillway
	envIngestURL = "SPILLWAY_INGEST_URL" // of the ingest endpoint
	// Where to connect to instead of asking DNS: host or host:port of the region's own endpoint.
	// Needed where several regions share the name in SPILLWAY_INGEST_URL. Default: DNS is asked.
	envIngestDial = "SPILLWAY_INGEST_DIAL"
	envWriteKey   = "SPILLWAY_CANARY_WRITE_KEY" // the same as the other functions have; default: canary.WriteKey
	envLogLevel   = "SPILLWAY_LOG_LEVEL"        // debug, info, warn, error; default: info
	// The log groups of ingest and deliver, with a comma between them, whose lines are compared
	// with earlier ones. Default: nothing is compared. Package traffic says what the function must
	// be allowed.
	envCompare  = "SPILLWAY_COMPARE_LOG_GROUPS"
	envLogGroup = "AWS_LAMBDA_LOG_GROUP_NAME" // set by Lambda
	// The SSM parameters that say what a person has switched by hand. Default: nothing is read.
	envPaused     = "SPILLWAY_PAUSED_PARAMETER"
	envPausedKeys = "SPILLWAY_PAUSED_KEYS_PARAMETER"
	envDrained    = "SPILLWAY_DRAINED_PARAMETER"
)

// Options are what a deployment decides about the canary.
type Options struct {
	Name      string // the pipeline's, a dimension of its metrics
	IngestURL string // of the ingest endpoint, as SDKs use it
	// IngestDial is where to connect to instead of asking DNS, see shared/canary; empty: DNS is asked.
	IngestDial string
	WriteKey   string // see shared/canary; empty: canary.WriteKey
	LogLevel   slog.Level
	// CompareLogGroups are the log groups of ingest and deliver, whose lines are compared with
	// earlier ones, and LogGroup is the function's own. None: nothing is compared.
	CompareLogGroups []string
	LogGroup         string
	// PausedParameter, PausedKeysParameter and DrainedParameter are the SSM parameters of
	// Parts.Switched. They need not exist, and the function needs ssm:GetParameter.
	PausedParameter, PausedKeysParameter, DrainedParameter string

	ignored env.Ignored
}

// LogValue shows the options without the write key.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", o.Name), slog.String("ingest_url", o.IngestURL),
		slog.String("ingest_dial", o.IngestDial),
		slog.Bool("ends_before_segment", canary.EndsBeforeSegment(o.WriteKey)),
		slog.String("compare_log_groups", strings.Join(o.CompareLogGroups, ",")),
		slog.String("paused_parameter", o.PausedParameter), slog.String("paused_keys_parameter", o.PausedKeysParameter),
		slog.String("drained_parameter", o.DrainedParameter))
}

var errNoURL = errors.New("must be the URL of the ingest endpoint that SDKs use, like https://events.example.com")

// readOptions reads the options from environ, which has the form of os.Environ. The error names
// every wrong variable.
func readOptions(environ []string) (Options, error) {
	var o Options
	var groups string
	var err error
	o.ignored, err = env.Read(environ, env.String(envName, &o.Name), env.String(envIngestURL, &o.IngestURL),
		env.String(envIngestDial, &o.IngestDial),
		env.String(envWriteKey, &o.WriteKey), env.LogLevel(envLogLevel, &o.LogLevel),
		env.String(envCompare, &groups), env.String(envLogGroup, &o.LogGroup),
		env.String(envPaused, &o.PausedParameter), env.String(envPausedKeys, &o.PausedKeysParameter),
		env.String(envDrained, &o.DrainedParameter))
	if groups != "" {
		o.CompareLogGroups = strings.Split(groups, ",")
	}
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
	// Traffic is compared every five minutes with what is usual, after the canary was sent. nil:
	// nothing is compared.
	Traffic traffic.Source
	// Switched is what a person has switched by hand. It is read every minute, after the canary was
	// sent.
	Switched Switched
}

// A Function sends a canary event for each invocation. It implements lambda.Handler.
type Function struct {
	canary   *canary.Canary
	pipeline string
	metrics  *emf.Writer
	parts    Parts
	switches []*gauge
	// drainedAt is the last minute in which the region was drained; zero: none is known.
	drainedAt time.Time
}

// FromEnvironment builds the Lambda function. out gets its log and its metrics.
func FromEnvironment(ctx context.Context, environ []string, out io.Writer) (*Function, error) {
	o, err := readOptions(environ)
	if err != nil {
		return nil, err
	}
	logger := jsonlog.New(out, o.LogLevel)
	p := Parts{Metrics: out, Logger: logger}
	if len(o.CompareLogGroups) > 0 {
		if p.Traffic, err = deployedTraffic(ctx, &o); err != nil { // the canary must run all the same
			logger.ErrorContext(ctx, "the traffic can't be compared", "error", err)
		}
	}
	if p.Switched, err = deployedSwitches(ctx, &o); err != nil {
		logger.ErrorContext(ctx, "what a person has switched by hand can't be read", "error", err)
	}
	f, err := New(o, p)
	if err != nil {
		return nil, fmt.Errorf("%s, %s or %s: %w", envIngestURL, envIngestDial, envWriteKey, err)
	}
	o.ignored.Log(logger)
	logger.InfoContext(ctx, "configured", "version", version.String(), "config", o)
	return f, nil
}

// New builds the function.
func New(o Options, p Parts) (*Function, error) {
	c, err := canary.New(canary.Config{URL: o.IngestURL, WriteKey: cmp.Or(o.WriteKey, canary.WriteKey),
		Transport: p.Transport, Dial: o.IngestDial})
	if err != nil {
		return nil, err
	}
	return &Function{canary: c, pipeline: o.Name, metrics: emf.NewWriter(p.Metrics, o.Name, "canary"), parts: p,
		switches: p.Switched.gauges(p.Logger)}, nil
}

// Invoke implements lambda.Handler; the payload is the schedule's event. It returns no error,
// because Lambda would then invoke it again: a canary that is sent twice a minute conceals that
// every other one fails. A metric reports the failure.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	minute := scheduled(payload, time.Now())
	f.send(ctx, minute)
	f.writeSwitches(ctx, minute)
	f.compare(ctx, minute)
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
		minute := time.Now().Truncate(canary.Interval)
		f.send(context.WithoutCancel(ctx), minute)
		f.writeSwitches(ctx, minute)
		f.compare(ctx, minute)
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
