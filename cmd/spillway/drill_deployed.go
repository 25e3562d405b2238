package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/livedrill"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// drillDeployed tries the alarms of a pipeline on AWS. With asJSON out gets the result, and errOut
// what happens meanwhile.
func drillDeployed(ctx context.Context, pipeline *deployed.Name, asJSON bool, out, errOut io.Writer) error {
	names, err := pipeline.Names()
	if err != nil {
		return err
	}
	config, err := deployed.Config(ctx)
	if err != nil {
		return err
	}
	steps := out
	if asJSON {
		steps = errOut
	}
	began := time.Now()
	d := &livedrill.Drill{
		Names: names, CloudWatch: cloudwatch.NewFromConfig(config), SSM: ssm.New(config),
		Variables: func(ctx context.Context) (map[string]string, error) {
			f, err := signed.Configuration(ctx, config, names.DeliverFunction)
			return f.Environment.Variables, err
		},
		Say: func(format string, args ...any) {
			lasted := time.Since(began)
			fmt.Fprintf(steps, "%02d:%02d  %s\n", int(lasted.Minutes()), int(lasted.Seconds())%60,
				terminal.OneLine(fmt.Sprintf(format, args...)))
		},
	}
	result, err := d.Run(ctx)
	if asJSON && !result.Began.IsZero() {
		if failed := terminal.WriteJSON(out, result); failed != nil {
			return failed
		}
	}
	return err
}
