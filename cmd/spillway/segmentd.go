package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

func newSegmentd() *cobra.Command {
	var port uint16
	var latency time.Duration
	var hosts []string
	c := &cobra.Command{
		Use:   "segmentd",
		Short: "Run only the Segment emulator",
		Long: usage.Help("Runs only the Segment emulator, for a pipeline in another process: `spillway up --segment "+
			"http://localhost:9325 --write-key any-key`.",
			"PUT /_segmentd/script makes it fail. GET /_segmentd/stats and /_segmentd/events say what it has received."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runSegmentd(c.Context(), c.OutOrStdout(), port, latency, hosts)
		},
	}
	c.Flags().Uint16Var(&port, "port", 9325, "`port` to listen on; 0 takes a free one")
	c.Flags().DurationVar(&latency, "latency", 0, "how long the emulator takes to answer")
	usage.AllowHost(c, &hosts)
	return c
}

// parseHosts checks the names of --allow-host.
func parseHosts(names []string) ([]string, error) {
	hosts, err := local.ParseHosts(names)
	if err != nil {
		return nil, fmt.Errorf("--%s %w", usage.AllowHostFlag, err)
	}
	return hosts, nil
}

func runSegmentd(ctx context.Context, out io.Writer, port uint16, latency time.Duration, hosts []string) error {
	if err := usage.Latency(latency); err != nil {
		return err
	}
	hosts, err := parseHosts(hosts)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("%w: give another port with --port, or stop what uses it", err)
	}
	fmt.Fprintf(out, "The Segment emulator listens on http://localhost:%d\n", listener.Addr().(*net.TCPAddr).Port)
	return segmentd.New(segmentd.Options{Latency: latency, Wrap: local.Guard{Names: hosts}.Wrap}).Serve(ctx, listener)
}
