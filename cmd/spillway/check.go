package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local/sqs"
)

func newCheck() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the data directory of `up` for damage",
		Long: usage.Help("Reads the data directory of `spillway up` and says what waits in it, what is damaged, and "+
			"how many "+
			"messages are lost. It changes nothing. `up` must not run in the directory meanwhile.",
			"The next start of `up` delivers what is readable, and removes damaged files when the messages around the "+
				"damage are delivered. The exit code is 1 if something is damaged."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error { return check(c.OutOrStdout(), dir) },
	}
	c.Flags().StringVar(&dir, "data-dir", ".spillway", "`directory` that up uses")
	return c
}

func check(out io.Writer, dir string) error {
	store := filepath.Join(dir, "sqs")
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not a data directory of `spillway up`: name one with --data-dir", dir)
	}
	r, err := sqs.Check(store)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", store, terminal.Plural(int64(r.Files), "file"))
	for _, q := range r.Queues {
		name := q.Name
		if name == "" {
			name = "(a queue whose record is lost: the next start of `up` finds its messages if the queue is one of its own)"
		}
		fmt.Fprintf(out, "  %s: %s\n", name, terminal.Plural(q.Messages, "message"))
	}
	if r.Damage.None() {
		fmt.Fprintln(out, "nothing is damaged")
		return nil
	}
	for _, f := range r.Damage.Files {
		fmt.Fprintf(out, "damaged: %s\n", f)
	}
	if r.Damage.More > 0 {
		fmt.Fprintf(out, "damaged: %d more places\n", r.Damage.More)
	}
	fmt.Fprintln(out, "Start `spillway up` with this directory to deliver what is readable. Send lost events again "+
		"from where they "+
		"came, and check the disk.")
	lost := terminal.Plural(r.Damage.Messages, "message")
	if r.Damage.Uncounted > 0 {
		lost = "at least " + lost
	}
	return fmt.Errorf("the data directory %s is damaged: %s lost", dir, lost)
}
