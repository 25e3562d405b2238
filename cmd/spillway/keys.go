package main

import (
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newKeys() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Check a set of write keys before it is used",
		Long: usage.Help("Works on the documents that say which write keys the ingest endpoint accepts: docs/write-keys.md " +
			"describes them."),
		Args: usage.Subcommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKeysCheck())
	return c
}
