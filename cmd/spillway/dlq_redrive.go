package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

type redriveFlags struct {
	*dlqFlags
	dryRun, force bool
	rate          float64
}

func newDLQRedrive(f *dlqFlags) *cobra.Command {
	r := redriveFlags{dlqFlags: f}
	c := &cobra.Command{
		Use:   "redrive",
		Short: "Send dead letters again",
		Long: "Sends dead letters to the events queue and deletes them behind that: interrupted at any point no letter is " +
			"lost, and one that was sent twice\n" +
			"is the same event, with the same messageId. Letters with the reasons " + strings.Join(deadletter.PermanentReasons(), ", ") +
			" would only come back,\n" +
			"so they are left out unless --reason names them. Letters that come in meanwhile, or come back, are for the " +
			"next run.\n\n" +
			"It refuses to send while Segment is failing, and stops when that begins: when in the last minute with " +
			"deliveries, of the last 15, more than half\n" +
			"of the calls to Segment failed, or none was answered because the circuit breaker is open. The local pipeline " +
			"says so\n" +
			"at /_spillway/status, the one on AWS in CloudWatch's metrics SegmentResponses and BreakerOpen, which are a " +
			"minute or two late.\n\n" +
			"Segment drops an event whose messageId it has had within 24 h; of one that is older and that it has after all " +
			"it counts a second one.",
		Example: "  spillway dlq redrive --dry-run\n  spillway dlq redrive --reason rejected --newer-than 24h",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if !(r.rate > 0) || math.IsInf(r.rate, 0) {
				return fmt.Errorf("--rate is %v: write more than 0 events a second, like %d", r.rate, deadletter.DefaultRate)
			}
			return r.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.filterFlags(c)
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "say what would be sent, and send nothing")
	c.Flags().Float64Var(&r.rate, "rate", deadletter.DefaultRate,
		"events a second; Segment takes about 1000 of a workspace before it queues them or answers 429")
	c.Flags().BoolVar(&r.force, "force", false, "send also while Segment is failing, or when nobody knows")
	return c
}

func (f *redriveFlags) run(ctx context.Context, out, errOut io.Writer) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	q, err := f.open(ctx)
	if err != nil {
		return err
	}
	if q.eventsURL == "" {
		return errors.New("--dead-letter-queue-url alone does not say where letters are to be sent: name the events queue " +
			"with --queue-url")
	}
	c := deadletter.RedriveOptions{Filter: filter, DryRun: f.dryRun, Rate: f.rate}
	if !f.force && !f.dryRun {
		c.Check = func(ctx context.Context) error { return segmentTakesEvents(ctx, q.eventsURL) }
	}
	visible, _, err := q.dead.Size(ctx)
	if err != nil {
		return plainly(err, q.deadURL)
	}
	bar := newBar(errOut, "letters", visible)
	warned := false
	c.Progress = func(r deadletter.RedriveResult) {
		if bar != nil {
			_ = bar.Set(min(r.DeadLetters, visible))
		}
		if r.Old > 0 && !warned {
			warned = true
			fmt.Fprintf(errOut, "spillway: some events came in more than %v ago: those that Segment has after all, say from "+
				"an earlier redrive, it counts twice\n", deadletter.DedupePeriod)
		}
	}
	start := time.Now()
	result, err := q.dead.Redrive(ctx, sqsclient.New(q.api, q.eventsURL), c)
	if bar != nil {
		_ = bar.Finish()
	}
	if result.DeadLetters+result.Failed+len(result.Skipped) > 0 || err == nil {
		f.report(out, result, time.Since(start))
		q.unseen(ctx, errOut)
	}
	return f.outcome(result, err, q)
}

// report is the summary.
func (f *redriveFlags) report(out io.Writer, r deadletter.RedriveResult, took time.Duration) {
	did := "sent"
	if f.dryRun {
		did = "would send"
	}
	fmt.Fprintf(out, "%s %s with %s again", did, plural(r.DeadLetters, "letter"), plural(r.Events, "event"))
	if !f.dryRun {
		fmt.Fprintf(out, ", %.1f s", took.Seconds())
	}
	if r.Old > 0 {
		fmt.Fprintf(out, "; %s of them came in more than %v ago, so Segment may count twice what it has",
			number(int64(r.Old)), deadletter.DedupePeriod)
	}
	fmt.Fprintln(out)
	var reasons []string
	for reason := range r.Skipped {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(out, "left %s that would only come back: --reason %s sends them all the same\n",
			plural(r.Skipped[reason], oneLine(reason)+" letter"), argument(reason))
	}
}

// outcome is the error that says what was not done.
func (f *redriveFlags) outcome(r deadletter.RedriveResult, err error, q *queues) error {
	switch {
	case errors.Is(err, deadletter.ErrFailing):
		return fmt.Errorf("%w: the letters stay where they are. Try again when events are delivered, or send all the same "+
			"with --force", err)
	case errors.Is(err, errInterrupted):
		return fmt.Errorf("%w: what was not sent is where it was: start again to go on", err)
	case err != nil:
		return plainly(err, q.eventsURL)
	case r.Failed > 0:
		return fmt.Errorf("%s could not be sent and stay where they are: start again to try it again",
			plural(r.Failed, "letter"))
	}
	return f.known(r.InQueue)
}
