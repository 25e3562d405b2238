package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/local/drill/report"
)

type drillFlags struct {
	pipeline      deployed.Name
	scenario, out string
	seed          uint64
	rate          float64
	list, asJSON  bool
}

func newDrill() *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use:   "drill",
		Short: "Play an outage in virtual time, and see when each alarm fires",
		Long: usage.Help(
			"Plays the outage of 24 September 2018, or another scenario, with the functions, limits and alarms that are "+
				"deployed, in virtual time: a day takes some seconds. It prints what happened, when each alarm fired and "+
				"cleared, how long the backlog took to drain, what became of every event, and the same day in the design "+
				"that failed.",
			"The same seed gives the same load and faults, and the same alarms within two minutes. Nothing outside this process "+
				"is read or called, and nothing but the file of --out is written. The exit code is 1 if a promise was not kept.",
			"With --name it tries the alarms of a pipeline on AWS instead: for at most 15 minutes its deliver function "+
				"drops the canary's events, and nobody else's. It reports when the canary's alarm and the composite fired, and whether "+
				"the mail went out, which takes about 10 minutes. Canaries are delivered again at the end, after Ctrl-C, and "+
				"also if this program is killed: what it writes is the time of the end. The exit code is 1 if something did "+
				"not come."),
		Example: "  spillway drill\n  spillway drill --list\n  spillway drill --scenario sqs-away --out sqs-away.html\n" +
			"  spillway drill --scenario 10x-traffic --json\n  spillway drill --name spillway",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error { return runDrill(c, &f) },
	}
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.scenario, "scenario", "incident", "what is played: a `name` of --list")
	c.Flags().BoolVar(&f.list, "list", false, "list the scenarios")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "a `number` that decides what is random of load and faults")
	c.Flags().Float64Var(&f.rate, "rate", 0,
		fmt.Sprintf("the usual traffic in `events/s`, %v to %d (default: the scenario's, mostly %d)",
			drill.MinRate, drill.MaxRate, drill.DefaultRate))
	c.Flags().BoolVar(&f.asJSON, "json", false,
		"print the result as one JSON object; with --name the steps go to the standard error")
	c.Flags().StringVar(&f.out, "out", "", "write the report as one page to this `file.html`")
	return c
}

func runDrill(c *cobra.Command, f *drillFlags) error {
	if f.pipeline.Given() {
		for _, name := range []string{"scenario", "seed", "rate", "list", "out"} {
			if c.Flags().Changed(name) {
				return fmt.Errorf("--%s is for a drill in virtual time: leave it out with --name", name)
			}
		}
		return drillDeployed(c.Context(), &f.pipeline, f.asJSON, c.OutOrStdout(), c.ErrOrStderr())
	}
	if f.list {
		return listScenarios(c.OutOrStdout(), f.asJSON)
	}
	o := drill.Options{Scenario: f.scenario, Seed: f.seed, Rate: f.rate}
	if c.Flags().Changed("rate") && f.rate == 0 {
		return fmt.Errorf("--rate must be between %v and %d events/s, is 0: leave it out for the scenario's own",
			drill.MinRate, drill.MaxRate)
	}
	if err := o.Check(); err != nil {
		return err
	}
	// A file that can't be written is found out before, not after.
	page, err := openPage(f.out)
	if err != nil {
		return err
	}
	err = playDrill(c.Context(), c.OutOrStdout(), o, f.asJSON, page)
	return errors.Join(err, page.close())
}

func playDrill(ctx context.Context, out io.Writer, o drill.Options, asJSON bool, page *pageFile) error {
	r, err := drill.Run(ctx, o)
	if err != nil {
		return err
	}
	if err := page.write(r); err != nil {
		return err
	}
	if asJSON {
		err = terminal.WriteJSON(out, r)
	} else {
		r.Story = strings.Join(terminal.Wrap(r.Story, storyColumns), "\n")
		err = report.WriteText(out, r)
	}
	if err == nil && len(r.Broken) > 0 {
		err = fmt.Errorf("the drill %s did not pass: %s not kept", r.Scenario, promises(len(r.Broken)))
	}
	return err
}

// storyColumns is the width of a scenario's story.
const storyColumns = 100

func promises(n int) string {
	if n == 1 {
		return "1 promise was"
	}
	return terminal.Number(n) + " promises were"
}

func listScenarios(out io.Writer, asJSON bool) error {
	if asJSON {
		type listed struct {
			Name    string  `json:"name"`
			Seconds float64 `json:"seconds"` // that it lasts, in virtual time
			Title   string  `json:"title"`
		}
		var all []listed
		for _, s := range drill.Scenarios() {
			all = append(all, listed{s.Name, s.Lasts.Seconds(), s.Title})
		}
		return terminal.WriteJSON(out, all)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tTIME\tWHAT HAPPENS")
	for _, s := range drill.Scenarios() {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, terminal.Age(s.Lasts), s.Title)
	}
	return table.Flush()
}

// A pageFile is the file of --out; nil: there is none.
type pageFile struct {
	*os.File
	made, written bool
}

// openPage opens the file without changing it.
func openPage(name string) (*pageFile, error) {
	if name == "" {
		return nil, nil
	}
	p := new(pageFile)
	_, err := os.Stat(name)
	p.made = errors.Is(err, os.ErrNotExist)
	if p.File, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("%w: name another file with --out", err)
	}
	return p, nil
}

// write replaces what is in the file by the page.
func (p *pageFile) write(r *drill.Result) error {
	if p == nil {
		return nil
	}
	p.written = true
	buffered := bufio.NewWriter(p.File)
	if err := errors.Join(p.Truncate(0), report.Write(buffered, r), buffered.Flush()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// close leaves no empty file behind.
func (p *pageFile) close() error {
	if p == nil {
		return nil
	}
	err := p.Close()
	if p.made && !p.written {
		err = errors.Join(err, os.Remove(p.Name()))
	}
	return err
}
