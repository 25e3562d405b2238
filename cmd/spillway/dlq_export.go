package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newDLQExport(f *dlq.Flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Copy dead letters to standard output, one event per line",
		Long: usage.Help(append([]string{"Copies dead letters to standard output. They remain in the queue."},
			dlq.FileFormat()...)...),
		Example: "  spillway dlq export --reason rejected > rejected.ndjson\n  spillway send < corrected.ndjson",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return dlqExport(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), f)
		},
	}
	f.RegisterFilter(c)
	return c
}

func dlqExport(ctx context.Context, out, errOut io.Writer, f *dlq.Flags) error {
	filter, err := f.Filter()
	if err != nil {
		return err
	}
	q, err := f.Open(ctx)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	copied, err := q.Export(ctx, filter, func(lines []byte) error { _, err := w.Write(lines); return err })
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	fmt.Fprintf(errOut, "spillway: exported %s of %s\n", terminal.Plural(copied.Events, "event"),
		terminal.Plural(copied.DeadLetters, "dead letter"))
	switch {
	case errors.Is(err, interrupt.Err):
		return fmt.Errorf("%w: not all dead letters were exported", err)
	case err != nil:
		return q.Explain(err)
	}
	return f.CheckReasons(copied.InQueue)
}
