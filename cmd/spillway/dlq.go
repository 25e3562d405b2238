package main

import (
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

func newDLQ() *cobra.Command {
	var f dlq.Flags
	c := &cobra.Command{
		Use:   "dlq",
		Short: "List dead letters, show one, send them again, export or delete them",
		Long: "Works on the dead-letter queue of the local pipeline or, with --name, --stack or --queue-url, of a " +
			"pipeline\n" +
			"on AWS, with the credentials that the AWS tools are configured with.\n\n" +
			"SQS can't list a queue without receiving its messages. While a command runs, the dead letters that it has\n" +
			"read are therefore invisible to others. They are visible again when it ends or is interrupted, and at most\n" +
			deadletter.VisibilityTimeout.String() +
			" later if it is killed. Receiving them does no harm, because no queue follows the\n" +
			"dead-letter queue.\n\n" +
			"An age is the time since the events were received. A write key is shown by its name in the write-key\n" +
			"document that --write-keys names, otherwise by the beginning of its SHA-256, as in the function's log.",
		SuggestFor: []string{"ls", "show", "redrive", "export", "drop"}, // given without dlq
		Args:       usage.Subcommand,
		RunE:       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.Register(c)
	c.AddCommand(newDLQLs(&f), newDLQShow(&f), newDLQRedrive(&f), newDLQExport(&f), newDLQDrop(&f))
	return c
}
