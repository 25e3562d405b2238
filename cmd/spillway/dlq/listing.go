package dlq

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

// maxDetail is how much of a detail a listing shows; `dlq show` shows all of it.
const maxDetail = 70

// SayPutBack prints how many dead letters a run has put back, see package deadletter.
func SayPutBack(errOut io.Writer, n int) {
	if n > 0 {
		fmt.Fprintf(errOut, "spillway: SQS lets no more than 120,000 dead letters be read at a time: %s were put back at "+
			"the queue's end, under the same IDs, and are visible again within %.0f min\n", terminal.Plural(n, "dead letter"),
			deadletter.PutBackFor.Minutes())
	}
}

// PrintListing prints two tables: the counts, and the dead letters.
func PrintListing(out io.Writer, l *deadletter.Listing, now time.Time) {
	age := func(t time.Time) string { return terminal.Age(max(0, now.Sub(t))) }
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "REASON\tWRITE KEY\tDEAD LETTERS\tEVENTS\tOLDEST\tNEWEST")
	events := 0
	for _, g := range l.Groups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", terminal.OneLine(g.Reason), g.WriteKey, terminal.Number(g.DeadLetters),
			terminal.Number(g.Events), age(g.Oldest), age(g.Newest))
		events += g.Events
	}
	fmt.Fprintf(w, "total\t\t%s\t%s\n", terminal.Number(l.Total), terminal.Number(events))
	w.Flush()

	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tREASON\tEVENTS\tAGE\tRECEIVES\tDETAIL")
	for _, e := range l.Entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", terminal.OneLine(e.ID), terminal.OneLine(e.Reason),
			terminal.Number(e.Events), age(e.FirstSeen), e.Receives,
			message.Shorten(terminal.OneLine(e.Detail), maxDetail))
	}
	w.Flush()
	if rest := l.Total - len(l.Entries); rest > 0 {
		fmt.Fprintf(out, "… and %s more: --limit 0 lists all.\n", terminal.Number(rest))
	}
	if l.Duplicates > 0 {
		fmt.Fprintf(out, "%s in the queue twice, counted once.\n", terminal.Plural(l.Duplicates, "dead letter"))
	}
}
