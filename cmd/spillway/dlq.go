package main

import (
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newDLQ() *cobra.Command {
	var f dlq.Flags
	c := &cobra.Command{
		Use:   "dlq",
		Short: "List dead letters, show one, send them again, export or delete them, restore their queue",
		Long: usage.Help(
			"Works on the dead-letter queue of the local pipeline or, with --name or --queue-url, of a pipeline on "+
				"AWS, with the credentials of the AWS tools.",
			"SQS can't list a queue without receiving its messages. While a command runs, the dead letters that it has read "+
				"are therefore invisible to others. They are visible again when it ends or is interrupted, and at most "+
				dlq.InvisibleFor+" later if it is killed. Receiving them does no harm, because no queue follows the "+
				"dead-letter queue. SQS lets 120,000 be read at a time: of more, those beyond 100,000 are put back at the "+
				"queue's end under the same IDs.",
			"An age is the time since the events were received. A write key is shown by its name in the write-key document "+
				"that --write-keys names, otherwise by the beginning of its SHA-256, as in the function's log."),
		SuggestFor: []string{"ls", "show", "redrive", "export", "drop", "restore"}, // given without dlq
		Args:       usage.Subcommand,
		RunE:       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.Register(c)
	c.AddCommand(newDLQLs(&f), newDLQShow(&f), newDLQRedrive(&f), newDLQExport(&f), newDLQDrop(&f), newDLQRestore(&f))
	return c
}
