package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/bench"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newBench() *cobra.Command {
	var b bench.Config
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine accepts and delivers a backlog",
		Long: usage.Help("Measures how fast this machine accepts and delivers a backlog.",
			"It fills the queue while nothing is delivered, stops that process, starts another, and measures the time until "+
				"the Segment emulator, in a process of its own, has received every event. It does so with events packed into "+
				"messages, and with one event per message.",
			"For comparison it then sends events without Spillway: one job per event with an analytics-go client, 100 at a "+
				"time, which is the design that failed in the outage that Spillway was built after; and ready-made batches, "+
				"which is the upper limit of this machine."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if b.Events < 0 || b.Single < 0 || b.Baseline < 0 {
				return errors.New("--events, --single and --baseline must be at least 0")
			}
			if b.Events+b.Single+b.Baseline == 0 {
				return errors.New("nothing to measure: at least one of --events, --single and --baseline must be above 0")
			}
			if err := cmp.Or(usage.Latency(b.Latency), checkBatchSize(b.BatchSize)); err != nil {
				return err
			}
			out, progress := c.OutOrStdout(), c.OutOrStdout()
			if asJSON {
				progress = c.ErrOrStderr()
			}
			b.Begin = func(part string) { fmt.Fprintf(progress, "measuring: %s …\n", part) }
			began := time.Now()
			results, err := bench.Run(c.Context(), b)
			if err != nil {
				return err
			}
			if asJSON {
				return terminal.WriteJSON(out, bench.NewReport(b, results, began))
			}
			printResults(out, results)
			return nil
		},
	}
	c.Flags().IntVar(&b.Events, "events", 100_000, "`number` of events to send in packed messages; 0 skips this part")
	c.Flags().IntVar(&b.Single, "single", 100_000, "`number` of events to send in one message each; 0 skips this part")
	c.Flags().IntVar(&b.Baseline, "baseline", 5_000, "`number` of events to send without Spillway; 0 skips this part")
	c.Flags().DurationVar(&b.Latency, "latency", 50*time.Millisecond, "how long the Segment emulator takes to answer")
	c.Flags().StringVar(&b.Dir, "dir", os.TempDir(),
		"`directory` for temporary data; it should be on a real disk, not in memory")
	c.Flags().BoolVar(&b.Gzip, "gzip", true, "compress requests to Segment")
	batchSizeFlag(c, &b.BatchSize)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object (docs/performance.md has its fields)")
	return c
}

func printResults(out io.Writer, results []bench.Result) {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tevents\taccepted in\tdelivered in\tevents/s\tCPU per event\tpeak RSS\t")
	for _, r := range results {
		accepted, cpu, rss := "–", "–", "–"
		if r.Accepted > 0 {
			accepted = fmt.Sprintf("%.2f s", r.Accepted.Seconds())
		}
		if r.CPU > 0 {
			cpu = fmt.Sprintf("%.1f µs", r.CPUPerEvent())
		}
		if r.PeakRSS > 0 {
			rss = fmt.Sprintf("%d MB", r.PeakRSS>>20)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f s\t%s\t%s\t%s\t\n", r.What, terminal.Number(r.Events), accepted,
			r.Delivered.Seconds(), terminal.Number(int64(r.EventsPerSecond())), cpu, rss)
	}
	w.Flush()
}
