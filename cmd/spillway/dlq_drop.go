package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spillwayhq/spillway/shared/deadletter"
)

type dropFlags struct {
	*dlqFlags
	yes  bool
	file string
}

func newDLQDrop(f *dlqFlags) *cobra.Command {
	d := dropFlags{dlqFlags: f}
	c := &cobra.Command{
		Use:   "drop",
		Short: "Delete dead letters, behind writing them to a file",
		Long:  "Deletes dead letters. What it deletes is in a file first, and the file on disk.\n\n" + exportFormat,
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return d.run(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
	f.filterFlags(c)
	c.Flags().BoolVar(&d.yes, "yes", false, "do not ask")
	c.Flags().StringVar(&d.file, "file", "", "where to write them: a new file; spillway-dropped-TIME.ndjson when empty")
	return c
}

func (d *dropFlags) run(ctx context.Context, in io.Reader, out io.Writer) error {
	filter, err := d.filter()
	if err != nil {
		return err
	}
	terminal := false
	if file, ok := in.(*os.File); ok {
		terminal = term.IsTerminal(int(file.Fd()))
	}
	if !terminal && !d.yes {
		return errors.New("there is no terminal to ask on: write --yes to drop the letters all the same")
	}
	q, err := d.open(ctx)
	if err != nil {
		return err
	}
	if !d.yes {
		if sure, err := d.sure(ctx, q, filter, in, out); err != nil || !sure {
			return err
		}
	}
	path := d.file
	if path == "" {
		path = "spillway-dropped-" + time.Now().UTC().Format("20060102T150405Z") + ".ndjson"
	}
	file, err := newDurable(path)
	if err != nil {
		return err
	}
	dropped, err := q.dead.Drop(ctx, filter, file.write)
	if closed := file.close(); err == nil {
		err = closed
	}
	if dropped.DeadLetters > 0 {
		fmt.Fprintf(out, "dropped %s with %s, which are in %s\n", plural(dropped.DeadLetters-dropped.NotDeleted, "letter"),
			plural(dropped.Events, "event"), path)
	}
	switch {
	case errors.Is(err, errInterrupted):
		return fmt.Errorf("%w: what was not dropped is where it was: start again to go on", err)
	case err != nil:
		return plainly(err, q.deadURL)
	case dropped.DeadLetters == 0 && len(dropped.InQueue) > 0 && len(d.reasons) == 0:
		fmt.Fprintln(out, "There are dead letters, but none of that age.")
	case len(dropped.InQueue) == 0:
		return q.empty(ctx, out)
	}
	return d.known(dropped.InQueue)
}

// sure shows what would be dropped and asks.
func (d *dropFlags) sure(ctx context.Context, q *queues, filter deadletter.Filter, in io.Reader, out io.Writer) (bool,
	error) {
	name, err := d.names()
	if err != nil {
		return false, err
	}
	listing, err := q.dead.List(ctx, filter, name)
	if err != nil {
		return false, plainly(err, q.deadURL)
	}
	if err := d.known(listing.InQueue); err != nil {
		return false, err
	}
	if len(listing.Entries) == 0 {
		return false, q.empty(ctx, out)
	}
	list(out, &listing, 5, time.Now())
	fmt.Fprintf(out, "\nDrop %s? Write yes: ", plural(len(listing.Entries), "letter"))
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		fmt.Fprintln(out, "Nothing was dropped.")
		return false, nil
	}
	return true, nil
}

// durable is a new file whose lines are on disk when write returns.
type durable struct {
	file  *os.File
	wrote bool
}

func newDurable(path string) (*durable, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the file for what is dropped: %w: name a new one with --file", err)
	}
	// A file is safe when its directory knows it, too.
	dir, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = dir.Sync()
		dir.Close()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("put %s on disk: %w: name a file elsewhere with --file", path, err)
	}
	return &durable{file: file}, nil
}

func (d *durable) write(lines []byte) error {
	d.wrote = true
	if _, err := d.file.Write(lines); err != nil {
		return err
	}
	return d.file.Sync()
}

// close removes the file again when there is nothing in it.
func (d *durable) close() error {
	err := d.file.Close()
	if !d.wrote {
		err = errors.Join(err, os.Remove(d.file.Name()))
	}
	return err
}
