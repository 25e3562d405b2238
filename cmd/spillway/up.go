package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/segment"
)

type upFlags struct {
	dataDir, segment, writeKey string
	sqsPort, segmentPort       uint16
	ingestPort                 uint16
	latency                    time.Duration
	gzip, deliver, canary      bool
}

func newUp() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole pipeline on this machine",
		Long: "Runs the pipeline on this machine: the door for Segment's SDKs, an SQS endpoint, the deliver function as " +
			"Lambda would run it, and a stand-in for Segment.\n" +
			"What is accepted is on disk in the data directory. Ctrl-C finishes what is under way; a second one stops at once.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return up(c.Context(), c.OutOrStdout(), f) },
	}
	c.Flags().StringVar(&f.dataDir, "data-dir", ".spillway", "where accepted messages are kept")
	c.Flags().Uint16Var(&f.sqsPort, "sqs-port", 9324, "port of the SQS endpoint, 0 for a free one")
	c.Flags().Uint16Var(&f.ingestPort, "ingest-port", 8080, "port of the door for Segment's SDKs, 0 for a free one")
	c.Flags().Uint16Var(&f.segmentPort, "segment-port", 9325, "port of the Segment stand-in, 0 for a free one")
	c.Flags().StringVar(&f.segment, "segment", "",
		"deliver to this Segment instead of the stand-in: "+segment.EndpointUS+" or "+segment.EndpointEU)
	c.Flags().StringVar(&f.writeKey, "write-key", "", "write key for messages that carry none")
	c.Flags().DurationVar(&f.latency, "latency", 0, "how long the stand-in takes to answer")
	c.Flags().BoolVar(&f.gzip, "gzip", true, "compress what goes to Segment")
	c.Flags().BoolVar(&f.deliver, "deliver", true, "deliver; with =false messages are only accepted")
	c.Flags().BoolVar(&f.canary, "canary", true,
		"send an event every minute that ends before Segment, to see that events get through")
	return c
}

const (
	// memoryLimit keeps the process small whatever the load: without it the garbage collector lets
	// short-lived buffers pile up to twice of what is in use.
	memoryLimit = 110 << 20
	drawEvery   = 500 * time.Millisecond
	lineEvery   = 10 * time.Second
)

func up(ctx context.Context, out io.Writer, f upFlags) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if f.segment != "" && f.latency != 0 {
		return fmt.Errorf("--latency is of the stand-in, and --segment names another Segment: leave one of them out")
	}
	if f.latency < 0 {
		return fmt.Errorf("--latency is %v: write 0 or more, like 50ms", f.latency)
	}
	if err := checkWriteKey(f.writeKey); err != nil {
		return err
	}
	p, err := local.Start(local.Config{
		Dir: f.dataDir, Segment: f.segment, WriteKey: f.writeKey, Plain: !f.gzip, Hold: !f.deliver, Canary: f.canary,
		Latency:     f.latency,
		SQSAddr:     net.JoinHostPort("127.0.0.1", strconv.Itoa(int(f.sqsPort))),
		IngestAddr:  net.JoinHostPort("127.0.0.1", strconv.Itoa(int(f.ingestPort))),
		SegmentAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(f.segmentPort))),
	})
	if err != nil {
		return err
	}
	greet(out, p, f)
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(watching, ctx.Done(), out, p.Status)
	}()
	err = p.Run(ctx)
	unwatch()
	<-watched
	return err
}

func greet(out io.Writer, p *local.Pipeline, f upFlags) {
	events := p.QueueURL(topology.DefaultNames().EventsQueue)
	fmt.Fprintf(out, "Spillway is up. Ctrl-C stops it; what is accepted is kept in %s.\n\n", f.dataDir)
	fmt.Fprintf(out, "  for SDKs        %s\n", p.IngestURL)
	fmt.Fprintf(out, "  SQS endpoint    %s\n  events queue    %s\n  dead letters    %s\n", p.SQSURL, events,
		p.QueueURL(topology.DefaultNames().DeadLetterQueue))
	if p.StandIn() != nil {
		fmt.Fprintf(out, "  Segment         %s (a stand-in)\n", p.SegmentURL)
	} else {
		fmt.Fprintf(out, "  Segment         %s\n", p.SegmentURL)
	}
	fmt.Fprintf(out, "  function's log  %s\n\n", p.LogPath)
	if f.segment != "" && f.writeKey == "" {
		fmt.Fprint(out, "Messages that carry no write key will wait: name one for them with --write-key.\n\n")
	}
	if !f.deliver {
		fmt.Fprint(out, "Messages are only accepted: start again without --deliver=false to have them delivered.\n\n")
	}
	fmt.Fprintf(out, "Send an event from another terminal (any credentials will do):\n"+
		"  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=%s\n"+
		"  aws sqs send-message --endpoint-url %s --queue-url %s --message-body file://events/track.json\n",
		local.AccessKey, local.AccessKey, local.Region, p.SQSURL, events)
	queue := ""
	if events != defaultQueueURL {
		queue = " --queue-url " + events
	}
	fmt.Fprintf(out, "or as an SDK does, or many:\n  curl -u any-key: %s/v1/track -d "+
		"'{\"userId\":\"u1\",\"event\":\"Run Started\"}'\n", p.IngestURL)
	fmt.Fprintf(out, "  go run ./cmd/spillway send --count 100000%s\n", queue)
	if p.StandIn() != nil {
		fmt.Fprintf(out, "and see what arrived:\n  curl '%s/_segmentd/events?limit=3'\n", p.SegmentURL)
	}
	fmt.Fprintf(out, "Watch what becomes of them, and list what could not be delivered:\n  go run ./cmd/spillway "+
		"tail%s\n  go run ./cmd/spillway dlq ls%s\n\n", queue, queue)
}

// columns is the width of the terminal, which may change at any time.
func columns(out io.Writer) int {
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// watch shows the status until ctx ends: drawn again and again on a terminal, otherwise a line now
// and then. It says so when the pipeline is told to stop.
func watch(ctx context.Context, told <-chan struct{}, out io.Writer, status func() local.Status) {
	terminal := false
	if file, ok := out.(*os.File); ok {
		terminal = term.IsTerminal(int(file.Fd()))
	}
	every := lineEvery
	if terminal {
		every = drawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var v view
	for {
		if terminal {
			fmt.Fprint(out, v.draw(status(), columns(out)))
		}
		select {
		case <-ctx.Done():
			if !terminal {
				fmt.Fprintln(out, v.line(status()))
			}
			return
		case <-told:
			told = nil
			fmt.Fprintln(out, "Finishing what is under way, which takes up to a minute if Segment hangs. Ctrl-C again "+
				"stops at once.")
			v.lines = 0
		case <-ticker.C:
			if !terminal {
				fmt.Fprintln(out, v.line(status()))
			}
		}
	}
}
