package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/statussite"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/status"
)

type scheduleFlags struct {
	statusMessage
	from, until string
	lasts       time.Duration
}

func newStatusSchedule(f *statussite.Flags) *cobra.Command {
	s := scheduleFlags{statusMessage: statusMessage{Flags: f}}
	c := &cobra.Command{
		Use:   "schedule",
		Short: "Announce maintenance",
		Long: usage.Help("Announces maintenance, which begins and ends by itself. While it goes on, its components open no "+
			"incident, and their time counts as maintenance. Without --component it is about all of them.",
			"A time is like 2026-12-03T09:00Z, or 2026-12-03 09:00 in UTC; --from now begins at once."),
		Example: "  spillway status schedule --title 'New database' --from '2026-12-03 09:00' --for 2h --component delivery",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.schedule(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
	s.register(c, true)
	c.Flags().StringVar(&s.from, "from", "", "`time` at which it begins")
	c.Flags().StringVar(&s.until, "until", "", "`time` at which it ends")
	c.Flags().DurationVar(&s.lasts, "for", 0, "how long it lasts, instead of --until")
	return c
}

func (s *scheduleFlags) schedule(ctx context.Context, in io.Reader, out io.Writer) error {
	if s.title == "" || s.from == "" || (s.until == "") == (s.lasts == 0) {
		return errors.New("maintenance needs --title, --from, and --until or --for")
	}
	message, err := s.message(in)
	if err != nil {
		return err
	}
	work := status.Work{Title: s.title, Text: message.Text, Components: s.components}
	if work.From, err = usage.Moment("--from", s.from); err != nil {
		return err
	}
	work.Until = work.From.Add(s.lasts)
	if s.until != "" {
		if work.Until, err = usage.Moment("--until", s.until); err != nil {
			return err
		}
	}
	var scheduled status.Maintenance
	wrote, err := s.publish(ctx, in, out, "Announce this", nil, func(d *status.Document, now time.Time) (err error) {
		scheduled, err = d.Schedule(work, now)
		return err
	})
	if !wrote {
		return err
	}
	return errors.Join(s.wroteMaintenance(out, "scheduled", &scheduled), err)
}
