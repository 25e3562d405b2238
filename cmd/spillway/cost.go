package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/segment"
)

type costFlags struct {
	eventsPerDay, eventBytes, eventsPerMessage int
	door                                       string
	regions                                    int
	canary, alarms, dashboard                  bool
}

func newCost() *cobra.Command {
	var f costFlags
	c := &cobra.Command{
		Use:   "cost",
		Short: "Estimate the monthly bill of the pipeline on AWS",
		Long: "Prints what a healthy pipeline costs a month on AWS, line by line, and what the same costs with one event " +
			"a message.\n" +
			"It asks nobody: prices, numbers of alarms, metrics and functions are those of this program.",
		Example: "  spillway cost --events-per-day 1000000 --event-bytes 1000\n  spillway cost --events-per-day 50000000 " +
			"--ingest none --canary=false --events-per-message 250 --regions 2",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return cost(c.OutOrStdout(), f) },
	}
	c.Flags().IntVar(&f.eventsPerDay, "events-per-day", 1_000_000, "events that come in, evenly over the day")
	c.Flags().IntVar(&f.eventBytes, "event-bytes", 1000, "size of an average event")
	c.Flags().IntVar(&f.eventsPerMessage, "events-per-message", 20,
		"events that an SDK posts together, or that a publisher packs; browsers and phones post 1")
	c.Flags().StringVar(&f.door, "ingest", "http-api",
		"the door for SDKs: http-api, function-url, or none if all events come from publishers, with --canary=false")
	c.Flags().IntVar(&f.regions, "regions", 1, "regions that share the events, each with a pipeline of its own")
	c.Flags().BoolVar(&f.canary, "canary", true, "with the canary, which comes by the door")
	c.Flags().BoolVar(&f.alarms, "alarms", true, "with the alarms")
	c.Flags().BoolVar(&f.dashboard, "dashboard", true, "with the dashboard")
	return c
}

var doors = map[string]price.IngestEndpoint{"none": price.NoIngestEndpoint, "function-url": price.FunctionURL,
	"http-api": price.HTTPAPI}

// check says what to write instead of what can't be.
func (f *costFlags) check() error {
	for _, v := range [...]struct {
		name            string
		value, from, to int
	}{
		{"events-per-day", f.eventsPerDay, 0, 1e12}, {"event-bytes", f.eventBytes, 1, event.MaxEventBytes},
		{"events-per-message", f.eventsPerMessage, 1, event.MaxBatchEvents}, {"regions", f.regions, 1, 40},
	} {
		if v.value < v.from || v.value > v.to {
			return fmt.Errorf("--%s is %d: write %s to %s", v.name, v.value, number(int64(v.from)), number(int64(v.to)))
		}
	}
	if _, ok := doors[f.door]; !ok {
		return fmt.Errorf("--ingest is %q: write %s", f.door, strings.Join(slices.Sorted(maps.Keys(doors)), ", "))
	}
	if most := event.MaxBatchBytes / f.eventBytes; f.eventsPerMessage > most {
		return fmt.Errorf("--events-per-message is %d: a message holds at most %d events of %d bytes", f.eventsPerMessage,
			most, f.eventBytes)
	}
	if f.canary && doors[f.door] == price.NoIngestEndpoint {
		return errors.New("the canary comes by the door, and --ingest is none: write --canary=false too")
	}
	return nil
}

func cost(out io.Writer, f costFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	p := f.pipeline()
	load := price.Load{
		EventsPerDay: float64(f.eventsPerDay), EventBytes: float64(f.eventBytes),
		EventsPerMessage: float64(f.eventsPerMessage), EventsPerRequest: float64(f.eventsPerMessage),
	}
	printCost(out, f, p, load)
	return nil
}

// pipeline is the topology in the terms of the bill.
func (f *costFlags) pipeline() price.Pipeline {
	o := topology.DefaultOptions()
	o.NoCanary = !f.canary
	t := topology.New(o)
	p := price.Pipeline{Endpoint: doors[f.door], ConcurrentFlushes: deliver.DefaultFlushes, Regions: f.regions}
	for _, s := range t.EventSources {
		p.BatchSize, p.BatchingWindow = s.BatchSize, s.BatchingWindow
	}
	for _, s := range t.Schedules {
		p.CanaryEvery = s.Every
	}
	n := t.Names
	for name, function := range map[string]*price.Function{
		n.DeliverFunction: &p.Deliver, n.IngestFunction: &p.Ingest, n.CanaryFunction: &p.Canary,
	} {
		of, exists := t.Function(name)
		if !exists || name == n.IngestFunction && p.Endpoint == price.NoIngestEndpoint {
			continue
		}
		metrics := wellDoing(of.Metrics, f.canary)
		function.MemoryMB, function.LogBytes = of.MemoryMB, logBytes(of.Metrics, metrics)
		p.Metrics += len(metrics)
	}
	if p.Endpoint == price.HTTPAPI {
		p.Ingest.LogBytes += accessLogBytes
	}
	if f.alarms {
		for _, a := range t.Alarms {
			p.AlarmMetrics += max(1, len(a.Metrics)) // an alarm over an expression is paid by the metric
		}
		p.CompositeAlarms = len(t.Composites)
	}
	if f.dashboard {
		p.Dashboards = 1
	}
	return p
}

// wellDoing are the metrics that a function writes while nothing is wrong; those of failures are
// paid for the hours in which they are written.
func wellDoing(function string, withCanary bool) []emf.Metric {
	switch function {
	case "deliver":
		s := deliver.Report{Messages: 1, Events: 1, Delivered: 1, Ages: []time.Duration{time.Second},
			Flushes: []deliver.Flush{{Events: 1, Class: segment.Delivered}}}
		if withCanary {
			s.CanaryEvents, s.CanaryAges = 1, []time.Duration{time.Second}
		}
		return s.Metrics()
	case "ingest":
		t := ingest.Totals{Requests: map[int]int{200: 1}, Accepted: 1, Latencies: []time.Duration{time.Second}}
		return t.Metrics()
	case "canary":
		return new(canary.Result).Metrics()
	}
	return nil
}

// What else stands in the log for each invocation, in bytes: Lambda's own three lines with the
// function's one, and of the HTTP API a line of its access log. Each is about so long, with what
// CloudWatch adds to a line.
const (
	ownLogBytes    = 900
	accessLogBytes = 350
)

// logBytes is about how much an invocation writes: its metrics as they really are written, and its
// other lines.
func logBytes(function string, metrics []emf.Metric) float64 {
	var written counting
	_ = emf.NewWriter(&written, emf.DefaultPipeline, function).Write(time.Unix(0, 0), metrics...) // counting can't fail
	return float64(written) + ownLogBytes
}

// counting is a Writer that only counts.
type counting int

func (c *counting) Write(p []byte) (int, error) {
	*c += counting(len(p))
	return len(p), nil
}

// printCost lays the bill beside that of one event a message.
func printCost(out io.Writer, f costFlags, p price.Pipeline, load price.Load) {
	naive, naiveLoad := p.OneEventAMessage(load)
	bill, other := p.Month(load).Bill(), naive.Month(naiveLoad).Bill()
	fixed := p.Month(price.Load{}).Bill().Total()
	regions := "1 region"
	if f.regions > 1 {
		regions = fmt.Sprintf("%d regions", f.regions)
	}
	fmt.Fprintf(out, "%s events a day of %s bytes, %s a message, %s, door: %s\n\n",
		number(int64(f.eventsPerDay)), number(int64(f.eventBytes)), number(int64(f.eventsPerMessage)), regions, f.door)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "US dollars a month\tas it is deployed\tone event a message\t")
	for i, l := range bill {
		if l.Quantity > 0 || other[i].Quantity > 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t\n", l.Name, dollars(l.Dollars()), dollars(other[i].Dollars()))
		}
	}
	fmt.Fprintf(w, "total\t%s\t%s\t\n", dollars(bill.Total()), dollars(other.Total()))
	if f.eventsPerDay > 0 {
		fmt.Fprintf(w, "of it, what does not depend on events\t%s\t%s\t\n", dollars(fixed), dollars(fixed))
		million := float64(f.eventsPerDay) * price.Month.Hours() / 24 / 1e6
		fmt.Fprintf(w, "the rest, for a million events\t%s\t%s\t\n", dollars((bill.Total()-fixed)/million),
			dollars((other.Total()-fixed)/million))
	}
	w.Flush()
	fmt.Fprintf(out, "\nPrices of %s, us-east-1, without free tier and taxes; a month of 30 days. Not in it: KMS, SNS, "+
		"keeping logs, retries in an outage.\nFrom", price.Checked)
	var sources []string
	for _, l := range bill {
		if l.Quantity > 0 && !slices.Contains(sources, l.Rate.Source) {
			sources = append(sources, l.Rate.Source)
		}
	}
	fmt.Fprintf(out, " %s\n", strings.Join(sources, ", "))
}

func dollars(d float64) string {
	if d > 0 && d < 0.1 {
		return fmt.Sprintf("%.3f", d)
	}
	return humanize.FormatFloat("#,###.##", d)
}
