package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

func newDLQLs(f *dlqFlags) *cobra.Command {
	var limit int
	var asJSON bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "Count dead letters by reason and write key, and list them",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return fmt.Errorf("--limit is %d: write how many letters to list, 0 for all", limit)
			}
			return dlqLs(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), f, limit, asJSON)
		},
	}
	f.filterFlags(c)
	c.Flags().IntVar(&limit, "limit", 20,
		"how many letters to list below the counts, those that came in last first; 0 for all")
	c.Flags().BoolVar(&asJSON, "json", false, "the same as one JSON object")
	return c
}

func dlqLs(ctx context.Context, out, errOut io.Writer, f *dlqFlags, limit int, asJSON bool) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	name, err := f.names()
	if err != nil {
		return err
	}
	q, err := f.open(ctx)
	if err != nil {
		return err
	}
	listing, err := q.dead.List(ctx, filter, name)
	if err != nil {
		return plainly(err, q.deadURL)
	}
	if err := f.known(listing.InQueue); err != nil {
		return err
	}
	if len(listing.InQueue) > 0 {
		defer q.unseen(ctx, errOut)
	}
	if asJSON {
		return listJSON(out, &listing, limit)
	}
	switch {
	case len(listing.InQueue) == 0:
		return q.empty(ctx, out)
	case len(listing.Entries) == 0:
		fmt.Fprintln(out, "There are dead letters, but none of that age.")
		return nil
	}
	list(out, &listing, limit, time.Now())
	return nil
}

func listJSON(out io.Writer, l *deadletter.Listing, limit int) error {
	letters := len(l.Entries)
	if limit > 0 && letters > limit {
		l.Entries = l.Entries[:limit]
	}
	return writeJSON(out, struct {
		Letters int                `json:"letters"`
		Copies  int                `json:"copies"`
		Groups  []deadletter.Group `json:"groups"`
		List    []deadletter.Entry `json:"list"`
	}{letters, l.Duplicates, append([]deadletter.Group{}, l.Groups...), append([]deadletter.Entry{}, l.Entries...)})
}

// maxListed is how much of a detail stands in the list; show has all of it.
const maxListed = 70

// list draws two tables: the counts, and the letters themselves.
func list(out io.Writer, l *deadletter.Listing, limit int, now time.Time) {
	age := func(t time.Time) string { return ago(max(0, now.Sub(t))) }
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "REASON\tWRITE KEY\tLETTERS\tEVENTS\tOLDEST\tNEWEST")
	events := 0
	for _, g := range l.Groups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(g.Reason), g.WriteKey, number(int64(g.DeadLetters)),
			number(int64(g.Events)), age(g.Oldest), age(g.Newest))
		events += g.Events
	}
	fmt.Fprintf(w, "total\t\t%s\t%s\n", number(int64(len(l.Entries))), number(int64(events)))
	w.Flush()

	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "LETTER\tREASON\tEVENTS\tAGE\tRECEIVES\tDETAIL")
	for i, e := range l.Entries {
		if limit > 0 && i == limit {
			break
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", oneLine(e.ID), oneLine(e.Reason), number(int64(e.Events)),
			age(e.FirstSeen), e.Receives, message.Truncate(oneLine(e.Detail), maxListed))
	}
	w.Flush()
	if rest := len(l.Entries) - limit; limit > 0 && rest > 0 {
		fmt.Fprintf(out, "… and %s more: --limit 0 lists all.\n", number(int64(rest)))
	}
	if l.Duplicates > 0 {
		fmt.Fprintf(out, "%s written twice, and counted once.\n", plural(l.Duplicates, "letter"))
	}
}
