// Package deliver wires the deliver function: the service of the same name with its adapters.
//
// The Lambda function, the pipeline on one machine and the tests in virtual time are built here, so
// that what was tried on one machine is what is deployed.
package deliver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/firehose"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/eventbridge"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/ssm"
	"github.com/spillwayhq/spillway/shared/trial"
	"github.com/spillwayhq/spillway/shared/version"
)

// Parts are what the function is connected to.
type Parts struct {
	SQS       sqsclient.API
	SSM       ssm.API           // needed if the options name a parameter
	Transport http.RoundTripper // to Segment; nil: the client's own
	Metrics   io.Writer         // gets a line of JSON for each group of metrics; safe for concurrent use
	Logger    *slog.Logger
	// Bus is told what happens, if the options say so, and Backlog then says how many messages the
	// queue holds. Environment names this one to who is told.
	Bus         Bus
	Backlog     func(context.Context) (messages int, err error)
	Environment string
	// Report is called for each invocation, after its metrics have been written; may be nil.
	Report func(deliver.Report)
	// Observer is deliver.Config.Observer.
	Observer func() deliver.Watch
	// PausedKeys is deliver.Config.PausedKeys where no parameter has them; may be nil.
	PausedKeys func() operator.Keys
	// Senders counts who sends what. nil: a counter of the function's own does.
	Senders *heavy.Counter
	// Archive is deliver.Config.Archive; nil: nothing is archived.
	Archive archive.Appender
}

// A Handler is the deliver function. It implements lambda.Handler.
type Handler struct {
	handler *deliver.Handler
	values  reload.Group
	try     func(ctx context.Context, payload []byte) (outcome []byte, err error)
}

// FromEnvironment builds the Lambda function. out gets its log and its metrics.
func FromEnvironment(ctx context.Context, environ []string, out io.Writer) (*Handler, error) {
	o, err := readOptions(environ)
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
	queues := sqs.NewFromConfig(cloud, sqsclient.AvoidLostResponses)
	parts := Parts{SQS: queues, SSM: ssm.New(cloud), Bus: eventbridge.New(cloud),
		Backlog: backlogOf(queues, o.QueueURL), Environment: lambdacontext.LogStreamName, Metrics: out, Logger: logger}
	if o.ArchiveStream != "" {
		parts.Archive = firehose.New(cloud, o.ArchiveStream)
	}
	h, err := New(o, parts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", envEndpoint, err) // the rest has been validated
	}
	h.values.Refresh(ctx)
	return h, nil
}

// New builds the function. It reads no parameter before the first invocation.
func New(o Options, p Parts) (*Handler, error) {
	factory, err := NewFactory(o, p)
	if err != nil {
		return nil, err
	}
	return factory()
}

// NewFactory returns a function that makes a Handler for each of several environments in one
// process. They share the adapters; each has its own breaker and limits.
func NewFactory(o Options, p Parts) (factory func() (*Handler, error), err error) {
	c, values, err := Configure(o, p)
	if err != nil {
		return nil, err
	}
	return func() (*Handler, error) {
		c := c
		if o.EventBridge {
			n := &notifier{pipeline: o.Name, environment: p.Environment, bus: p.Bus, backlog: p.Backlog,
				metrics: emf.NewWriter(p.Metrics, o.Name, "deliver"), logger: p.Logger}
			report := c.Report
			c.Report = func(ctx context.Context, r deliver.Report) {
				report(ctx, r)
				n.after(ctx, &r)
			}
		}
		handler, err := deliver.New(c)
		if err != nil {
			return nil, err
		}
		return &Handler{handler, values, func(ctx context.Context, payload []byte) ([]byte, error) {
			return try(ctx, o, p.SSM, payload)
		}}, nil
	}, nil
}

// Invoke implements lambda.Handler. While it delivers, it refreshes the parameters that are due. A
// trial (package trial) delivers nothing.
func (h *Handler) Invoke(ctx context.Context, payload []byte) (response []byte, err error) {
	if trial.Is(payload) {
		return h.try(ctx, payload)
	}
	h.values.During(ctx, func() { response, err = h.handler.Invoke(ctx, payload) })
	return response, err
}

// Configure returns the service's configuration, and the values in it that come from SSM
// parameters: the caller must refresh them.
func Configure(o Options, p Parts) (deliver.Config, reload.Group, error) {
	metrics, senders := emf.NewVersionWriter(p.Metrics, o.Name, "deliver", o.Version),
		cmp.Or(p.Senders, heavy.NewCounter(o.Name, heavy.PartDeliver))
	c := deliver.Config{
		Queue:          sqsclient.New(p.SQS, o.QueueURL),
		DeadLetters:    sqsclient.New(p.SQS, o.DeadLetterQueueURL),
		WriteKey:       o.WriteKey,
		CanaryWriteKey: o.CanaryWriteKey, CanaryEndsHere: canary.EndsBeforeSegment(o.CanaryWriteKey),
		Logger: p.Logger, Observer: p.Observer, Senders: senders, Archive: p.Archive,
		Report: func(ctx context.Context, s deliver.Report) {
			if err := metrics.Write(time.Now(), s.Metrics()...); err != nil {
				p.Logger.WarnContext(ctx, "metrics could not be written", "error", err)
			}
			if err := senders.WriteDue(p.Metrics, time.Now()); err != nil {
				p.Logger.WarnContext(ctx, "the heaviest senders could not be written", "error", err)
			}
			if p.Report != nil {
				p.Report(s)
			}
		},
	}
	if o.BulkQueueURL != "" {
		c.BulkQueue, c.BulkQueueName = sqsclient.New(p.SQS, o.BulkQueueURL), path.Base(o.BulkQueueURL)
	}
	c.PausedKeys = p.PausedKeys
	var values reload.Group
	if o.PausedKeysParameter != "" {
		keys := newPausedKeys(ssm.Parameter(p.SSM, o.PausedKeysParameter), p.Logger)
		c.PausedKeys = func() operator.Keys { k, _ := keys.Load(); return k }
		values = append(values, keys)
	}
	if o.WriteKeyParameter != "" {
		key := newWriteKey(ssm.Parameter(p.SSM, o.WriteKeyParameter), p.Logger)
		c.CurrentWriteKey = func() string { k, _ := key.Load(); return k }
		values = append(values, key)
	}
	if o.DrillParameter != "" && o.CanaryWriteKey != "" {
		until := newDrill(ssm.Parameter(p.SSM, o.DrillParameter), p.Logger)
		c.DropCanary = func(event []byte) bool { return drilling(until, time.Now()) && canary.Sent(event) }
		values = append(values, until)
	}
	sc := segment.Config{Endpoint: o.Endpoint, Gzip: o.Gzip, GzipLevel: o.GzipLevel, Transport: p.Transport}
	if o.EndpointParameter != "" {
		e := newEndpoint(ssm.Parameter(p.SSM, o.EndpointParameter), sc, p.Logger)
		c.Segment, values = e, append(values, e)
		return c, values, nil
	}
	client, err := segment.NewClient(sc)
	if err != nil {
		return c, nil, err
	}
	c.Segment = client
	return c, values, nil
}
