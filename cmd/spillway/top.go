package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/cloudwatch"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/price"
)

type topFlags struct {
	pipeline     deployed.Name
	queueURL, by string
	since        time.Duration
	limit        int
	asJSON       bool
}

func newTop() *cobra.Command {
	var f topFlags
	c := &cobra.Command{
		Use:   "top",
		Short: "Show who sends most, and who has grown",
		Long: usage.Help("Shows which event names and write keys send most: events that came in, their share and bytes, and "+
			"what was refused, by code. Below it shows who has grown: the last 5 minutes against the hour before them and the "+
			"same hour yesterday. Write keys have their names of the write-key document, or their fingerprints.",
			"Each part of the pipeline writes once a minute what its heaviest senders sent, so that who begins to send ten "+
				"times as much is named within 2 minutes. Numbers may lack 0.1 % of all events, and rare names are missing.",
			"On AWS, with --name, CloudWatch Logs Insights reads these lines in the logs of ingest and deliver. It charges "+
				"$0.005 per GB that it scans: these logs in --since (at least 65 minutes) and in the same hour yesterday. "+
				"Without --name it asks a running `spillway up`, which counts users too."),
		Example: "  spillway top\n  spillway top --by user --since 10m\n" +
			"  spillway top --name spillway --by write-key\n  spillway top --name spillway --json",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL, "`URL` of the local pipeline's events queue")
	c.Flags().StringVar(&f.by, "by", "",
		"only by this `kind`: event, write-key, or user, whom up alone counts (default: event and write-key)")
	c.Flags().DurationVar(&f.since, "since", time.Hour, "count what came in for this long until now, up to 24h")
	c.Flags().IntVar(&f.limit, "limit", 10, "`number` of rows of each table")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return c
}

func (f *topFlags) check(c *cobra.Command) error {
	switch {
	case f.pipeline.Given() && c.Flags().Changed("queue-url"):
		return errors.New("--queue-url is for the local pipeline, and --name for one on AWS: remove one of them")
	case f.since < time.Minute || f.since > 24*time.Hour:
		return fmt.Errorf("--since must be between 1m and 24h, is %v", f.since)
	case f.limit < 1:
		return fmt.Errorf("--limit must be at least 1, is %d", f.limit)
	case f.by != "" && f.by != string(heavy.ByEvent) && f.by != string(heavy.ByWriteKey) && f.by != string(heavy.ByUser):
		return fmt.Errorf("--by must be event, write-key or user, is %q", f.by)
	case f.by == string(heavy.ByUser) && f.pipeline.Given():
		return errors.New("--by user is for the local pipeline: on AWS user ids, which are personal data, are in no log")
	}
	return nil
}

func (f *topFlags) run(ctx context.Context, out, errOut io.Writer) error {
	by := []heavy.By{heavy.ByEvent, heavy.ByWriteKey}
	if f.by != "" {
		by = []heavy.By{heavy.By(f.by)}
	}
	read := f.local
	if f.pipeline.Given() {
		read = f.aws
	}
	pipeline, lines, err := read(ctx, errOut)
	if err != nil {
		return err
	}
	// What was written while the lines were read counts too.
	r := top.New(pipeline, time.Now().Add(time.Second), f.since, lines, by, f.limit)
	if f.asJSON {
		return terminal.WriteJSON(out, r)
	}
	return printTop(out, &r)
}

// local asks a running pipeline for its lines.
func (f *topFlags) local(ctx context.Context, _ io.Writer) (string, []heavy.Line, error) {
	endpoint, err := queues.Endpoint(f.queueURL)
	if err != nil {
		return "", nil, err
	}
	names, ok := topology.NamesOfEventsQueue(f.queueURL[strings.LastIndex(f.queueURL, "/")+1:])
	if !ok {
		names = topology.DefaultNames()
	}
	var all []heavy.Line
	for _, span := range top.Spans(time.Now(), f.since) {
		u := *endpoint
		u.Path = local.SendersPath
		u.RawQuery = url.Values{"from": {span.From.Format(time.RFC3339Nano)},
			"to": {span.To.Add(time.Minute).Format(time.RFC3339Nano)}}.Encode()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return "", nil, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", nil, queues.Explain(err, f.queueURL)
		}
		var lines []heavy.Line
		if err = json.NewDecoder(response.Body).Decode(&lines); response.StatusCode != http.StatusOK {
			err = fmt.Errorf("it answers %s", response.Status)
		}
		response.Body.Close()
		if err != nil {
			return "", nil, fmt.Errorf("read who sends what at %s: %w: is it a `spillway up` of this version?", endpoint, err)
		}
		all = append(all, lines...)
	}
	return names.Pipeline, all, nil
}

// aws reads the lines in the logs of a deployed pipeline.
func (f *topFlags) aws(ctx context.Context, errOut io.Writer) (string, []heavy.Line, error) {
	names, err := f.pipeline.Names()
	if err != nil {
		return "", nil, err
	}
	c, err := deployed.Config(ctx)
	if err != nil {
		return "", nil, err
	}
	return f.read(ctx, errOut, names, &cloudwatch.Source{Logs: cloudwatchlogs.NewFromConfig(c), Pipeline: names.Pipeline})
}

func (f *topFlags) read(ctx context.Context, errOut io.Writer, names topology.Names,
	source *cloudwatch.Source) (string, []heavy.Line, error) {
	source.LogGroups = []string{names.FunctionLog(names.IngestFunction), names.FunctionLog(names.DeliverFunction)}
	if terminal.Is(errOut) {
		told := time.Duration(0)
		source.Running = func(after time.Duration, bytes int64) {
			if after >= told+quietQuery {
				told = after
				fmt.Fprintf(errOut, "the query still runs, %s were scanned: wait, or press Ctrl-C to stop it\n",
					humanize.Bytes(uint64(max(0, bytes))))
			}
		}
	}
	all, err := top.Read(ctx, source, time.Now(), f.since)
	if err != nil {
		return "", nil, err
	}
	scanned := source.Scanned()
	fmt.Fprintf(errOut, "%s of logs were scanned, for $%.4f\n", humanize.Bytes(uint64(max(0, scanned))),
		price.Usage{ScannedBytes: float64(scanned)}.Bill().Total())
	return names.Pipeline, all, nil
}

// printTop prints a report as tables.
func printTop(out io.Writer, r *top.Report) error {
	const clock = "15:04:05"
	if r.Events+r.Refused == 0 {
		fmt.Fprintf(out, "%s: nobody has sent anything since %s\n", r.Pipeline, r.From.Local().Format(clock))
		return nil
	}
	fmt.Fprintf(out, "%s, from %s to %s: %s, %s; %s refused\n", r.Pipeline, r.From.Local().Format(clock),
		r.To.Local().Format(clock), terminal.Plural(int64(r.Events), "event"), humanize.Bytes(r.Bytes),
		terminal.Number(int64(r.Refused)))
	for _, t := range r.Tables {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "\nBY %s\tEVENTS\tPER SECOND\tSHARE\tSIZE\tREFUSED\n", strings.ToUpper(string(t.By)))
		for _, row := range t.Heaviest {
			fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f %%\t%s\t%s\n", nameOf(row.Name, row.ID), terminal.Number(int64(row.Events)),
				float64(row.Events)/r.To.Sub(r.From).Seconds(), 100*row.Share, humanize.Bytes(row.Bytes), codes(row.Refused))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if err := printGrown(out, &t); err != nil {
			return err
		}
	}
	return nil
}

func printGrown(out io.Writer, t *top.Table) error {
	switch {
	case !t.Compared:
		fmt.Fprintln(out, "Nothing to compare with: there are no lines of an earlier hour yet.")
		return nil
	case len(t.Grown) == 0:
		fmt.Fprintln(out, "None sends twice as much as in the hour before and at the same time yesterday.")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "GROWN IN %s\tPER SECOND\tHOUR BEFORE\tYESTERDAY\tTIMES\n", terminal.Age(top.Recent))
	for _, g := range t.Grown {
		times := "new"
		if g.Times > 0 {
			times = fmt.Sprintf("%.1f", g.Times)
		}
		fmt.Fprintf(w, "%s\t%.1f\t%s\t%s\t%s\n", nameOf(g.Name, g.ID), g.Rate, rate(g.Before), rate(g.Yesterday), times)
	}
	return w.Flush()
}

func rate(r *float64) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *r)
}

// nameOf is a sender's name, with a write key's fingerprint. Names are others' text.
func nameOf(name, id string) string {
	if name = terminal.OneLine(name); id != "" {
		name += " (" + terminal.OneLine(id) + ")"
	}
	return name
}

func codes(refused map[string]uint64) string {
	var words []string
	for _, code := range slices.Sorted(maps.Keys(refused)) {
		words = append(words, terminal.Number(int64(refused[code]))+" "+code)
	}
	return terminal.OneLine(strings.Join(words, ", "))
}
