// Package ingest wires the ingest endpoint: the service of the same name with its adapters, as a
// Lambda function behind an HTTP API or a function URL, and as a server anywhere else.
//
// Both, and the pipeline on one machine, are built here, so that what was tried on one machine is
// what is deployed.
package ingest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/spillwayhq/spillway/shared/apigateway"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// SQS is what the endpoint needs of an *sqs.Client.
type SQS interface {
	sqsclient.SendAPI
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
		...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// Parts are what the endpoint is connected to.
type Parts struct {
	SQS     SQS
	SSM     ssm.API   // needed if the options name a parameter
	Metrics io.Writer // gets a line of JSON for each group of metrics; safe for concurrent use
	Logger  *slog.Logger
	Report  func(ingest.Summary) // also called for each request; may be nil
}

// An Endpoint is the ingest endpoint, ready to take requests.
type Endpoint struct {
	Options Options

	handler  *ingest.Handler
	guarded  http.Handler   // handler, which answers 500 if it panics
	keys     *writekeys.Set // nil: any well-formed write key is accepted
	values   reload.Group
	counters *ingest.Counters
	metrics  *emf.Writer
	logger   *slog.Logger
}

// FromEnvironment builds the endpoint of the Lambda function or the server. out gets its log and
// its metrics, and must be safe for concurrent use.
func FromEnvironment(ctx context.Context, environ []string, out io.Writer) (*Endpoint, error) {
	o, err := readOptions(environ)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: o.LogLevel}))
	env.LogTrimmed(logger, o.trimmed)
	logger.Info("configured", "config", o)
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	api := sqs.NewFromConfig(cloud, func(o *sqs.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = ingest.DefaultMaxSends
		})
	}, sqsclient.AvoidLostResponses)
	return New(ctx, o, Parts{SQS: api, SSM: awsssm.NewFromConfig(cloud), Metrics: out, Logger: logger})
}

// New builds the endpoint and reads its write keys for the first time.
func New(ctx context.Context, o Options, p Parts) (*Endpoint, error) {
	e := &Endpoint{Options: o, counters: new(ingest.Counters), metrics: emf.NewWriter(p.Metrics, o.Name, "ingest"),
		logger: p.Logger}
	c := ingest.Config{
		Queue: sqsclient.NewSender(p.SQS, o.QueueURL), DeadLetters: sqsclient.NewSender(p.SQS, o.DeadLetterQueueURL),
		Health:    reachable(p.SQS, o.QueueURL),
		PublicURL: o.PublicURL, PathPrefix: o.PathPrefix, Report: e.counters.Add, Logger: p.Logger,
	}
	if p.Report != nil {
		c.Report = func(s ingest.Summary) { e.counters.Add(s); p.Report(s) }
	}
	if s := o.Server; s != nil {
		c.Linger = s.Linger
		if s.TrustedProxies > 0 {
			c.ClientIP, c.TrustForwardedProto = ingest.ForwardedAddr(s.TrustedProxies), true
		}
	}
	if e.keys = keySet(o, p); e.keys != nil {
		e.values, c.Keys = e.keys.Values(), e.keys
	}
	var err error
	if o.CanaryWriteKey != "" && c.Keys != nil {
		if c.Keys, err = ingest.WithKey(c.Keys, o.CanaryWriteKey, ingest.Key{Name: "canary"}); err != nil {
			return nil, fmt.Errorf("%s: %w", envCanaryWriteKey, err)
		}
	}
	if e.handler, err = ingest.New(c); err != nil {
		return nil, fmt.Errorf("%s: %w", envPublicURL, err)
	}
	e.guarded = httpserver.Guard(e.handler, p.Logger)
	e.values.Refresh(ctx)
	return e, nil
}

// keySet is the set of write keys that are accepted; nil: any well-formed one is.
func keySet(o Options, p Parts) *writekeys.Set {
	var sources []reload.Source
	if o.WriteKeysFile != "" {
		sources = append(sources, reload.File(o.WriteKeysFile))
	}
	for _, name := range o.WriteKeysParameters {
		sources = append(sources, ssm.Parameter(p.SSM, name))
	}
	if len(sources) == 0 {
		return nil
	}
	return writekeys.New(p.Logger, sources...)
}

// KeysFailure returns why the configured set of write keys is not in use, or only in part; nil: it
// is, or none is configured.
func (e *Endpoint) KeysFailure() error {
	if e.keys == nil {
		return nil
	}
	return e.keys.Failure()
}

// reachable asks SQS for an attribute that every queue has.
func reachable(api SQS, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
		})
		if err != nil {
			return fmt.Errorf("reach the queue: %w", err)
		}
		return nil
	}
}

// Lambda is the endpoint as a lambda.Handler. It reads the write keys again and writes the metrics
// within each invocation, because the function is frozen after it.
func (e *Endpoint) Lambda() apigateway.Handler {
	return apigateway.Handler{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer e.writeMetrics()
		e.values.During(r.Context(), func() { e.guarded.ServeHTTP(w, r) })
	})}
}

func (e *Endpoint) writeMetrics() {
	totals := e.counters.Take()
	if len(totals.Requests) == 0 {
		return
	}
	metrics := totals.Metrics()
	if e.keys != nil {
		metrics = append(metrics, e.keys.State().Metrics()...)
	}
	if err := e.metrics.Write(time.Now(), metrics...); err != nil {
		e.logger.Warn("metrics could not be written", "error", err)
	}
}
