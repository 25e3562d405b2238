// Command ingest is the door for Segment's SDKs: as a Lambda behind an HTTP API or a function URL,
// and as a plain HTTP server anywhere else. It is one binary, so that what was tried on one machine
// is what is deployed; Lambda's runtime is recognised by AWS_LAMBDA_RUNTIME_API. It only wires:
// what the door does is in shared/ingest. See config.go for its environment variables.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/sqsclient"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const (
	// window is how long a server's first request waits for others to share a message with. An
	// SDK's user does not feel it.
	window = 5 * time.Millisecond
	// metricsInterval is how often a server writes its metrics; CloudWatch sums them up by the
	// minute.
	metricsInterval = 10 * time.Second
	// serverMemory is the memory limit of a server: twice what requests may hold
	// (ingest.Limits.MaxMemory), and some.
	serverMemory = 110 << 20
)

func main() {
	debug.SetMemoryLimit(memoryLimit(os.LookupEnv))
	if err := run(os.Environ(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}

// memoryLimit is where the collector begins to work harder, in bytes; negative leaves it as it is.
// Without one the heap may double before it does, which is more than the memory of a small
// container, and than what overload needs.
func memoryLimit(lookup func(string) (string, bool)) int64 {
	if _, ok := lookup(envGoMemory); ok {
		return -1
	}
	if megabytes, _ := lookup(envLambdaMemory); megabytes != "" {
		if n, err := strconv.ParseInt(megabytes, 10, 32); err == nil && n > 0 {
			return n << 20 / 10 * 8 // the rest is for what is not the heap's
		}
	}
	return serverMemory
}

func run(environ []string, out io.Writer) error {
	c, err := readConfig(environ)
	if err != nil {
		return err
	}
	d, err := newDoor(context.Background(), c, out)
	if err != nil {
		return err
	}
	if c.lambda {
		// A signal ends the process as it is: an invocation leaves nothing behind that would have
		// to be finished.
		go d.follow(context.Background())
		lambda.Start(function{d.measured()})
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	l, err := net.Listen("tcp", c.listen)
	if err != nil {
		return fmt.Errorf("%w: write another address in %s, or stop what uses it", err, envListen)
	}
	return d.serve(ctx, l)
}

// A door is the handler with what belongs to it.
type door struct {
	config   config
	handler  *ingest.Handler
	follow   func(context.Context) // keeps the write keys up to date until the context ends
	counters *ingest.Counters
	metrics  *emf.Writer
	logger   *slog.Logger
}

// newDoor wires. out gets the log and the metrics, a line of JSON each.
func newDoor(ctx context.Context, c config, out io.Writer) (*door, error) {
	lines := &lineWriter{w: out}
	d := &door{
		config: c, follow: func(context.Context) {}, counters: new(ingest.Counters),
		metrics: emf.NewWriter(lines, c.name, "ingest"),
		logger:  slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: c.logLevel})),
	}
	d.logger.Info("configured", "config", c)
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	api := sqs.NewFromConfig(cloud, func(o *sqs.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = ingest.DefaultMaxSends })
	}, sqsclient.AvoidLostResponses)
	ic := ingest.Config{
		Queue: sqsclient.New(api, c.queueURL), DeadLetters: sqsclient.New(api, c.deadLetterQueueURL),
		Health:    reachable(api, c.queueURL),
		PublicURL: c.publicURL, Report: d.counters.Add, Logger: d.logger,
	}
	if !c.lambda {
		ic.Linger = window
	}
	if c.proxies > 0 {
		ic.ClientIP, ic.TrustForwardedProto = ingest.ForwardedAddr(c.proxies), true
	}
	var source reload.Source
	switch {
	case c.keysFile != "":
		source = reload.File(c.keysFile)
	case c.keysParameter != "":
		source = ssm.Parameter(awsssm.NewFromConfig(cloud), c.keysParameter)
	}
	if source.Read != nil {
		set := writekeys.New(source, d.logger)
		values := reload.Group{set}
		values.Refresh(ctx)
		ic.Keys, d.follow = set, values.Run
		if c.canaryKey != "" { // without a set it is taken as any other
			if ic.Keys, err = ingest.WithKey(set, c.canaryKey, ingest.Key{Name: "canary"}); err != nil {
				return nil, fmt.Errorf("%s: %w", envCanaryWriteKey, err)
			}
		}
	}
	if d.handler, err = ingest.New(ic); err != nil {
		return nil, fmt.Errorf("%s: %w", envPublicURL, err)
	}
	return d, nil
}

// reachable asks SQS for what every queue has.
func reachable(api *sqs.Client, url string) func(context.Context) error {
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

// measured writes the metrics of each request at once: behind an invocation, a Lambda is frozen.
func (d *door) measured() http.Handler {
	handler := httpserver.Guard(d.handler, d.logger)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer d.writeMetrics()
		handler.ServeHTTP(w, r)
	})
}

func (d *door) writeMetrics() {
	totals := d.counters.Take()
	if len(totals.Requests) == 0 {
		return
	}
	if err := d.metrics.Write(time.Now(), totals.Metrics()...); err != nil {
		d.logger.Warn("metrics could not be written", "error", err)
	}
}

// serve takes requests from l until ctx ends, and finishes those that are under way.
func (d *door) serve(ctx context.Context, l net.Listener) error {
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { d.follow(beside) })
	running.Go(func() {
		t := time.NewTicker(metricsInterval)
		defer t.Stop()
		for {
			select {
			case <-beside.Done():
				return
			case <-t.C:
				d.writeMetrics()
			}
		}
	})
	d.logger.Info("listening", "address", l.Addr().String())
	err := httpserver.Serve(ctx, httpserver.New(httpserver.Guard(d.handler, d.logger), d.logger), l, d.config.grace,
		d.handler.Shutdown)
	stop()
	running.Wait()
	d.writeMetrics()
	if err == nil {
		d.logger.Info("ended", "reason", context.Cause(ctx).Error())
	}
	return err
}

// lineWriter lets the log and the metrics share one output without breaking each other's lines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(line)
}
