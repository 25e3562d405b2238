package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

type dropFlags struct {
	*dlq.Flags
	yes  bool
	file string
}

func newDLQDrop(f *dlq.Flags) *cobra.Command {
	d := dropFlags{Flags: f}
	c := &cobra.Command{
		Use:   "drop",
		Short: "Write dead letters to a file and delete them",
		Long: usage.Help(append([]string{"Deletes dead letters from the queue. Each is in a file on disk before it is " +
			"deleted."}, dlq.FileFormat()...)...),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return d.run(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
	f.RegisterFilter(c)
	c.Flags().BoolVar(&d.yes, "yes", false, "do not ask for confirmation")
	c.Flags().StringVar(&d.file, "file", "", "new `file` to write to (default: spillway-dropped-TIME.ndjson)")
	return c
}

func (d *dropFlags) run(ctx context.Context, in io.Reader, out io.Writer) error {
	filter, err := d.Filter()
	if err != nil {
		return err
	}
	if !d.yes && !terminal.Is(in) {
		return errors.New("can't ask for confirmation, because standard input is not a terminal: give --yes to delete " +
			"without confirmation")
	}
	q, err := d.Open(ctx)
	if err != nil {
		return err
	}
	if !d.yes {
		if confirmed, err := d.confirm(ctx, q, filter, in, out); err != nil || !confirmed {
			return err
		}
	}
	path := d.file
	if path == "" {
		path = dlq.DropFile(time.Now())
	}
	file, err := dlq.NewFile(path)
	if err != nil {
		return err
	}
	dropped, err := q.Drop(ctx, filter, file.Append)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if dropped.DeadLetters > 0 {
		fmt.Fprintf(out, "deleted %s with %s; all are in %s\n",
			terminal.Plural(dropped.DeadLetters-dropped.NotDeleted, "dead letter"),
			terminal.Plural(dropped.Events, "event"), path)
	}
	switch {
	case errors.Is(err, interrupt.Err):
		return fmt.Errorf("%w: what was not deleted is still in the queue; run the command again to continue", err)
	case err != nil:
		return q.Explain(err)
	}
	if err := d.CheckReasons(dropped.InQueue); err != nil || dropped.DeadLetters > 0 {
		return err
	}
	return q.SayNone(ctx, dropped.InQueue, out)
}

// confirm shows what would be deleted and asks.
func (d *dropFlags) confirm(ctx context.Context, q *dlq.Queue, filter deadletter.Filter, in io.Reader,
	out io.Writer) (bool, error) {
	name, err := d.KeyNames()
	if err != nil {
		return false, err
	}
	const shown = 5
	listing, err := q.List(ctx, filter, shown, name)
	if err != nil {
		return false, q.Explain(err)
	}
	if err := d.CheckReasons(listing.InQueue); err != nil {
		return false, err
	}
	if listing.Total == 0 {
		return false, q.SayNone(ctx, listing.InQueue, out)
	}
	dlq.PrintListing(out, &listing, time.Now())
	fmt.Fprintf(out, "\nDelete %s? Type yes to confirm: ", terminal.Plural(listing.Total, "dead letter"))
	yes, err := terminal.ReadYes(in)
	if err == nil && !yes {
		fmt.Fprintln(out, "Nothing was deleted.")
	}
	return yes, err
}
