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

	"github.com/spillwayhq/spillway/cmd/spillway/estimate"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/price"
)

type costFlags struct {
	eventsPerDay, eventBytes, eventsPerMessage int
	ingest, rollout                            string
	regions, statusRegions, statusViews        int
	archiveDays                                int
	canary, alarms, dashboard, domain, archive bool
	fairQueues                                 bool
	window                                     time.Duration
}

func newCost() *cobra.Command {
	var f costFlags
	c := &cobra.Command{
		Use:   "cost",
		Short: "Estimate the monthly bill of a pipeline on AWS",
		Long: usage.Help(
			"Prints what a pipeline without failures costs per month on AWS, line by line, beside the cost of the same "+
				"pipeline with one event per message.",
			"It reads no bill and calls nothing: the prices are part of this program, and so are the numbers of alarms, "+
				"metrics and functions that it would deploy."),
		Example: "  spillway cost --events-per-day 1000000 --event-bytes 1000\n  spillway cost --events-per-day 50000000 " +
			"--ingest none --canary=false --events-per-message 250 --regions 2",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error { return cost(c.OutOrStdout(), f) },
	}
	c.Flags().IntVar(&f.eventsPerDay, "events-per-day", 1_000_000,
		"`number` of events per day, evenly distributed over the day")
	c.Flags().IntVar(&f.eventBytes, "event-bytes", 1000, "size of an average event, in `bytes`")
	c.Flags().IntVar(&f.eventsPerMessage, "events-per-message", 20,
		"`number` of events per request of an SDK, or per message of a publisher; browsers and phones send 1")
	c.Flags().StringVar(&f.ingest, "ingest", "http-api",
		"ingest `endpoint` for SDKs: http-api, function-url, or none if all events come from publishers")
	c.Flags().StringVar(&f.rollout, "rollout", "canary",
		"how a new version takes `over`: canary, with an alarm on each function's version, or all at once")
	c.Flags().IntVar(&f.regions, "regions", 1, "`number` of regions that share the events, each with its own pipeline")
	c.Flags().IntVar(&f.statusRegions, "status-regions", 0, "`number` of other regions with the status site, at most 2")
	c.Flags().IntVar(&f.statusViews, "status-views", 100_000, "`number` of times that the status page is loaded per month")
	c.Flags().BoolVar(&f.canary, "canary", true, "include the canary, which needs an ingest endpoint")
	c.Flags().BoolVar(&f.alarms, "alarms", true, "include the alarms")
	c.Flags().BoolVar(&f.dashboard, "dashboard", true, "include the dashboard")
	c.Flags().BoolVar(&f.archive, "archive", false, "include the archive of what was delivered, and of dead letters")
	c.Flags().IntVar(&f.archiveDays, "archive-days", int(topology.DefaultArchiveKept.Hours()/24),
		"`number` of days that the archive keeps an event")
	c.Flags().BoolVar(&f.fairQueues, "fair-queues", false,
		"include the price of groups, with which a source that floods the queue does not delay the others")
	c.Flags().DurationVar(&f.window, "batching-window", topology.DefaultOptions().BatchingWindow,
		"`duration` for which an invocation waits for more messages: the setting batchingWindowSeconds")
	c.Flags().BoolVar(&f.domain, "domain", false, "include one name in front of all regions, with health checks")
	return c
}

// endpoints are the values of --ingest.
var endpoints = map[string]price.IngestEndpoint{"none": price.NoIngestEndpoint, "function-url": price.FunctionURL,
	"http-api": price.HTTPAPI}

func (f *costFlags) check() error {
	for _, v := range [...]struct {
		name            string
		value, from, to int
	}{
		{"events-per-day", f.eventsPerDay, 0, 1e12}, {"event-bytes", f.eventBytes, 1, event.MaxEventBytes},
		{"events-per-message", f.eventsPerMessage, 1, event.MaxBatchEvents}, {"regions", f.regions, 1, 40},
		{"archive-days", f.archiveDays, 1, topology.MaxArchiveDays}, {"status-regions", f.statusRegions, 0, 2},
		{"status-views", f.statusViews, 0, 1e12},
	} {
		if v.value < v.from || v.value > v.to {
			return fmt.Errorf("--%s must be between %s and %s, is %d", v.name, terminal.Number(v.from), terminal.Number(v.to),
				v.value)
		}
	}
	if f.window < 0 || f.window > topology.MaxBatchingWindow {
		return fmt.Errorf("--batching-window must be between 0 and %v, is %v", topology.MaxBatchingWindow, f.window)
	}
	if _, ok := endpoints[f.ingest]; !ok {
		return fmt.Errorf("--ingest must be one of %s, is %q", strings.Join(slices.Sorted(maps.Keys(endpoints)), ", "),
			f.ingest)
	}
	if f.rollout != "canary" && f.rollout != "all" {
		return fmt.Errorf("--rollout must be canary or all, is %q", f.rollout)
	}
	if most := event.MaxBatchBytes / f.eventBytes; f.eventsPerMessage > most {
		return fmt.Errorf("--events-per-message must be at most %d for events of %d bytes, is %d", most, f.eventBytes,
			f.eventsPerMessage)
	}
	if f.domain && f.ingest != "http-api" {
		return fmt.Errorf("--domain needs --ingest http-api, because nothing else can have a domain of its own, is %q",
			f.ingest)
	}
	if f.canary && endpoints[f.ingest] == price.NoIngestEndpoint {
		return errors.New("the canary needs an ingest endpoint: give --canary=false with --ingest none")
	}
	return nil
}

// unit is what carries the events into the pipeline.
func (f costFlags) unit() string {
	if endpoints[f.ingest] == price.NoIngestEndpoint {
		return "message"
	}
	return "request"
}

func cost(out io.Writer, f costFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	p := estimate.Pipeline(estimate.Settings{
		Ingest: endpoints[f.ingest], Regions: f.regions, Canary: f.canary, Alarms: f.alarms, Dashboard: f.dashboard,
		Domain: f.domain, Rollout: f.rollout == "canary",
	})
	p.FairQueues, p.BatchingWindow = f.fairQueues, f.window
	bill := printCost(out, f, p)
	if f.archive {
		bill = append(bill, printArchiveCost(out, f, p)...)
	}
	if f.statusRegions > 0 {
		bill = append(bill, printStatusCost(out, f, p)...)
	}
	fmt.Fprintf(out, "\nPrices of %s, us-east-1, without free tier and taxes; a month of 30 days. Not included: "+
		"KMS, SNS, log storage, retries during an outage.\nSources: %s\n", price.Checked, strings.Join(sources(bill), ", "))
	return nil
}

// printStatusCost prints the bill of the status site.
func printStatusCost(out io.Writer, f costFlags, p price.Pipeline) price.Bill {
	bill := p.StatusMonth(estimate.StatusSite(f.statusRegions, float64(f.statusViews))).Bill()
	fmt.Fprintf(out, "\nThe status site, in %s, loaded %s times: $%s per month\n\n",
		terminal.Plural(f.statusRegions, "other region"), terminal.Number(f.statusViews), formatDollars(bill.Total()))
	printBill(out, bill)
	return bill
}

// perInvocation are numbers of events whose price into Firehose is printed.
var perInvocation = [...]float64{1, 2, 4, 8, 100}

// printArchiveCost prints the bill of the archive, and what so few events an invocation cost.
func printArchiveCost(out io.Writer, f costFlags, p price.Pipeline) price.Bill {
	l := f.load()
	bill := p.ArchiveMonth(estimate.Archive(time.Duration(f.archiveDays)*24*time.Hour, f.alarms), l).Bill()
	fmt.Fprintf(out, "\nThe archive, once it has events of %s: $%s per month\n\n",
		terminal.Plural(f.archiveDays, "day"), formatDollars(bill.Total()))
	printBill(out, bill)
	var prices []string
	for _, n := range perInvocation {
		prices = append(prices, fmt.Sprintf("$%s with %.0f", formatDollars(price.FirehosePerMillion(n, l.EventBytes)), n))
	}
	fmt.Fprintf(out, "\nFirehose takes money for multiples of 5 KB an invocation. A million such events cost %s; here an "+
		"invocation has about %.0f.\n", strings.Join(prices, ", "), p.EventsPerInvocation(l))
	return bill
}

// printBill prints the lines of a bill that are not zero.
func printBill(out io.Writer, bill price.Bill) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "US dollars per month\tas deployed\t")
	for _, l := range bill {
		if l.Quantity > 0 {
			fmt.Fprintf(w, "%s\t%s\t\n", l.Name, formatDollars(l.Dollars()))
		}
	}
	fmt.Fprintf(w, "total\t%s\t\n", formatDollars(bill.Total()))
	w.Flush()
}

func (f costFlags) load() price.Load {
	return price.Load{
		EventsPerDay: float64(f.eventsPerDay), EventBytes: float64(f.eventBytes),
		EventsPerMessage: float64(f.eventsPerMessage), EventsPerRequest: float64(f.eventsPerMessage),
	}
}

// printCost prints the pipeline's bill beside that of one event per message.
func printCost(out io.Writer, f costFlags, p price.Pipeline) price.Bill {
	load := f.load()
	single, singleLoad := p.OneEventPerMessage(load)
	bill, singleBill := p.Month(load).Bill(), single.Month(singleLoad).Bill()
	fixed := p.Month(price.Load{}).Bill().Total()
	fmt.Fprintf(out, "%s events per day of %s bytes, %s per %s, %s, ingest endpoint: %s\n",
		terminal.Number(f.eventsPerDay), terminal.Number(f.eventBytes), terminal.Number(f.eventsPerMessage), f.unit(),
		terminal.Plural(f.regions, "region"), f.ingest)
	fmt.Fprintf(out, "$%s per month", formatDollars(bill.Total()))
	if f.eventsPerDay > 0 && f.eventsPerMessage > 1 {
		alone := load
		alone.EventsPerMessage, alone.EventsPerRequest = 1, 1
		fmt.Fprintf(out, ", and $%s with 1 event per %s", formatDollars(p.Month(alone).Bill().Total()), f.unit())
		if f.unit() == "request" {
			fmt.Fprint(out, ", as browsers and phones send them")
		}
	}
	fmt.Fprint(out, "\n\n")
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "US dollars per month\tas deployed\tone event per message\t")
	row := func(name string, dollars, singleDollars float64) {
		fmt.Fprintf(w, "%s\t%s\t%s\t\n", name, formatDollars(dollars), formatDollars(singleDollars))
	}
	for i, l := range bill {
		if l.Quantity > 0 || singleBill[i].Quantity > 0 {
			row(l.Name, l.Dollars(), singleBill[i].Dollars())
		}
	}
	row("total", bill.Total(), singleBill.Total())
	if f.eventsPerDay > 0 {
		millions := float64(f.eventsPerDay) * price.Month.Hours() / 24 / 1e6
		row("fixed, whatever the number of events", fixed, fixed)
		row("the rest, per million events", (bill.Total()-fixed)/millions, (singleBill.Total()-fixed)/millions)
	}
	w.Flush()
	return bill
}

// sources are where the prices of a bill come from.
func sources(bill price.Bill) []string {
	var urls []string
	for _, l := range bill {
		if l.Quantity > 0 && !slices.Contains(urls, l.Rate.Source) {
			urls = append(urls, l.Rate.Source)
		}
	}
	return urls
}

func formatDollars(d float64) string {
	if d > 0 && d < 0.1 {
		return fmt.Sprintf("%.3f", d)
	}
	return humanize.FormatFloat("#,###.##", d)
}
