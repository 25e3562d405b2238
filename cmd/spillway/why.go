package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/archived"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/keyfile"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/cmd/spillway/why"
	"github.com/spillwayhq/spillway/shared/history"
)

type whyFlags struct {
	archived.Flags
	user, writeKeys string
	since           time.Duration
	limit           int
	asJSON          bool
}

func newWhy() *cobra.Command {
	var f whyFlags
	c := &cobra.Command{
		Use:   "why MESSAGE_ID",
		Short: "Tell what happened to an event, or to the events of a user",
		Long: usage.Help("Tells what happened to the event with a messageId, in one line: when it was accepted and "+
			"tried, what Segment answered, and where it is now. With --user it prints a line for each event of a user, the "+
			"newest first.",
			"It looks into the latest outcomes and the queues of a running `spillway up`, the dead letters, and the archive. "+
				"On this machine the archive has an index. On AWS it reads all of the archive's objects since --since: an hour "+
				"of 1,000 events/s has some 500 MB. A queue on AWS can't be searched, because delivery needs its messages."),
		Example: "  spillway why 0c5a6a0e-5ee6-4a3b-9d3e-2f1f7f6b8f0a\n  spillway why --user anna --since 72h --json",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && f.user == "":
				return errors.New("give the messageId of an event, or a user with --user")
			case len(args) > 0 && f.user != "":
				return errors.New("give a messageId or --user, not both")
			case len(args) > 1:
				return errors.New("give the messageId of one event")
			case len(args) == 1 && args[0] == "":
				return errors.New("the messageId must not be empty")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if f.since <= 0 {
				return fmt.Errorf("--since must be more than 0, is %v", f.since)
			}
			if f.limit <= 0 {
				return fmt.Errorf("--limit must be at least 1, is %d", f.limit)
			}
			q := why.Query{User: f.user, Since: f.since, Limit: f.limit}
			if len(args) == 1 {
				q.MessageID = args[0]
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), q)
		},
	}
	f.Register(c)
	c.Flags().StringVar(&f.user, "user", "", "the events of this `user`: with this userId, or with this anonymousId and "+
		"no userId")
	c.Flags().DurationVar(&f.since, "since", 24*time.Hour, "how far back to search the archive, like 72h")
	c.Flags().IntVar(&f.limit, "limit", 100, "`number` of a user's events to print, the newest")
	c.Flags().StringVar(&f.writeKeys, "write-keys", "",
		"`file` with the write-key document, to show the names of write keys")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object, with each step and the events themselves")
	return c
}

func (f *whyFlags) run(ctx context.Context, out, errOut io.Writer, q why.Query) error {
	var names map[string]string
	if f.writeKeys != "" {
		var err error
		if names, err = keyfile.Names(f.writeKeys); err != nil {
			return err
		}
	}
	q.Name = dlq.KeyNames(names)
	p, err := f.Open(ctx)
	if err != nil && !errors.Is(err, archived.ErrNoArchive) { // the other places may know it
		return err
	}
	var bar terminal.Progress
	story, err := why.Ask(ctx, p, q, func(at history.Progress) {
		if at.Objects == 1 {
			bar = terminal.NewReading(errOut, "objects", at.Of)
		}
		bar.Set(at.Objects)
	})
	bar.Finish()
	if err != nil {
		return err
	}
	if f.asJSON {
		err = why.WriteJSON(out, &story)
	} else {
		why.Print(out, errOut, &story, f.Given())
	}
	if err == nil && len(story.Events) == 0 {
		what := "of the event " + q.MessageID
		if q.User != "" {
			what = "of the user " + q.User
		}
		err = fmt.Errorf("no trace %s: one that was delivered before that time leaves none; --since looks further back", what)
	}
	return err
}
