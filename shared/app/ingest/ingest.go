// Package ingest wires the ingest endpoint: the service of the same name with its adapters, as a
// Lambda function behind an HTTP API or a function URL, and as a server anywhere else.
//
// Both, and the pipeline on one machine, are built here, so that what was tried on one machine is
// what is deployed.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/shared/apigateway"
	"github.com/spillwayhq/spillway/shared/cgroup"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/ssm"
	"github.com/spillwayhq/spillway/shared/trial"
	"github.com/spillwayhq/spillway/shared/version"
)

// SQS is what the endpoint needs of an *sqs.Client.
type SQS = sqsclient.SendAPI

// Parts are what the endpoint is connected to.
type Parts struct {
	SQS SQS
	// NewSQS makes the client of a queue in another region. nil: SQS is the client of all queues.
	NewSQS func(ctx context.Context, queueURL string) (SQS, error)
	SSM    ssm.API // needed if the options name a parameter
	// Object is the source of an object of S3; needed if the options name one.
	Object  func(bucket, key string) reload.Source
	Metrics io.Writer // gets a line of JSON for each group of metrics; safe for concurrent use
	Logger  *slog.Logger
	Report  func(ingest.Summary) // also called for each request; may be nil
	// Wrap goes around the endpoint, to refuse requests before it sees them; nil: nothing does.
	Wrap func(http.Handler) http.Handler
	// Senders counts who sends what. nil: a counter of the endpoint's own does.
	Senders *heavy.Counter
}

// An Endpoint is the ingest endpoint, ready to take requests.
type Endpoint struct {
	Options Options

	handler  *ingest.Handler
	queues   *queues
	archiver *archiver      // nil: nothing is archived
	guarded  http.Handler   // handler, which answers 500 if it panics
	keys     *writekeys.Set // nil: any well-formed write key is accepted
	values   reload.Group
	counters *ingest.Counters
	senders  *heavy.Counter
	lines    io.Writer // gets the lines of senders
	metrics  *emf.Writer
	logger   *slog.Logger
	ssm      ssm.API // for trials, as object
	object   func(bucket, key string) reload.Source
}

// FromEnvironment builds the endpoint of the Lambda function or the server. out gets its log and
// its metrics, and must be safe for concurrent use.
func FromEnvironment(ctx context.Context, environ []string, out io.Writer) (*Endpoint, error) {
	o, err := readOptions(environ, cgroup.MemoryLimit())
	if err != nil {
		return nil, err
	}
	logger := jsonlog.New(out, o.LogLevel)
	o.ignored.Log(logger)
	logger.InfoContext(ctx, "configured", "version", version.String(), "config", o)
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	connections := func(o *sqs.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = ingest.DefaultMaxSends
		})
	}
	return New(ctx, o, Parts{
		SQS: sqs.NewFromConfig(cloud, connections, sqsclient.AvoidLostResponses),
		NewSQS: func(ctx context.Context, queueURL string) (SQS, error) {
			return sqsclient.NewClient(ctx, queueURL, &cloud, connections)
		},
		SSM: ssm.New(cloud), Metrics: out, Logger: logger,
		Object: func(bucket, key string) reload.Source { return s3.Source(s3.Open(cloud, bucket), key) },
	})
}

// New builds the endpoint and reads its write keys for the first time.
func New(ctx context.Context, o Options, p Parts) (*Endpoint, error) {
	e := &Endpoint{Options: o, counters: new(ingest.Counters),
		metrics: emf.NewVersionWriter(p.Metrics, o.Name, "ingest", o.Version), lines: p.Metrics, logger: p.Logger, ssm: p.SSM,
		object:  p.Object,
		senders: cmp.Or(p.Senders, heavy.NewCounter(o.Name, heavy.PartIngest))}
	var err error
	if e.queues, err = newQueues(ctx, &o, &p); err != nil {
		return nil, err
	}
	c := ingest.Config{
		Queue: e.queues.events, DeadLetters: e.queues.deadLetters,
		PublicURL: o.PublicURL, PathPrefix: o.PathPrefix, Report: e.counters.Add, Senders: e.senders,
		CanaryWriteKey: o.CanaryWriteKey, Logger: p.Logger,
	}
	c.Fair = e.fair
	if o.ArchiveQueueURL != "" {
		if e.archiver, err = newArchiver(&o, &p); err != nil {
			return nil, errors.Join(err, e.Close())
		}
		c.Archive = e.archiver.archive
	}
	if p.Report != nil {
		c.Report = func(s ingest.Summary) { e.counters.Add(s); p.Report(s) }
	}
	if s := o.Server; s != nil {
		c.Limits.MaxMemory = requestMemory(o.MemoryLimit)
		c.Linger = s.Linger
		if s.TrustedProxies > 0 {
			c.ClientIP, c.TrustForwardedProto = ingest.ForwardedAddr(s.TrustedProxies), true
		}
	}
	if e.keys, err = keySet(o, p); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if e.keys != nil {
		e.values, c.Keys = e.keys.Values(), e.keys
	}
	if o.CanaryWriteKey != "" && c.Keys != nil {
		if c.Keys, err = ingest.WithKey(c.Keys, o.CanaryWriteKey, ingest.Key{Name: "canary"}); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", envCanaryWriteKey, err), e.Close())
		}
	}
	if e.handler, err = ingest.New(c); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", envPublicURL, err), e.Close())
	}
	e.guarded = httpserver.Guard(e.handler, p.Logger)
	if p.Wrap != nil {
		e.guarded = p.Wrap(e.guarded)
	}
	e.values.Refresh(ctx)
	return e, nil
}

// keySet is the set of write keys that are accepted; nil: any well-formed one is.
func keySet(o Options, p Parts) (*writekeys.Set, error) {
	var sources []reload.Source
	if o.WriteKeysFile != "" {
		sources = append(sources, reload.File(o.WriteKeysFile))
	}
	for _, name := range o.WriteKeysParameters {
		sources = append(sources, ssm.Parameter(p.SSM, name))
	}
	if o.WriteKeysObject != "" {
		bucket, key, err := s3.ParseURI(o.WriteKeysObject)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", envKeysObject, err)
		}
		sources = append(sources, p.Object(bucket, key))
	}
	if len(sources) == 0 {
		return nil, nil
	}
	return writekeys.New(p.Logger, sources...), nil
}

// fair reports whether messages get the group of their write key now.
func (e *Endpoint) fair() bool {
	if e.Options.FairQueues == FairAmongKeys {
		return e.keys == nil || e.keys.Len() != 1
	}
	return e.Options.FairQueues == FairAlways
}

// KeysFailure returns why the configured set of write keys is not in use, or only in part; nil: it
// is, or none is configured.
func (e *Endpoint) KeysFailure() error {
	if e.keys == nil {
		return nil
	}
	return e.keys.Failure()
}

// Keys returns the write keys of the configured set, without the keys themselves, sorted by name;
// false: none is configured, and any well-formed write key is accepted.
func (e *Endpoint) Keys() (keys []ingest.Key, configured bool) {
	if e.keys == nil {
		return nil, false
	}
	return e.keys.List(), true
}

// Close unlocks the spill directory of an endpoint that is not served; Serve does it itself.
func (e *Endpoint) Close() error { return e.queues.close() }

// Lambda is the endpoint as a lambda.Handler. It reads the write keys again and writes the metrics
// within each invocation, because the function is frozen after it.
func (e *Endpoint) Lambda() Function {
	return Function{e, apigateway.Handler{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer e.writeMetrics(r.Context())
		e.values.During(r.Context(), func() { e.guarded.ServeHTTP(w, r) })
	})}}
}

// A Function is the endpoint as a Lambda function.
type Function struct {
	endpoint *Endpoint
	requests apigateway.Handler
}

// Invoke implements lambda.Handler. A trial (package trial) accepts nothing.
func (f Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if trial.Is(payload) {
		return f.endpoint.try(ctx, payload)
	}
	return f.requests.Invoke(ctx, payload)
}

func (e *Endpoint) writeMetrics(ctx context.Context) {
	if err := e.senders.WriteDue(e.lines, time.Now()); err != nil {
		e.logger.WarnContext(ctx, "the heaviest senders could not be written", "error", err)
	}
	totals := e.counters.Take()
	if len(totals.Requests) == 0 && !e.queues.waiting() {
		return
	}
	metrics := append(totals.Metrics(), e.queues.metrics()...)
	if e.archiver != nil {
		metrics = append(metrics, e.archiver.metrics()...)
	}
	if e.keys != nil {
		metrics = append(metrics, e.keys.State().Metrics()...)
	}
	if err := e.metrics.WriteWith(time.Now(), "Codes", totals.Codes(), metrics...); err != nil {
		e.logger.WarnContext(ctx, "metrics could not be written", "error", err)
	}
}
