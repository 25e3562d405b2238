package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/logs"
	"github.com/spillwayhq/spillway/cmd/spillway/outcomes"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/deliver"
)

type tailFlags struct {
	outcomes.Query
	pipeline           deployed.Name
	queueURL, logGroup string
	asJSON             bool
}

func newTail() *cobra.Command {
	var f tailFlags
	known := []string{deliver.Delivered.String(), deliver.Retried.String(), deliver.DeadLettered.String()}
	c := &cobra.Command{
		Use:   "tail",
		Short: "Follow what happens to each event",
		Long: usage.Help("Follows a running `spillway up` and prints a line for each event: the time, the outcome ("+
			strings.Join(known, ", ")+"), its reason, and the event's type, name, user and messageId. An event that is "+
			"retried is printed again at its next attempt. Delivery never waits for a tail: when it prints too slowly, it "+
			"skips events and says how many.",
			"On AWS, with --name or --log-group, it follows the deliver function's log instead, which has a line for "+
				"each invocation, with counts and times but no events. It polls every 2 s, which costs nothing, and is some "+
				"seconds late."),
		Example: "  spillway tail\n  spillway tail --outcome dead_lettered --payload\n" +
			"  spillway tail --event 'Run Started' --json",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.Outcome != "" && !slices.Contains(known, f.Outcome) {
				return fmt.Errorf("--outcome must be one of %s, is %q", strings.Join(known, ", "), f.Outcome)
			}
			var err error
			onAWS := f.pipeline.Given() || f.logGroup != ""
			switch {
			case onAWS && c.Flags().Changed("queue-url"):
				return errors.New("--queue-url is for the local pipeline: remove it, or --name and --log-group")
			case onAWS:
				err = f.aws(c.Context(), c.OutOrStdout())
			default:
				err = f.local(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
			}
			if c.Context().Err() != nil { // Ctrl-C is how a tail ends
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL, "`URL` of the local pipeline's events queue")
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.logGroup, "log-group", "", "log `group` of a deliver function on AWS, in place of --name")
	c.Flags().StringVar(&f.Event, "event", "", "only events with this `name`")
	c.Flags().StringVar(&f.User, "user", "",
		"only events of this `user`: with this userId, or with this anonymousId and no userId")
	c.Flags().StringVar(&f.Outcome, "outcome", "", "only this `outcome`: "+strings.Join(known, ", "))
	c.Flags().BoolVar(&f.Payload, "payload", false, "print the events themselves, too")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print a JSON object per line, with more details")
	return c
}

// local follows a running pipeline until ctx ends. The end of the pipeline is an error.
func (f *tailFlags) local(ctx context.Context, out, errOut io.Writer) error {
	endpoint, err := queues.Endpoint(f.queueURL)
	if err != nil {
		return err
	}
	return outcomes.Follow(ctx, endpoint, f.Query, func(o *local.Outcome, raw []byte) {
		switch {
		case f.asJSON:
			fmt.Fprintf(out, "%s\n", terminal.SafeJSON(raw))
		case o.Lost > 0:
			fmt.Fprintf(errOut, "spillway: %s skipped, because they came faster than they could be printed: select fewer "+
				"with --event, --user or --outcome\n", terminal.Plural(o.Lost, "event"))
		default:
			fmt.Fprintln(out, outcomeLine(o))
		}
	})
}

func outcomeLine(o *local.Outcome) string {
	line := fmt.Sprintf("%s  %-13s %-13s %-8s %s", o.At.Local().Format("15:04:05.000"), o.Outcome, o.Reason, o.Type,
		strconv.QuoteToGraphic(o.Event))
	if o.User != "" {
		line += " user=" + o.User
	}
	if o.MessageID != "" {
		line += " messageId=" + o.MessageID
	}
	if len(o.Payload) > 0 {
		line += " " + string(o.Payload)
	}
	return strings.ReplaceAll(terminal.Safe(line), "\n", " ")
}

// aws follows the function's log until ctx ends.
func (f *tailFlags) aws(ctx context.Context, out io.Writer) error {
	if f.Event != "" || f.User != "" || f.Payload {
		return errors.New("the deliver function's log has no events: remove --event, --user and --payload")
	}
	if f.pipeline.Given() && f.logGroup != "" {
		return errors.New("--name already names the log group: remove --log-group")
	}
	c, group, err := f.findLogGroup(ctx)
	if err != nil {
		return err
	}
	return logs.Follow(ctx, c, group, func(i *logs.Invocation) { f.printInvocation(out, i) })
}

func (f *tailFlags) findLogGroup(ctx context.Context) (aws.Config, string, error) {
	group := f.logGroup
	if f.pipeline.Given() {
		names, err := f.pipeline.Names()
		if err != nil {
			return aws.Config{}, "", err
		}
		group = names.FunctionLog(names.DeliverFunction)
	}
	c, err := deployed.Config(ctx)
	return c, group, err
}

func (f *tailFlags) printInvocation(out io.Writer, i *logs.Invocation) {
	switch {
	case f.Outcome != "" && !i.Has(f.Outcome):
	case f.asJSON:
		fmt.Fprintln(out, i.Raw)
	default:
		fmt.Fprintln(out, i)
	}
}
