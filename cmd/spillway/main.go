// Command spillway runs the pipeline on this machine and works with pipelines on this machine and
// on AWS.
//
// Each verb is a file: its flags, one call, and its output. The packages below have what verbs
// share.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func main() {
	ctx, stop := interrupt.Context()
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "spillway:", terminal.Safe(err.Error()))
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "spillway",
		Short: "Deliver analytics events to Segment through SQS and Lambda",
		Long: usage.Help("Spillway delivers analytics events to Segment through SQS and Lambda, so that an API never "+
			"waits for Segment.", "`spillway up` runs the whole pipeline on this machine. The other verbs work with that "+
			"pipeline, or with one on AWS."),
		Version:       versionText(),
		SilenceUsage:  true, // an error is one line
		SilenceErrors: true,
		Args:          usage.Subcommand,

		PersistentPreRunE: usage.NoEmptyFlags,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(usage.FlagError)
	root.AddCommand(newUp(), newConsole(), newSend(), newDLQ(), newTail(), newTop(), newKeys(), newSegmentd(), newBench(),
		newCheck(), newDoctor(), newDrill(), newRegion(), newPause(), newResume(), newReplay(), newLogs(), newCost(),
		newStatus(), newWhy(), newForget(), newHealth(), newDeploy(), newVersion())
	return root
}
