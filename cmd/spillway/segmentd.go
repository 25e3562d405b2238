package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/httpserver"
)

type segmentdFlags struct {
	listen  string
	port    uint16
	latency time.Duration
	hosts   []string
}

func newSegmentd() *cobra.Command {
	var f segmentdFlags
	c := &cobra.Command{
		Use:   "segmentd",
		Short: "Run only the Segment emulator",
		Long: usage.Help("Runs only the Segment emulator, for a pipeline in another process: `spillway up --segment "+
			"http://localhost:9325 --write-key any-key`.",
			"PUT /_segmentd/script makes it fail. GET /_segmentd/stats and /_segmentd/events say what it has received."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runSegmentd(c.Context(), c.OutOrStdout(), f)
		},
	}
	c.Flags().Uint16Var(&f.port, "port", 9325, "`port` to listen on; 0 takes a free one")
	c.Flags().DurationVar(&f.latency, "latency", 0, "how long the emulator takes to answer")
	usage.Listen(c, &f.listen)
	usage.AllowHost(c, &f.hosts)
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

func runSegmentd(ctx context.Context, out io.Writer, f segmentdFlags) error {
	if err := usage.Latency(f.latency); err != nil {
		return err
	}
	host, err := parseListen(f.listen)
	if err != nil {
		return err
	}
	hosts, err := parseHosts(f.hosts)
	if err != nil {
		return err
	}
	listener, err := local.Listen(address(host, f.port), "--port")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The Segment emulator listens on %s\n", local.EndpointURL(listener.Addr()))
	warnExposed(out, host, "can send events, read them, and make the emulator fail")
	emulator := segmentd.New(segmentd.Options{Latency: f.latency, Wrap: local.Guard{Names: hosts}.Wrap,
		Bound: httpserver.Bound})
	return emulator.Serve(ctx, listener)
}
