// Package local runs the whole pipeline on one machine, in one process, with nothing to install:
// the door for Segment's SDKs, an SQS endpoint, the Lambda host with the deliver function in it,
// and a Segment stand-in.
//
// It is the second deployment of infra/topology, beside the one on AWS: the same handler with the
// same numbers, behind an endpoint that the AWS SDKs and the aws CLI can talk to. What the endpoint
// has accepted is on disk before it answers, so the process may be killed at any moment, and the
// backlog is bounded by the disk and not by memory.
package local

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// What clients must say to the local endpoint. The credentials are not checked, but the AWS SDKs
// refuse to call without any.
const (
	Region    = "us-east-1"
	AccountID = "000000000000"
	AccessKey = "local"
	WriteKey  = "local" // for messages that carry none, with the stand-in
)

// Config says what to run. Dir must be given; the rest has its defaults.
type Config struct {
	Dir         string            // what is accepted is kept here
	SQSAddr     string            // host:port of the SQS endpoint; port 0 takes a free one
	IngestAddr  string            // host:port of the door for SDKs; empty: none
	SegmentAddr string            // host:port of the Segment stand-in
	Segment     string            // URL of another Segment, with no stand-in then
	WriteKey    string            // for messages that carry none
	Plain       bool              // send to Segment without gzip
	Hold        bool              // accept only: the function is not fed
	Canary      bool              // send one every minute, see package canary; needs the door, and not Hold
	Latency     time.Duration     // of the stand-in's answers
	Topology    topology.Topology // topology.Default() when it has no queues
	OnEvent     func(segmentd.Received)
}

// A Pipeline is a running one. Its methods may be called by several goroutines at the same time.
type Pipeline struct {
	SQSURL     string // of the endpoint
	IngestURL  string // of the door for SDKs, empty without one
	SegmentURL string // where events are delivered to
	LogPath    string // of the function's log

	sqs      *sqs.Server
	events   *sqs.Queue
	dead     *sqs.Queue
	segment  *segmentd.Server // nil with another Segment
	mapping  *lambda.EventSourceMapping
	function *lambda.Function
	pipeline string // its name
	log      *lumberjack.Logger
	logger   *slog.Logger // into log
	hold     bool
	door     *ingest.Handler // nil: none
	counters ingest.Counters
	canary   *canary.Canary // nil: none
	watch    *canary.Tracker

	watchers  watchers
	listeners []server
	mu        sync.Mutex
	totals    Totals
	trouble   string
	minute    deadletter.Minute
	final     *Status // after Run
}

type server struct {
	listener net.Listener
	serve    func(context.Context, net.Listener) error
}

// Totals count what the function has done since the start.
type Totals struct {
	Delivered    int64 `json:"delivered"` // events; one that is retried twice counts twice
	Retried      int64 `json:"retried"`
	DeadLettered int64 `json:"deadLettered"`
	Invocations  int64 `json:"invocations"`
}

// Start opens the data directory and the ports. Nothing is delivered until Run.
func Start(c Config) (*Pipeline, error) {
	if len(c.Topology.Queues) == 0 {
		c.Topology = topology.Default()
	}
	if err := c.Topology.Validate(); err != nil {
		return nil, err
	}
	if c.WriteKey == "" && c.Segment == "" {
		c.WriteKey = WriteKey
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("the data directory can't be made: %w: name another with --data-dir", err)
	}
	p := &Pipeline{pipeline: c.Topology.Names.Pipeline, hold: c.Hold, watch: canary.NewTracker(),
		LogPath: filepath.Join(c.Dir, "deliver.log")}
	if err := p.open(&c); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *Pipeline) open(c *Config) (err error) {
	p.log = &lumberjack.Logger{Filename: p.LogPath, MaxSize: 10, MaxBackups: 1}
	p.logger = slog.New(slog.NewJSONHandler(p.log, nil))
	p.sqs, err = sqs.Open(sqs.Options{
		Dir: filepath.Join(c.Dir, "sqs"), Region: Region, AccountID: AccountID, CountAttribute: message.AttrEventCount,
		Logger: p.logger,
	})
	if err != nil {
		return fmt.Errorf("%w, or name another with --data-dir", err)
	}
	if err := CreateQueues(p.sqs, &c.Topology); err != nil {
		return err
	}
	p.events, _ = p.sqs.Queue(c.Topology.Names.EventsQueue)
	p.dead, _ = p.sqs.Queue(c.Topology.Names.DeadLetterQueue)
	listener, err := listen(c.SQSAddr, "--sqs-port")
	if err != nil {
		return err
	}
	p.SQSURL = "http://localhost:" + port(listener)
	p.listeners = append(p.listeners, server{listener, p.serveSQS})
	p.SegmentURL = c.Segment
	if err := p.openDoor(c); err != nil {
		return err
	}
	if c.Segment == "" {
		p.segment = segmentd.New(segmentd.Options{Latency: c.Latency, OnEvent: c.OnEvent})
		listener, err := listen(c.SegmentAddr, "--segment-port")
		if err != nil {
			return err
		}
		p.SegmentURL = "http://localhost:" + port(listener)
		p.listeners = append(p.listeners, server{listener, p.segment.Serve})
	}
	return p.connect(c)
}

func port(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

func listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: name another port with %s, or stop what uses it", err, flag)
	}
	return l, nil
}

// CreateQueues makes the topology's queues, those without a dead-letter queue first, because the
// others name them.
func CreateQueues(server *sqs.Server, t *topology.Topology) error {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	for _, isSource := range []bool{false, true} {
		for _, q := range t.Queues {
			if isSource != (q.DeadLetterQueue != "") {
				continue
			}
			attributes := map[string]string{
				"MessageRetentionPeriod": seconds(q.Retention),
				"VisibilityTimeout":      seconds(q.VisibilityTimeout),
			}
			if isSource {
				attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:%s:%s","maxReceiveCount":%d}`,
					Region, AccountID, q.DeadLetterQueue, q.MaxReceiveCount)
			}
			if _, err := server.CreateQueue(q.Name, attributes); err != nil {
				return fmt.Errorf("create queue %s: %w", q.Name, err)
			}
		}
	}
	return nil
}

// api is the AWS SDK straight into the endpoint, without a socket.
func (p *Pipeline) api() *awssqs.Client {
	return awssqs.New(awssqs.Options{
		Region: Region, BaseEndpoint: aws.String(p.SQSURL), HTTPClient: p.sqs.HTTPClient(),
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, AccessKey, ""),
	})
}

// ingestWindow is how long the door's first request waits for others to share a message with, as in
// functions/ingest.
const ingestWindow = 5 * time.Millisecond

// openDoor opens the door for Segment's SDKs, if there is to be one. Any well-formed write key is
// taken.
func (p *Pipeline) openDoor(c *Config) error {
	if c.IngestAddr == "" {
		return nil
	}
	listener, err := listen(c.IngestAddr, "--ingest-port")
	if err != nil {
		return err
	}
	p.IngestURL = "http://localhost:" + port(listener)
	p.listeners = append(p.listeners, server{listener, p.serveIngest})
	api := p.api()
	p.door, err = ingest.New(ingest.Config{
		Queue:       sqsclient.New(api, p.QueueURL(c.Topology.Names.EventsQueue)),
		DeadLetters: sqsclient.New(api, p.QueueURL(c.Topology.Names.DeadLetterQueue)),
		Linger:      ingestWindow, Report: p.counters.Add, Logger: p.logger,
	})
	if err == nil && c.Canary && !c.Hold {
		p.canary, err = canary.New(canary.Config{URL: p.IngestURL, WriteKey: canary.WriteKey})
	}
	return err
}

// connect puts the function between the queue and Segment.
func (p *Pipeline) connect(c *Config) error {
	client, err := segment.NewClient(segment.Config{Endpoint: p.SegmentURL, Gzip: !c.Plain})
	if err != nil {
		return err
	}
	api := p.api()
	metrics := emf.NewWriter(p.log, c.Topology.Names.Pipeline, "deliver")
	newHandler := func() (awslambda.Handler, error) {
		return deliver.New(deliver.Config{
			Segment: client, WriteKey: c.WriteKey, Logger: p.logger, Observer: p.watchers.observer,
			CanaryWriteKey: canary.WriteKey, CanaryEndsHere: true, // also without a canary: one of an earlier run may be left
			Queue:       sqsclient.New(api, p.QueueURL(c.Topology.Names.EventsQueue)),
			DeadLetters: sqsclient.New(api, p.QueueURL(c.Topology.Names.DeadLetterQueue)),
			Report: func(s deliver.Report) {
				p.count(&s)
				// The log is for looking at; on a full disk delivery goes on without it.
				_ = metrics.Write(time.Now(), s.Metrics()...)
			},
		})
	}
	for _, source := range c.Topology.EventSources {
		f, _ := c.Topology.Function(source.Function)
		p.function = lambda.NewFunction(lambda.FunctionConfig{
			Name: f.Name, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, MemoryMB: f.MemoryMB, Region: Region,
			NewEnvironment: lambda.InProcess(newHandler),
		})
		p.mapping, err = lambda.NewEventSourceMapping(lambda.MappingConfig{
			Queue: Feed(p.events), QueueARN: p.events.ARN(), Function: p.function,
			BatchSize: source.BatchSize, MaximumBatchingWindow: source.BatchingWindow,
			MaximumConcurrency:      source.MaximumConcurrency,
			ReportBatchItemFailures: source.ReportBatchItemFailures, Logger: p.logger,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// QueueURL is a queue's URL at the local endpoint.
func (p *Pipeline) QueueURL(name string) string { return p.SQSURL + "/" + AccountID + "/" + name }

// Run serves and delivers until ctx ends. Then it finishes what is under way, which takes as long
// as Segment takes to answer, and closes everything. Events that are not delivered stay on disk.
func (p *Pipeline) Run(ctx context.Context) error {
	defer p.close()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, len(p.listeners)+1)
	var running sync.WaitGroup
	for _, s := range p.listeners {
		running.Go(func() {
			if err := s.serve(serving, s.listener); err != nil {
				failed <- err
			}
		})
	}
	delivering, hold := context.WithCancel(ctx)
	defer hold()
	var delivery sync.WaitGroup
	if !p.hold {
		delivery.Go(func() {
			if err := p.mapping.Run(delivering); err != nil {
				failed <- err
			}
		})
	}
	singing, hush := context.WithCancel(ctx)
	defer hush()
	var song sync.WaitGroup
	if p.canary != nil {
		song.Go(func() { p.sing(singing) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	hush()
	song.Wait()
	hold()
	delivery.Wait()
	stop()
	running.Wait()
	final := p.Status()
	p.mu.Lock()
	p.final = &final
	p.mu.Unlock()
	return err
}

// close gives back what Start took; twice does no harm.
func (p *Pipeline) close() {
	for _, s := range p.listeners {
		s.listener.Close()
	}
	if p.function != nil {
		p.function.Close()
	}
	if p.sqs != nil {
		_ = p.sqs.Close()
	}
	if p.log != nil {
		_ = p.log.Close()
	}
}

// serveGrace is how long requests under way may take when the pipeline ends.
const serveGrace = 5 * time.Second

func (p *Pipeline) serveSQS(ctx context.Context, l net.Listener) error {
	server := httpserver.New(p.handler(), p.logger)
	server.BaseContext = func(net.Listener) context.Context { return ctx } // long polls end with it
	return httpserver.Serve(ctx, server, l, serveGrace, func(context.Context) error { return nil })
}

func (p *Pipeline) serveIngest(ctx context.Context, l net.Listener) error {
	return httpserver.Serve(ctx, httpserver.New(httpserver.Guard(p.door, p.logger), p.logger), l, serveGrace,
		p.door.Shutdown)
}

// Feed hands a queue to the Lambda host without HTTP: receiving and deleting messages through an
// SDK would cost most of what a machine has.
func Feed(q *sqs.Queue) lambda.Queue { return feed{q} }

type feed struct{ *sqs.Queue }

func (f feed) Receive(ctx context.Context, max int, wait time.Duration) ([]lambda.Message, error) {
	received, err := f.Queue.Receive(ctx, max, wait)
	messages := make([]lambda.Message, len(received))
	for i, m := range received {
		messages[i] = lambda.Message{
			MessageID: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body, MD5OfBody: m.MD5OfBody,
			MD5OfMessageAttributes: m.MD5OfMessageAttributes, Attributes: m.Attributes,
		}
		if len(m.MessageAttributes) > 0 {
			messages[i].MessageAttributes = make(map[string]lambda.MessageAttribute, len(m.MessageAttributes))
			for name, a := range m.MessageAttributes {
				messages[i].MessageAttributes[name] = lambda.MessageAttribute(a)
			}
		}
	}
	return messages, err
}
