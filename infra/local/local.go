// Package local runs the whole pipeline on one machine, in one process, with nothing to install:
// the ingest endpoint, an SQS emulator, the deliver function on a Lambda emulator, and a Segment
// emulator.
//
// It is the second deployment of infra/topology, beside the one on AWS: the same wiring with the
// same numbers, with endpoints for SDKs and the aws CLI. The SQS emulator answers when a message is
// on disk, so the process may be killed at any moment, and the backlog is bounded by the disk and
// not by memory.
package local

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	appcanary "github.com/spillwayhq/spillway/shared/app/canary"
	"github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/app/pipeline"
	"github.com/spillwayhq/spillway/shared/diskdir"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/httpserver"
	ingestservice "github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/version"
)

// Settings of clients of the SQS emulator. It does not check credentials, but the AWS SDKs need
// some.
const (
	Region    = "us-east-1"
	AccountID = "000000000000"
	AccessKey = "local"
	WriteKey  = "local" // for messages that carry none, with the Segment emulator
)

// shutdownGrace is how long requests under way may take when the pipeline ends.
const shutdownGrace = 5 * time.Second

// Config configures a Pipeline. Only Dir is required.
type Config struct {
	Name          string        // the pipeline's; default: spillway
	Dir           string        // of what is accepted
	SQSAddr       string        // host:port of the SQS emulator; port 0 takes a free one
	IngestAddr    string        // host:port of the ingest endpoint; empty: none
	SegmentAddr   string        // host:port of the Segment emulator
	Segment       string        // URL of another Segment, instead of the emulator
	WriteKey      string        // for messages that carry none
	SpillDir      string        // of ingest, for what the queues do not take, on another disk; empty: none
	WriteKeysFile string        // the document with the write keys that are accepted; empty: any well-formed one
	Plain         bool          // send to Segment without gzip
	Hold          bool          // accept only: nothing is delivered
	Canary        bool          // send one every minute, see package canary; needs the ingest endpoint, and not Hold
	Latency       time.Duration // of the Segment emulator's answers
	BatchSize     int           // messages that an invocation of deliver gets at most; 0: the topology's default
	Hosts         []string      // further names of this machine, see ParseHosts and Guard
	OnEvent       func(segmentd.Received)
	// OnAlarm is told of each alarm that begins or ends, or whose notification was held back and
	// goes out now; by one goroutine, which waits for it. nil: only the status has them.
	OnAlarm func(AlarmChange)
	// Archive bounds the archive of what has ended, in a folder of Dir; nil: nothing is archived.
	Archive *ArchiveBounds
	// StatusSite keeps a status site in the folder StatusFolder of Dir.
	StatusSite bool
	// Console makes the operator's page, which is served at ConsoleAddr while the pipeline runs;
	// nil: there is none. It refuses foreign hosts and pages itself. With ConsoleAnyPort it is
	// served at a free port if that of ConsoleAddr is in use.
	Console        func(*Pipeline) Page
	ConsoleAddr    string
	ConsoleAnyPort bool
}

// A Pipeline is a running pipeline. It is safe for concurrent use.
type Pipeline struct {
	SQSURL     string // of the SQS emulator
	IngestURL  string // of the ingest endpoint; empty: there is none
	SegmentURL string // where events are delivered to
	ConsoleURL string // of the operator's page; empty: there is none
	LogPath    string // of the log of all parts
	// OtherQueues are the queues for other names' events in the data directory that hold messages.
	// This pipeline does not deliver them.
	OtherQueues []OtherQueue

	topology           *topology.Topology
	sqs                *sqs.Server
	events, bulk, dead *sqs.Queue
	segment            *segmentd.Server // nil with another Segment
	delivery           *Delivery
	hold               bool // delivery does not run
	switches           *switches
	ingest             *ingest.Endpoint    // nil: there is none
	canary             *appcanary.Function // nil: there is none
	archive            *archiver           // nil: there is none
	listeners          listeners
	guard              Guard // of the ports that no page uses
	log                *lumberjack.Logger
	logger             *slog.Logger // into log

	activity *activity
	monitor  *monitor
	senders  *senders
	account  *account
	site     *statusSite // nil: there is none
	watchers watchers
	samples  samples
	idle     idle // of the monitor's goroutine
	mu       sync.Mutex
	final    *Status // after Run
}

// Start opens the data directory and the ports. Nothing is served and delivered until Run.
func Start(c Config) (*Pipeline, error) {
	names, err := topology.NewNames(cmp.Or(c.Name, emf.DefaultPipeline))
	if err != nil {
		return nil, err
	}
	o := topology.DefaultOptions()
	o.Names = names
	o.NoIngest = c.IngestAddr == ""
	o.NoCanary = o.NoIngest || c.Hold || !c.Canary
	o.BatchSize = cmp.Or(c.BatchSize, o.BatchSize)
	t := topology.New(o)
	if c.WriteKey == "" && c.Segment == "" {
		c.WriteKey = WriteKey
	}
	if err := diskdir.Make(c.Dir); err != nil {
		return nil, fmt.Errorf("%w: name another data directory with --data-dir", err)
	}
	p := &Pipeline{LogPath: filepath.Join(c.Dir, "deliver.log"), topology: &t, hold: c.Hold, activity: newActivity(),
		guard: Guard{Names: c.Hosts}}
	p.log = &lumberjack.Logger{Filename: p.LogPath, MaxSize: 10, MaxBackups: 1}
	p.logger = jsonlog.New(p.log, nil)
	if err := p.open(&c, &t); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *Pipeline) open(c *Config, t *topology.Topology) (err error) {
	if err := p.openQueues(c, t); err != nil {
		return err
	}
	if err := p.openSegment(c); err != nil {
		return err
	}
	if p.monitor, err = newMonitor(t, p.logger, c.OnAlarm); err != nil {
		return err
	}
	p.monitor.evaluates = !c.Hold
	p.monitor.watch(p.events, p.bulk, p.dead)
	p.account = &account{put: p.monitor.store.Put, pipeline: t.Names.Pipeline, queue: p.events.Stats,
		requests: p.activity.requests.Totals, canaries: func() int64 { return p.activity.canaries.Status().Sent }}
	p.senders = newSenders(t.Names.Pipeline, p.monitor.store, p.monitor.tee(p.log))
	p.monitor.eachMinute = func(now time.Time) {
		if err := p.senders.flush(now); err != nil {
			p.logger.Warn("the heaviest senders could not be written", "error", err)
		}
		p.releaseMemory()
	}
	options := PipelineOptions(t, p.SQSURL)
	options.SegmentURL, options.Gzip, options.WriteKey = p.SegmentURL, !c.Plain, c.WriteKey
	options.WriteKeysFile = c.WriteKeysFile
	options.Server = ingest.Server{ShutdownGrace: shutdownGrace, Linger: ingest.Linger, SpillDir: c.SpillDir}
	if p.switches, err = openSwitches(c.Dir, t.Names.Pipeline, p.logger); err != nil {
		return err
	}
	if c.Archive != nil {
		if p.archive, err = openArchive(c.Dir, t.Names.Pipeline, c.Archive, p.logger); err != nil {
			return err
		}
	}
	parts := &pipeline.Pipeline{Options: options, Parts: pipeline.Parts{
		Switched: p.switches.sources(), PausedKeys: p.switches.pausedKeys,
		SQS: directClient{newClient(p.sqs, p.SQSURL), p.sqs}, Metrics: p.senders, Logger: p.logger,
		IngestSenders: p.senders.ingest, DeliverSenders: p.senders.events, Traffic: p.senders,
		OnRequest: p.requested, OnInvocation: p.activity.invoked, OnCanary: p.activity.canaries.RecordSent,
		Observer: p.observe, WrapIngest: func(h http.Handler) http.Handler {
			return Guard{Names: c.Hosts, Open: usedByPages}.Wrap(h)
		},
	}}
	if p.archive != nil { // an interface of a nil pointer is not nil
		parts.Archive = p.archive
	}
	if c.IngestAddr != "" {
		if err := p.openIngest(c, parts); err != nil {
			return err
		}
	}
	if err := p.openDelivery(t, parts); err != nil {
		return err
	}
	if c.StatusSite {
		p.site = newStatusSite(p, c.Dir)
		p.monitor.evaluated = p.site.changed
	}
	if c.Console == nil {
		return nil
	}
	return p.openConsole(c)
}

// releaseMemory gives back what a backlog has taken, up to 0.2 GB, once it has drained: it would
// stay with the process for minutes.
func (p *Pipeline) releaseMemory() {
	if p.idle.begins(p.events.Stats().Deleted + p.bulk.Stats().Deleted) {
		debug.FreeOSMemory()
	}
}

// openQueues opens the SQS emulator with the topology's queues.
func (p *Pipeline) openQueues(c *Config, t *topology.Topology) (err error) {
	p.sqs, err = sqs.Open(sqs.Options{
		Dir: filepath.Join(c.Dir, "sqs"), Region: Region, AccountID: AccountID, CountAttribute: message.AttrEventCount,
		Logger: p.logger,
	})
	if err != nil {
		return fmt.Errorf("%w; --data-dir names another directory", err)
	}
	if err := CreateQueues(p.sqs, t); err != nil {
		return err
	}
	p.events, _ = p.sqs.Queue(t.Names.EventsQueue)
	p.bulk, _ = p.sqs.Queue(t.Names.BulkQueue)
	p.dead, _ = p.sqs.Queue(t.Names.DeadLetterQueue)
	p.OtherQueues = otherQueues(p.sqs, t.Names.Pipeline)
	p.SQSURL, err = p.listeners.open(c.SQSAddr, "--sqs-port", p.serveSQS)
	return err
}

// usedByPages reports whether a request to the ingest endpoint may come from any page: the SDKs in
// pages send there, and only /health is for others.
func usedByPages(r *http.Request) bool { return r.URL.Path != "/health" }

// An OtherQueue is an events or bulk queue that a pipeline of another name has left in the data
// directory.
type OtherQueue struct {
	Name, Pipeline string
	Messages       int64
}

// otherQueues finds the events and bulk queues of other pipelines that hold messages.
func otherQueues(server *sqs.Server, own string) []OtherQueue {
	var others []OtherQueue
	for _, q := range server.Queues() {
		names, ok := topology.NamesOfEventsQueue(q.Name())
		if !ok {
			names, ok = topology.NamesOfBulkQueue(q.Name())
		}
		if !ok || names.Pipeline == own {
			continue
		}
		if messages := held(q.Stats()); messages > 0 {
			others = append(others, OtherQueue{q.Name(), names.Pipeline, messages})
		}
	}
	return others
}

// openSegment opens the Segment emulator, unless another Segment was named.
func (p *Pipeline) openSegment(c *Config) (err error) {
	if p.SegmentURL = c.Segment; c.Segment != "" {
		return nil
	}
	p.segment = segmentd.New(segmentd.Options{Latency: c.Latency, OnEvent: c.OnEvent, Wrap: p.guard.Wrap,
		Bound: httpserver.Bound})
	p.SegmentURL, err = p.listeners.open(c.SegmentAddr, "--segment-port", p.segment.Serve)
	return err
}

// openIngest opens the ingest endpoint, and makes the canary that sends to it.
func (p *Pipeline) openIngest(c *Config, parts *pipeline.Pipeline) error {
	endpoint, err := parts.NewIngest(context.Background())
	if err != nil {
		return err
	}
	p.ingest = endpoint
	p.IngestURL, err = p.listeners.open(c.IngestAddr, "--ingest-port", endpoint.Serve)
	if err == nil && c.Canary && !c.Hold {
		parts.IngestURL = p.IngestURL
		p.canary, err = parts.NewCanary()
	}
	return err
}

// openDelivery connects the queues to Segment by the deliver function.
func (p *Pipeline) openDelivery(t *topology.Topology, parts *pipeline.Pipeline) (err error) {
	newHandler, err := parts.NewDeliver()
	if err != nil {
		return err
	}
	environment := lambda.InProcess(func() (lambda.Handler, error) { return newHandler() })
	p.delivery, err = NewDelivery(t, FeedFrom(p.sqs), environment, p.logger, p.monitor.invoked)
	if err != nil {
		return err
	}
	p.monitor.concurrent = func() int64 { return int64(p.delivery.Function.Concurrent()) }
	if !p.hold {
		p.switches.control(p.delivery.SetEnabled)
	}
	return nil
}

// requested is told of each request to the ingest endpoint.
func (p *Pipeline) requested(s ingestservice.Summary) {
	p.activity.requests.Add(s)
	p.monitor.requested(s)
	p.samples.refused(&s)
}

// QueueURL returns the URL of the queue with that name.
func (p *Pipeline) QueueURL(name string) string { return QueueURL(p.SQSURL, name) }

// SQS returns the SQS emulator, for tests that call it without a socket.
func (p *Pipeline) SQS() *sqs.Server { return p.sqs }

// Metrics returns the metrics of the last 24 hours.
func (p *Pipeline) Metrics() *cloudwatch.Store { return p.monitor.store }

// Segmentd returns the Segment emulator, or nil if Config.Segment names another Segment.
func (p *Pipeline) Segmentd() *segmentd.Server { return p.segment }

// Status returns the current status. After Run it returns the last one.
func (p *Pipeline) Status() Status {
	p.mu.Lock()
	final := p.final
	p.mu.Unlock()
	if final != nil {
		return *final
	}
	events, bulk, dead := p.events.Stats(), p.bulk.Stats(), p.dead.Stats()
	s := newStatus(time.Now(), events, bulk, dead)
	s.Version, s.IngestURL, s.SegmentURL, s.ConsoleURL = version.String(), p.IngestURL, p.SegmentURL, p.ConsoleURL
	s.BulkQueueURL = p.QueueURL(p.topology.Names.BulkQueue)
	p.activity.addTo(&s)
	s.withPauses(p.switches.now())
	s.withStore(p.sqs.Health(), events, bulk, dead)
	if p.ingest != nil {
		s.withKeys(p.ingest.KeysFailure())
	}
	s.withCanary(p.activity.canaries.Status(), p.canary != nil)
	if p.archive != nil {
		p.archive.addTo(&s)
	}
	if p.site != nil {
		s.StatusSite = p.site.problem()
	}
	if !p.hold {
		s.Alarms = p.monitor.alarms()
	}
	return s
}

// Run serves and delivers until ctx ends. Then it finishes the invocations under way, for which it
// waits for Segment's answers, and closes everything. Events that were not delivered remain on
// disk.
func (p *Pipeline) Run(ctx context.Context) error {
	defer p.close()
	failed := make(chan error, len(p.listeners)+1)
	// What is under way in one part needs the parts that are started before it.
	stopServing := background(context.WithoutCancel(ctx), func(ctx context.Context) { p.listeners.run(ctx, failed) })
	stopDelivery, stopCanary, stopSite := func() {}, func() {}, func() {}
	stopMonitor, stopAccount := background(ctx, p.monitor.run), background(ctx, p.account.run)
	if !p.hold {
		stopDelivery = background(ctx, func(ctx context.Context) {
			if err := p.delivery.Run(ctx); err != nil {
				failed <- err
			}
		})
	}
	if p.canary != nil {
		stopCanary = background(ctx, p.canary.Run)
	}
	if p.site != nil {
		stopSite = background(ctx, p.site.run)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopSite() // before anything else, so that it does not tell of an outage
	stopMonitor()
	stopAccount()
	stopCanary()
	stopDelivery()
	stopServing()
	final := p.Status()
	p.mu.Lock()
	p.final = &final
	p.mu.Unlock()
	return err
}

// background runs f in a goroutine. stop cancels its context and waits until it has ended.
func background(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// close releases what Start opened. A second call does nothing.
func (p *Pipeline) close() {
	p.listeners.close()
	if p.ingest != nil {
		_ = p.ingest.Close()
	}
	if p.delivery != nil {
		p.delivery.Function.Close()
	}
	if p.archive != nil { // after the function, which writes to it
		if err := p.archive.Close(); err != nil {
			p.logger.Warn("the archive could not be closed", "error", err)
		}
	}
	if p.sqs != nil {
		_ = p.sqs.Close()
	}
	_ = p.log.Close()
}
