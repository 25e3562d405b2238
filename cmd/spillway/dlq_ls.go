package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

type lsFlags struct {
	*dlq.Flags
	limit  int
	asJSON bool
}

func newDLQLs(f *dlq.Flags) *cobra.Command {
	l := lsFlags{Flags: f}
	c := &cobra.Command{
		Use:   "ls",
		Short: "Count dead letters by reason and write key, and list them",
		Long: usage.Help("Counts dead letters by reason and write key, and lists them: the one whose events were received " +
			"last comes first."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if l.limit < 0 {
				return fmt.Errorf("--limit must be at least 0 (0 lists all), is %d", l.limit)
			}
			return l.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.RegisterFilter(c)
	c.Flags().IntVar(&l.limit, "limit", 20, "`number` of dead letters to list below the counts; 0 lists all")
	c.Flags().BoolVar(&l.asJSON, "json", false, "print one JSON object")
	return c
}

func (l *lsFlags) run(ctx context.Context, out, errOut io.Writer) error {
	filter, err := l.Filter()
	if err != nil {
		return err
	}
	name, err := l.KeyNames()
	if err != nil {
		return err
	}
	q, err := l.Open(ctx)
	if err != nil {
		return err
	}
	listing, err := q.List(ctx, filter, l.limit, name)
	if err != nil {
		return q.Explain(err)
	}
	if err := l.CheckReasons(listing.InQueue); err != nil {
		return err
	}
	if len(listing.InQueue) > 0 {
		defer q.WarnInvisible(ctx, errOut)
		dlq.SayPutBack(errOut, listing.PutBack)
	}
	if l.asJSON {
		return printListingJSON(out, &listing)
	}
	if listing.Total == 0 {
		return q.SayNone(ctx, listing.InQueue, out)
	}
	dlq.PrintListing(out, &listing, time.Now())
	return nil
}

func printListingJSON(out io.Writer, l *deadletter.Listing) error {
	return terminal.WriteJSON(out, struct {
		DeadLetters int                `json:"deadLetters"`
		Copies      int                `json:"copies"`
		Groups      []deadletter.Group `json:"groups"`
		List        []deadletter.Entry `json:"list"`
	}{l.Total, l.Duplicates, append([]deadletter.Group{}, l.Groups...), append([]deadletter.Entry{}, l.Entries...)})
}
