package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/doctor"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
)

type doctorFlags struct {
	pipeline            deployed.Name
	queueURL, ingestURL string
	asJSON              bool
}

func newDoctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check a pipeline as a person on call would, and say what to do",
		Long: usage.Help("Checks a running `spillway up` or, with --name, a pipeline on AWS: whether anybody is told when "+
			"an alarm fires, the alarms, functions and their versions, the event source, concurrency and quotas, the queues, "+
			"the write keys, the ingest endpoint, Segment, the clock, dead letters, the archive, and the status site. It "+
			"changes nothing and sends no event.",
			"Each check is ok, warning, failed, or unknown if it could not be made, then with the permission that is "+
				"missing. The exit code is 1 if a check failed or could not be made."),
		Example: "  spillway doctor\n  spillway doctor --name spillway",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := f.run(c.Context(), c.Flags().Changed("queue-url"))
			if err != nil {
				return err
			}
			if f.asJSON {
				if err := terminal.WriteJSON(c.OutOrStdout(), report); err != nil {
					return err
				}
			} else {
				report.Print(c.OutOrStdout())
			}
			return report.Err()
		},
	}
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL, "`URL` of the local pipeline's events queue")
	c.Flags().StringVar(&f.ingestURL, "ingest-url", "",
		"`URL` of the ingest endpoint on AWS (default: the one that the functions know)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object with all checks")
	return c
}

func (f *doctorFlags) run(ctx context.Context, hasQueueURL bool) (doctor.Report, error) {
	if !f.pipeline.Given() {
		if f.ingestURL != "" {
			return doctor.Report{}, errors.New("--ingest-url is for a pipeline on AWS: name it with --name")
		}
		return doctor.Local(ctx, f.queueURL)
	}
	if hasQueueURL {
		return doctor.Report{}, errors.New("--queue-url is for the local pipeline: remove it, or --name")
	}
	names, err := f.pipeline.Names()
	if err != nil {
		return doctor.Report{}, err
	}
	config, err := deployed.Config(ctx)
	if err != nil {
		return doctor.Report{}, err
	}
	return doctor.Deployed(ctx, config, names, f.ingestURL)
}
