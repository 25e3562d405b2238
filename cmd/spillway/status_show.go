package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/statussite"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/status"
)

func newStatusShow(f *statussite.Flags) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show what customers read",
		Long: usage.Help("Shows the state of each component as the page says it, and the incidents and maintenance " +
			"that are not " +
			"over, with their IDs. --json prints the whole document, which is also the site's status.json."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return showStatus(c.Context(), f, asJSON, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the document as one JSON object")
	return c
}

func showStatus(ctx context.Context, f *statussite.Flags, asJSON bool, out io.Writer) error {
	k, where, err := f.Open(ctx)
	if err != nil {
		return err
	}
	d, err := statussite.Document(ctx, k, where)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, d)
	}
	site, err := k.ReadSite(ctx)
	if err != nil {
		return err
	}
	printStatus(out, site, &d, time.Now())
	return nil
}

// printStatus writes what is now.
func printStatus(out io.Writer, site status.Site, d *status.Document, now time.Time) {
	title, text := d.Headline(site)
	fmt.Fprintf(out, "%s. %s\n", terminal.OneLine(title), terminal.OneLine(text))
	fmt.Fprintln(out, measured(d.ObservedAt, now))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(d.Components) > 0 {
		fmt.Fprintln(table, "\nCOMPONENT\tSTATE\tSINCE\tCUSTOMERS READ")
	}
	for _, c := range d.Components {
		_, state, says := d.Describe(site, c)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", terminal.OneLine(c.ID), state, age(c.Since, now), terminal.OneLine(says))
	}
	first := "\nINCIDENT\tPHASE\tIMPACT\tSINCE\tTITLE\n"
	for _, i := range d.Incidents {
		if i.Open() {
			fmt.Fprintf(table, "%s%s\t%s\t%s\t%s\t%s\n", first, terminal.OneLine(i.ID), i.Phase, i.Impact,
				age(i.StartedAt, now), terminal.OneLine(i.Title))
			first = ""
		}
	}
	first = "\nMAINTENANCE\tPHASE\tFROM\tUNTIL (UTC)\tTITLE\n"
	for _, m := range d.Maintenances {
		if m.Phase != status.Completed {
			const form = "2006-01-02 15:04"
			fmt.Fprintf(table, "%s%s\t%s\t%s\t%s\t%s\n", first, terminal.OneLine(m.ID), m.Phase, m.From.Format(form),
				m.Until.Format(form), terminal.OneLine(m.Title))
			first = ""
		}
	}
	table.Flush()
}

// measured says how old the page is.
func measured(at, now time.Time) string {
	text := "Measured at " + at.Format("2006-01-02 15:04:05 UTC")
	switch old := now.Sub(at); {
	case at.IsZero():
		return "Nothing was measured yet."
	case old < -time.Minute:
		return text + ", which is in the future: a clock is wrong."
	case old > status.StaleAfter:
		return text + ", " + age(at, now) + " ago: the page tells its readers that it is out of date."
	}
	return text + ", " + age(at, now) + " ago."
}

func age(since, now time.Time) string { return terminal.Age(max(now.Sub(since), 0)) }
