package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

func newDrill() *cobra.Command {
	var pipeline deployed.Name
	var asJSON bool
	c := &cobra.Command{
		Use:   "drill",
		Short: "Try the alarms of a pipeline on AWS",
		Long: usage.Help("With --name, tries the alarms of a pipeline on AWS: for at most 15 minutes its deliver function "+
			"drops the canary's events, and nobody else's. It reports when the canary's alarm and the composite fired, and "+
			"whether the mail went out, which takes about 10 minutes.",
			"Canaries are delivered again at the end, after Ctrl-C, and also if this program is killed: what it writes is "+
				"the time of the end. The exit code is 1 if something did not come."),
		Example: "  spillway drill --name spillway",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if !pipeline.Given() {
				return errors.New("name the pipeline on AWS whose alarms shall be tried, with --name")
			}
			return drillDeployed(c.Context(), &pipeline, asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	pipeline.Register(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as one JSON object, and the steps to the standard error")
	return c
}
