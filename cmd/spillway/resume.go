package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/pausing"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newResume() *cobra.Command {
	var f pauseFlags
	c := &cobra.Command{
		Use:   "resume",
		Short: "End a pause of delivery, or of one write key",
		Long: usage.Help("Ends what `spillway pause` began, and says who had paused it, since when and why. It enables "+
			"the event "+
			"source of the deliver function also if somebody has disabled it by hand.",
			"With --write-key it resumes that key; its events that wait are delivered "+resumeWithin+"."),
		Example: "  spillway resume --name spillway\n  spillway resume --write-key 0a1b2c3d",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.open(c)
			if err != nil {
				return err
			}
			return f.resume(c.Context(), p, c.OutOrStdout())
		},
	}
	f.register(c)
	return c
}

// resumeWithin says when the events of a key are delivered: see deliver.Backoff.
const resumeWithin = "within 20 minutes"

func (f *pauseFlags) resume(ctx context.Context, p pausing.Pipeline, out io.Writer) error {
	done, err := p.Resume(ctx, pausing.Order{Key: f.key})
	if err != nil {
		return err
	}
	switch {
	case done.Already:
		fmt.Fprintln(out, f.what()+" is not paused: nothing was changed.")
		return nil
	case done.Mark.IsSet():
		fmt.Fprintln(out, terminal.OneLine(fmt.Sprintf("%s is resumed. It had been paused %s", f.what(), done.Mark)))
	default:
		fmt.Fprintln(out, f.what()+" is resumed.")
	}
	if done.Note != "" {
		fmt.Fprintln(out, terminal.OneLine(done.Note))
	}
	if f.key != "" {
		fmt.Fprintln(out, "Events that wait are delivered "+resumeWithin+".")
	}
	return nil
}
