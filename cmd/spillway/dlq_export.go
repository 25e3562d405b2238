package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// exportFormat says what export and drop write.
const exportFormat = "Each line is an event: the JSON of a message for the events queue, with the field " +
	"\"deadLetter\" besides, which has the letter's id, reason and detail.\n" +
	"`spillway send` sends such lines again, with the write keys that are in them: keep them from who must not see " +
	"those. A body that can't be read is a\n" +
	"line with \"body\" in the place of an event, which send leaves out: mend the body, and send it with `aws sqs " +
	"send-message`.\n"

func newDLQExport(f *dlqFlags) *cobra.Command {
	c := &cobra.Command{
		Use:     "export",
		Short:   "Copy dead letters to standard output, an event a line",
		Long:    "Copies dead letters to standard output and leaves them where they are.\n\n" + exportFormat,
		Example: "  spillway dlq export --reason rejected > rejected.ndjson\n  spillway send < mended.ndjson",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return dlqExport(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), f)
		},
	}
	f.filterFlags(c)
	return c
}

func dlqExport(ctx context.Context, out, errOut io.Writer, f *dlqFlags) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	q, err := f.open(ctx)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	copied, err := q.dead.Export(ctx, filter, func(lines []byte) error { _, err := w.Write(lines); return err })
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	fmt.Fprintf(errOut, "spillway: exported %s of %s\n", plural(copied.Events, "event"), plural(copied.DeadLetters, "letter"))
	switch {
	case errors.Is(err, errInterrupted):
		return fmt.Errorf("%w: not everything was exported", err)
	case err != nil:
		return plainly(err, q.deadURL)
	}
	return f.known(copied.InQueue)
}
