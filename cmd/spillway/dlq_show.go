package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

func newDLQShow(f *dlq.Flags) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter with its events",
		Long:  "Shows the dead letter with an ID that ls lists, with its events. Write keys are replaced by their names.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give the ID of one dead letter: `spillway dlq ls` lists them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return dlqShow(c.Context(), c.OutOrStdout(), f, args[0], asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func dlqShow(ctx context.Context, out io.Writer, f *dlq.Flags, id string, asJSON bool) error {
	name, err := f.KeyNames()
	if err != nil {
		return err
	}
	q, err := f.Open(ctx)
	if err != nil {
		return err
	}
	found, err := q.Find(ctx, id)
	if err != nil {
		return q.Explain(err)
	}
	if found == nil {
		return fmt.Errorf("no visible dead letter has the ID %q: `spillway dlq ls --limit 0` lists all", id)
	}
	d, err := dlq.Describe(found, name)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, d)
	}
	d.Print(out, time.Now())
	return nil
}
