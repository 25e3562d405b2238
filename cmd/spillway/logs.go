package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/insights"
)

// quietQuery is for how long a query may run before somebody is told that it still does.
const quietQuery = 5 * time.Second

type logsFlags struct {
	pipeline     deployed.Name
	match, query string
	since        time.Duration
	last         int
	all, asJSON  bool
}

func newLogs() *cobra.Command {
	var f logsFlags
	c := &cobra.Command{
		Use:   "logs FUNCTION",
		Short: "Print the newest lines of a function on AWS, or ask its log a question",
		Long: usage.Help("Prints the newest lines of the function deliver, ingest, canary or rollout, or of status in the "+
			"status region, the oldest of them first, and ends. CloudWatch Logs Insights selects them, so that it is no "+
			"matter how long the log is. Times are UTC.",
			"With --query it asks CloudWatch Logs Insights that question, waits until the answer is complete, and prints it "+
				"as a table. Insights charges $0.005 per GB that it scans, which are those of the time in --since.",
			"Lines are some seconds late. `spillway tail` follows deliver instead."),
		Example: "  spillway logs --name spillway deliver\n" +
			"  spillway logs --name spillway deliver --all --match 8f507cfc-1b0e-4f6b-9d0f-2a7f3a0e6c11\n" +
			"  spillway logs --name spillway ingest --query 'filter level = \"ERROR\" | stats count(*) by msg, error'",
		Args:      oneFunction,
		ValidArgs: functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args[0])
		},
	}
	f.pipeline.Register(c.Flags())
	c.Flags().DurationVar(&f.since, "since", time.Hour, "only lines that are younger than this, like 15m or 26h")
	c.Flags().IntVar(&f.last, "last", 20, "`number` of lines")
	c.Flags().StringVar(&f.match, "match", "", "only lines with this `text`")
	c.Flags().BoolVar(&f.all, "all", false,
		"also lines with metrics, and Lambda's START, END and REPORT, of which each invocation has some")
	c.Flags().StringVar(&f.query, "query", "", "`question` to CloudWatch Logs Insights, in its language")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print a JSON object per line")
	return c
}

// functionNames are what the functions are called on a command line.
func functionNames() []string {
	var names []string
	o := topology.DefaultOptions()
	o.Rollout = true
	for _, f := range slices.Concat(topology.New(o).Functions,
		topology.NewStatusSite(topology.DefaultOptions()).Functions) {
		names = append(names, f.Metrics)
	}
	return names
}

func oneFunction(c *cobra.Command, args []string) error {
	known := strings.Join(functionNames(), ", ")
	switch {
	case len(args) != 1:
		return fmt.Errorf("%s needs the function whose log it reads: one of %s", c.CommandPath(), known)
	case !slices.Contains(functionNames(), args[0]):
		return fmt.Errorf("unknown function %q (known: %s)", args[0], known)
	}
	return nil
}

func (f *logsFlags) check(c *cobra.Command) error {
	lines := slices.DeleteFunc([]string{"last", "match", "all"}, func(n string) bool { return !c.Flags().Changed(n) })
	switch {
	case !f.pipeline.Given():
		return errors.New("--name is missing: the pipeline on AWS whose log is read (`spillway up` prints where its log is)")
	case f.since < time.Second:
		return fmt.Errorf("--since must be at least 1s, is %v", f.since)
	case f.last < 1 || f.last > insights.MaxRows:
		return fmt.Errorf("--last must be between 1 and %s, is %d", terminal.Number(insights.MaxRows), f.last)
	case f.query != "" && len(lines) > 0:
		return fmt.Errorf("--query already says which lines: remove --%s", lines[0])
	}
	return nil
}

func (f *logsFlags) run(ctx context.Context, out, errOut io.Writer, function string) error {
	names, err := f.pipeline.Names()
	if err != nil {
		return err
	}
	c, err := deployed.Config(ctx)
	if err != nil {
		return err
	}
	group := names.FunctionLog(names.Pipeline + "-" + function)
	now := time.Now()
	told := time.Duration(0)
	q := insights.Query{LogGroup: group, Text: f.query, From: now.Add(-f.since), To: now,
		Running: func(after time.Duration, bytes int64) {
			if after >= told+quietQuery {
				told = after
				fmt.Fprintf(errOut, "the query still runs, %d MB were scanned: wait, or press Ctrl-C to stop it\n", bytes/1e6)
			}
		}}
	if f.query == "" {
		q.Text = f.lines()
	}
	result, err := insights.Run(ctx, cloudwatchlogs.NewFromConfig(c), q)
	if err != nil {
		return err
	}
	if len(result.Rows) == 0 {
		fmt.Fprintf(errOut, "%s has no such lines in the last %s\n", group, terminal.Age(f.since))
		return nil
	}
	return f.print(out, &result)
}

// lines is the question for the newest lines.
func (f *logsFlags) lines() string {
	text := "fields @timestamp, @message"
	if !f.all {
		text += ` | filter @message not like /^(START|END|REPORT|INIT_START) |"_aws":/`
	}
	if f.match != "" {
		text += " | filter @message like " + insightsText(f.match)
	}
	return fmt.Sprintf("%s | sort @timestamp desc | limit %d", text, f.last)
}

// insightsText quotes a text for a query.
func insightsText(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func (f *logsFlags) print(out io.Writer, r *insights.Result) error {
	if f.query == "" { // which selects the newest
		slices.Reverse(r.Rows)
	}
	if f.asJSON {
		for _, row := range r.Rows {
			if err := terminal.WriteJSON(out, row); err != nil {
				return err
			}
		}
		return nil
	}
	if f.query == "" {
		for _, row := range r.Rows {
			message := strings.TrimSpace(row["@message"])
			if _, err := fmt.Fprintf(out, "%s  %s\n", row["@timestamp"], terminal.Safe(message)); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(r.Columns, "\t"))
	for _, row := range r.Rows {
		cells := make([]string, len(r.Columns))
		for i, column := range r.Columns {
			cells[i] = terminal.OneLine(row[column])
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

var _ insights.API = (*cloudwatchlogs.Client)(nil)
