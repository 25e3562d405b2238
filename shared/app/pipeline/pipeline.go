// Package pipeline wires the parts of a whole pipeline for one process: ingest endpoint, deliver
// function and canary, each by the function that builds what is deployed.
//
// On AWS the CDK app decides what the parts have in common, such as the queues and the canary's
// write key, and passes it in the environment. Here one set of options has it.
package pipeline

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	appcanary "github.com/spillwayhq/spillway/shared/app/canary"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	appingest "github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// Options are what a deployment decides about a pipeline.
type Options struct {
	Name                         string // a dimension of its metrics
	QueueURL, DeadLetterQueueURL string
	BulkQueueURL                 string           // empty: there is no bulk queue
	IngestURL                    string           // where the canary sends its events
	WriteKeysFile                string           // the write keys that are accepted; empty: any well-formed one
	Server                       appingest.Server // of the ingest endpoint
	SegmentURL                   string
	Gzip                         bool   // requests to Segment
	WriteKey                     string // of messages that carry none
}

// Ingest are the options of the ingest endpoint.
func (o *Options) Ingest() appingest.Options {
	return appingest.Options{Name: o.Name, QueueURL: o.QueueURL, DeadLetterQueueURL: o.DeadLetterQueueURL,
		WriteKeysFile: o.WriteKeysFile, CanaryWriteKey: canary.WriteKey, Server: &o.Server}
}

// Deliver are the options of the deliver function. They have the canary's write key even if no
// canary runs, because the queue may hold canaries of an earlier run.
func (o *Options) Deliver() appdeliver.Options {
	return appdeliver.Options{Name: o.Name, QueueURL: o.QueueURL, DeadLetterQueueURL: o.DeadLetterQueueURL,
		BulkQueueURL: o.BulkQueueURL, Endpoint: o.SegmentURL, Gzip: o.Gzip, WriteKey: o.WriteKey,
		CanaryWriteKey: canary.WriteKey}
}

// Canary are the options of the canary.
func (o *Options) Canary() appcanary.Options {
	return appcanary.Options{Name: o.Name, IngestURL: o.IngestURL, WriteKey: canary.WriteKey}
}

// SQS is what the parts need of an *sqs.Client.
type SQS interface {
	sqsclient.API
	appingest.SQS
}

// Parts are what a pipeline is connected to.
type Parts struct {
	SQS       SQS
	Transport http.RoundTripper // to Segment; nil: the client's own
	Metrics   io.Writer         // gets a line of JSON for each group of metrics; safe for concurrent use
	Logger    *slog.Logger

	// These are called with what happened. Each may be nil.
	OnRequest    func(ingest.Summary)
	OnInvocation func(deliver.Report)
	OnCanary     func(canary.Result)
	Observer     func() deliver.Watch            // see deliver.Config
	WrapIngest   func(http.Handler) http.Handler // see appingest.Parts

	// These count who sends what; nil: the parts' own do. Traffic is what the canary compares; nil:
	// nothing is.
	IngestSenders, DeliverSenders *heavy.Counter
	Traffic                       traffic.Source
	// Switched is what a person has switched by hand, which the canary writes as metrics; zero:
	// nothing is. PausedKeys are the write keys of it, which deliver retains; nil: there are none.
	Switched   appcanary.Switched
	PausedKeys func() operator.Keys
	// Archive gets what has ended; nil: nothing is archived.
	Archive archive.Appender
}

// A Pipeline builds the parts.
type Pipeline struct {
	Options
	Parts
}

// NewIngest builds the ingest endpoint.
func (p *Pipeline) NewIngest(ctx context.Context) (*appingest.Endpoint, error) {
	o := p.Options.Ingest()
	if p.Archive != nil {
		o.ArchiveQueueURL = p.BulkQueueURL
	}
	return appingest.New(ctx, o,
		appingest.Parts{SQS: p.SQS, Metrics: p.Metrics, Logger: p.Logger, Report: p.OnRequest, Wrap: p.WrapIngest,
			Senders: p.IngestSenders})
}

// NewDeliver returns a function that makes a Handler for each environment of the deliver function.
func (p *Pipeline) NewDeliver() (factory func() (*appdeliver.Handler, error), err error) {
	return appdeliver.NewFactory(p.Options.Deliver(), appdeliver.Parts{SQS: p.SQS, Transport: p.Transport,
		Metrics: p.Metrics, Logger: p.Logger, Report: p.OnInvocation, Observer: p.Observer,
		Senders: p.DeliverSenders, PausedKeys: p.PausedKeys, Archive: p.Archive})
}

// NewCanary builds the canary.
func (p *Pipeline) NewCanary() (*appcanary.Function, error) {
	return appcanary.New(p.Options.Canary(), appcanary.Parts{Metrics: p.Metrics, Logger: p.Logger, Report: p.OnCanary,
		Traffic: p.Traffic, Switched: p.Switched})
}
