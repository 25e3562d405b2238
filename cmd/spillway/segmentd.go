package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

func newSegmentd() *cobra.Command {
	var port uint16
	var latency time.Duration
	c := &cobra.Command{
		Use:   "segmentd",
		Short: "Run the Segment stand-in alone",
		Long: "Runs the Segment stand-in alone, for a pipeline in another process (spillway up --segment " +
			"http://localhost:9325).\n" +
			"It can be told to fail while it runs (PUT /_segmentd/script) and asked what it got (GET /_segmentd/stats, " +
			"/_segmentd/events).",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runSegmentd(c.Context(), c.OutOrStdout(), port, latency)
		},
	}
	c.Flags().Uint16Var(&port, "port", 9325, "port to listen on, 0 for a free one")
	c.Flags().DurationVar(&latency, "latency", 0, "how long it takes to answer")
	return c
}

func runSegmentd(ctx context.Context, out io.Writer, port uint16, latency time.Duration) error {
	if latency < 0 {
		return fmt.Errorf("--latency is %v: write 0 or more, like 50ms", latency)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("%w: name another port with --port, or stop what uses it", err)
	}
	fmt.Fprintf(out, "The Segment stand-in listens on http://localhost:%d\n", listener.Addr().(*net.TCPAddr).Port)
	return segmentd.New(segmentd.Options{Latency: latency}).Serve(ctx, listener)
}
