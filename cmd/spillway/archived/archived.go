// Package archived opens what the verbs that read the archive work on: the archive of a pipeline,
// its queues, and whether Segment takes its events. A running `spillway up` says where they are, a
// pipeline on AWS by the outputs of its stack.
package archived

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/health"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
	"github.com/spillwayhq/spillway/shared/archive/s3store"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Flags name a pipeline: --name one on AWS, --queue-url a local one, or one on AWS too.
type Flags struct {
	pipeline deployed.Name
	queueURL string
	set      func() bool // whether queueURL was given
}

// Register adds the flags to a verb.
func (f *Flags) Register(c *cobra.Command) {
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL,
		"`URL` of the events queue of the pipeline")
	f.set = func() bool { return c.Flags().Changed("queue-url") }
}

// Given returns the flags that were given, to be pasted into a shell behind a verb; empty if none
// was.
func (f *Flags) Given() string {
	switch {
	case f.pipeline.Given():
		return " --name " + f.pipeline.Value()
	case f.set():
		return " --queue-url " + terminal.ShellWord(f.queueURL)
	}
	return ""
}

// A Pipeline is a pipeline with an archive. It is safe for concurrent use.
type Pipeline struct {
	Names         topology.Names
	EventsURL     string // of the events queue
	BulkURL       string // of the bulk queue
	DeadLetterURL string // of the dead-letter queue
	API           *sqs.Client
	Store         archive.Store
	Place         string // where the archive is, for people: a directory, or s3://BUCKET
	Local         bool   // it runs on this machine
	PageURL       string // of the operator's page of a running `up`; empty: there is none
}

// CheckSegment returns an error if Segment does not take the pipeline's events at present, or if
// that can't be found out.
func (p *Pipeline) CheckSegment(ctx context.Context) error { return health.Check(ctx, p.EventsURL) }

// ErrNoArchive says that a pipeline has no archive.
var ErrNoArchive = errors.New("keeps no archive")

// Open finds the pipeline that the flags name, and opens its archive. Nothing is read of it yet. With
// an ErrNoArchive it returns the pipeline, without a Store.
func (f *Flags) Open(ctx context.Context) (*Pipeline, error) {
	if f.pipeline.Given() {
		if f.set() {
			return nil, errors.New("--name already names the pipeline: remove --queue-url")
		}
		names, err := f.pipeline.Names()
		if err != nil {
			return nil, err
		}
		c, err := deployed.Config(ctx)
		if err != nil {
			return nil, err
		}
		return openAWS(ctx, c, names)
	}
	if err := queues.CheckEvents(f.queueURL); err != nil {
		return nil, err
	}
	place, err := sqsclient.ParseURL(f.queueURL)
	if err != nil {
		return nil, queues.Explain(err, f.queueURL)
	}
	if place.Region != "" {
		return openByURL(ctx, f.queueURL, place.Region)
	}
	return openLocal(ctx, f.queueURL)
}

// openByURL opens a pipeline on AWS by its events queue.
func openByURL(ctx context.Context, queueURL, region string) (*Pipeline, error) {
	names, ok := topology.NamesOfEventsQueue(path.Base(queueURL))
	if !ok {
		return nil, fmt.Errorf("no pipeline has an events queue %s, so that its archive is unknown: name the pipeline with "+
			"--name", queueURL)
	}
	c, err := deployed.Config(ctx, awsconfig.WithRegion(region))
	if err != nil {
		return nil, err
	}
	return openAWS(ctx, c, names)
}

func openAWS(ctx context.Context, c aws.Config, names topology.Names) (*Pipeline, error) {
	stack := names.Stack(c.Region)
	outputs, err := deployed.Outputs(ctx, c, stack)
	if deployed.NoStack(err) {
		return nil, fmt.Errorf("there is no stack %s: is a pipeline with --name %s deployed in this region and account? "+
			"(a local pipeline is found by --queue-url)", stack, names.Pipeline)
	} else if err != nil {
		return nil, deployed.Explain(err, "read the outputs of the stack "+stack, "cloudformation:DescribeStacks")
	}
	p := &Pipeline{
		Names: names, EventsURL: outputs[topology.OutputEventsQueueURL], BulkURL: outputs[topology.OutputBulkQueueURL],
		DeadLetterURL: outputs[topology.OutputDeadLetterQueueURL], API: sqs.NewFromConfig(c),
	}
	bucket := outputs[topology.OutputArchiveBucket]
	switch {
	case p.BulkURL == "":
		return nil, fmt.Errorf("the stack %s has no bulk queue: deploy this version of Spillway", stack)
	case bucket == "":
		return p, fmt.Errorf("pipeline %s in %s %w: deploy it with -c archive=true; what was delivered before that is not "+
			"in it", names.Pipeline, c.Region, ErrNoArchive)
	}
	p.Place = "s3://" + bucket
	p.Store = s3store.Open(c, bucket)
	return p, nil
}

// maxStatus bounds the status that is read, in bytes.
const maxStatus = 16 << 20

// openLocal asks the running `up` that a queue belongs to.
func openLocal(ctx context.Context, queueURL string) (*Pipeline, error) {
	status, err := readStatus(ctx, queueURL)
	if err != nil {
		return nil, err
	}
	names, ok := topology.NamesOfEventsQueue(path.Base(strings.TrimRight(queueURL, "/")))
	switch {
	case !ok || status.BulkQueueURL == "" || path.Base(status.BulkQueueURL) != names.BulkQueue:
		return nil, fmt.Errorf("the `spillway up` that runs there does not deliver %s: give the --queue-url that it prints",
			queueURL)
	}
	p := &Pipeline{Names: names, EventsURL: queueURL, BulkURL: beside(queueURL, names.BulkQueue),
		DeadLetterURL: beside(queueURL, names.DeadLetterQueue), Place: status.ArchiveDir, Local: true,
		PageURL: status.ConsoleURL}
	if p.API, err = queues.NewClient(ctx, queueURL); err != nil {
		return nil, err
	}
	if status.ArchiveDir == "" {
		return p, fmt.Errorf("this `spillway up` %w: start it without --archive-days=0", ErrNoArchive)
	}
	if _, err := os.ReadDir(status.ArchiveDir); err != nil {
		return nil, fmt.Errorf("open the archive of `spillway up`, which only its user on its machine can read: %w", err)
	}
	p.Store = dirstore.Open(status.ArchiveDir)
	return p, nil
}

// beside is the URL of another queue of the same account. The status has the URL by which `up`
// knows its queue, and a container may be reached by another.
func beside(queueURL, name string) string {
	queueURL = strings.TrimRight(queueURL, "/")
	return queueURL[:strings.LastIndex(queueURL, "/")+1] + name
}

func readStatus(ctx context.Context, queueURL string) (s local.Status, err error) {
	endpoint, err := queues.Endpoint(queueURL)
	if err != nil {
		return s, err
	}
	at := endpoint.JoinPath(local.StatusPath).String()
	err = queues.GetJSON(ctx, at, maxStatus, &s)
	if wrong := (*queues.AnswerError)(nil); errors.As(err, &wrong) {
		return s, fmt.Errorf("%s answers %s, and no status of a pipeline: is it a `spillway up` of this version? (a "+
			"pipeline on AWS is found by --name)", at, wrong.Status)
	}
	return s, queues.Explain(err, queueURL)
}
