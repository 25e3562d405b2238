// Command spillway runs the pipeline on one machine and works with it: a file a verb.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := interruptible()
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "spillway:", harmless(err.Error()))
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "spillway",
		Short:         "Analytics events to Segment, by way of SQS and Lambda",
		SilenceUsage:  true, // an error is one line
		SilenceErrors: true,
		Args:          verb,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%s: see %s --help", flagError(c, err), c.CommandPath())
	})
	root.AddCommand(newUp(), newSend(), newDLQ(), newTail(), newSegmentd(), newBench(), newCost())
	return root
}

// verb refuses what is not a verb of the command, and names those that it could have been meant to
// be.
func verb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 1 // with cobra's 2, ls would be up
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %s %s: did you mean %s?", c.CommandPath(), args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no command %s %s: see %[1]s --help", c.CommandPath(), args[0])
}

// noArguments is for a verb that takes flags alone.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no argument like %q: see %[1]s --help", c.CommandPath(), args[0])
}

// invalid is how the flag library tells of a value that it can't read.
var invalid = regexp.MustCompile(`invalid argument "(.*)" for "(?:-., )?--(.*)" flag`)

// flagError says what to write instead of what the parser thinks of it.
func flagError(c *cobra.Command, err error) string {
	found := invalid.FindStringSubmatch(err.Error())
	if found == nil {
		return err.Error()
	}
	expected := map[string]string{
		"uint16": "a number from 0 to 65535", "int": "a whole number", "float64": "a number", "bool": "true or false",
		"duration": "a duration like 50ms or 2s",
	}[c.Flags().Lookup(found[2]).Value.Type()]
	return fmt.Sprintf("--%s can't be %q: write %s", found[2], found[1], expected)
}

// errInterrupted is why a context ended by Ctrl-C did.
var errInterrupted = errors.New("interrupted")

// interruptible returns a context that the first Ctrl-C or SIGTERM ends, so that what is under way
// is finished. The second one ends the process at once.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		cancel(errInterrupted)
		if _, ok := <-signals; ok {
			os.Exit(130)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
	}
}
