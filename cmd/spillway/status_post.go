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

func newStatusPost(f *statussite.Flags) *cobra.Command {
	m := statusMessage{Flags: f}
	c := &cobra.Command{
		Use:   "post",
		Short: "Open an incident",
		Long: usage.Help("Opens an incident, which stays open until you resolve it. While it is open, its " +
			"components open no " +
			"automatic one. If there is an automatic one already, write to that with update instead."),
		Example: "  spillway status post --title 'Segment is down' --text 'Events are safe.' --component delivery " +
			"--impact major",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return m.post(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
	m.register(c, true)
	m.registerState(c)
	return c
}

func (m *statusMessage) post(ctx context.Context, in io.Reader, out io.Writer) error {
	if m.title == "" || m.text == "" {
		return errors.New("an incident needs --title and --text")
	}
	message, err := m.message(in)
	if err != nil {
		return err
	}
	var posted status.Incident
	wrote, err := m.publish(ctx, in, out, "Post this", nil, func(d *status.Document, now time.Time) (err error) {
		posted, err = d.Post(message, now)
		return err
	})
	if !wrote {
		return err
	}
	return errors.Join(m.wroteIncident(out, "posted", &posted), err)
}
