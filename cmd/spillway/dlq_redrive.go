package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/health"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

type redriveFlags struct {
	*dlq.Flags
	dryRun, force bool
	rate          float64
}

// dedupePeriod is how long Segment drops repeated events.
var dedupePeriod = fmt.Sprintf("%.0f h", deadletter.DedupePeriod.Hours())

func newDLQRedrive(f *dlq.Flags) *cobra.Command {
	r := redriveFlags{Flags: f}
	c := &cobra.Command{
		Use:   "redrive",
		Short: "Send dead letters again, through the bulk queue",
		Long: usage.Help(
			"Sends each dead letter to the bulk queue and then deletes it. The bulk queue is delivered beside the events "+
				"queue and yields to it, so that old events never delay fresh ones. An interruption loses none, and may send one "+
				"twice, as the same event with the same messageId.",
			"Dead letters with the reasons "+strings.Join(deadletter.PermanentReasons(), ", ")+" would only fail "+
				"again. They are skipped unless --reason names them. Dead letters that arrive during the run are left "+
				"for the next run.",
			"It sends nothing while Segment is failing. Segment is failing if, in the latest minute with deliveries, more than "+
				"half of the calls to it failed, or the circuit breaker was open and no call was answered; a minute more than 15 "+
				"minutes ago does not count. The local pipeline tells this at /_spillway/status, and the one on AWS by its "+
				"CloudWatch metrics SegmentResponses and BreakerOpen, which are a minute or two late.",
			"Segment drops an event with a messageId that it has received within "+dedupePeriod+". It counts an older event "+
				"twice if it has already received it."),
		Example: "  spillway dlq redrive --dry-run\n  spillway dlq redrive --reason rejected --newer-than 24h",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := dlq.CheckRate(r.rate); err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			return r.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.RegisterFilter(c)
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "say what would be sent, and send nothing")
	c.Flags().Float64Var(&r.rate, "rate", deadletter.DefaultRate,
		"`number` of events per second; Segment accepts about 1000 for a workspace before it delays them or answers 429")
	c.Flags().BoolVar(&r.force, "force", false, "send even if Segment fails, or if that can't be found out")
	return c
}

func (f *redriveFlags) run(ctx context.Context, out, errOut io.Writer) error {
	filter, err := f.Filter()
	if err != nil {
		return err
	}
	q, err := f.Open(ctx)
	if err != nil {
		return err
	}
	if q.EventsURL == "" {
		return errors.New("--dead-letter-queue-url does not say where to send dead letters: give the events queue, too, " +
			"with --queue-url")
	}
	visible, _, err := q.Size(ctx)
	if err != nil {
		return q.Explain(err)
	}
	progress := terminal.NewProgress(errOut, "dead letters", visible)
	warned := false
	redrive := deadletter.RedriveOptions{Filter: filter, DryRun: f.dryRun, Rate: f.rate,
		Progress: func(r deadletter.RedriveResult) {
			progress.Set(min(r.DeadLetters, visible))
			if r.Old > 0 && !warned {
				warned = true
				fmt.Fprintf(errOut, "spillway: some events were received more than %s ago: Segment counts those twice that it "+
					"has already received, for example by an earlier redrive\n", dedupePeriod)
			}
		}}
	if !f.force && !f.dryRun {
		redrive.Check = func(ctx context.Context) error { return health.Check(ctx, q.EventsURL) }
	}
	to, err := f.target(ctx, q, errOut)
	if err != nil {
		return err
	}
	start := time.Now()
	result, err := q.Redrive(ctx, sqsclient.New(q.API, to), redrive)
	progress.Finish()
	if result.DeadLetters+result.Failed+len(result.Skipped) > 0 || err == nil {
		f.report(out, result, time.Since(start))
		q.WarnInvisible(ctx, errOut)
	}
	return f.unsent(result, err, to)
}

// target is the URL of the queue to which dead letters go.
func (f *redriveFlags) target(ctx context.Context, q *dlq.Queue, errOut io.Writer) (string, error) {
	if f.dryRun {
		return q.EventsURL, nil // nothing is sent
	}
	bulk, err := queues.BulkURL(ctx, q.API, q.EventsURL)
	if err == nil && bulk == "" {
		fmt.Fprintln(errOut, "spillway: "+queues.NoBulk)
		bulk = q.EventsURL
	}
	return bulk, err
}

// report prints the summary.
func (f *redriveFlags) report(out io.Writer, r deadletter.RedriveResult, took time.Duration) {
	fmt.Fprintf(out, "%s with %s ", terminal.Plural(r.DeadLetters, "dead letter"), terminal.Plural(r.Events, "event"))
	if f.dryRun {
		fmt.Fprint(out, "would be sent again")
	} else {
		fmt.Fprintf(out, "sent again in %.1f s", took.Seconds())
	}
	if r.Old > 0 {
		fmt.Fprintf(out, "; %s of them received more than %s ago, so Segment counts their events twice if it has them",
			terminal.Number(r.Old), dedupePeriod)
	}
	fmt.Fprintln(out)
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(out, "skipped %s with the reason %s, which would become dead letters again; to send them: --reason %s\n",
			terminal.Plural(r.Skipped[reason], "dead letter"), terminal.OneLine(reason), terminal.ShellWord(reason))
	}
}

// unsent returns an error that says what was not sent; nil if everything was.
func (f *redriveFlags) unsent(r deadletter.RedriveResult, err error, url string) error {
	switch {
	case errors.Is(err, deadletter.ErrFailing):
		return fmt.Errorf("%w: the dead letters are still in the queue. Try again when Segment takes events, or send them "+
			"now with --force", err)
	case errors.Is(err, interrupt.Err):
		return fmt.Errorf("%w: what was not sent is still in the queue; run the command again to continue", err)
	case err != nil:
		return queues.Explain(err, url)
	case r.Failed > 0:
		return fmt.Errorf("%s could not be sent, still in the queue: run the command again to retry",
			terminal.Plural(r.Failed, "dead letter"))
	}
	return f.CheckReasons(r.InQueue)
}
