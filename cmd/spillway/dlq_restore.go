package main

import (
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newDLQRestore(f *dlq.Flags) *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Create a dead-letter queue that was deleted, with all that a deployment gives it",
		Long: usage.Help("Creates the dead-letter queue with its retention, visibility timeout, encryption, policies and " +
			"tags, or sets those of them that an existing one lacks. A deployment does not do that: it changes only what " +
			"differs from the deployment before. What the deleted queue held is gone."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error { return f.Restore(c.Context(), c.OutOrStdout()) },
	}
}
