package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/sender"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/publisher"
)

type sendFlags struct {
	pipeline           deployed.Name
	queueURL, writeKey string
	count              int
	single             bool
	bulk               bulkChoice
	via                string // what to say of the queue, if it is not the events queue
}

// bulkChoice is whether events go to the bulk queue.
type bulkChoice int

const (
	bulkIfLarge bulkChoice = iota // if the input has more events than largeInput
	bulkAlways
	bulkNever
)

// largeInput is how many events of an input go to the events queue. Segment takes 1,000 a second of
// a workspace: fresh events would wait for more than these for over 10 seconds.
const largeInput = 10_000

func newSend() *cobra.Command {
	var f sendFlags
	var bulk bool
	c := &cobra.Command{
		Use:   "send",
		Short: "Send events to the queue, from standard input or made up",
		Long: usage.Help("Sends events to the queue, packed into messages and compressed. It reads one JSON object per line "+
			"from standard input; with --count it makes up track events of about 1 KB instead.",
			"More than "+terminal.Number(largeInput)+" events on standard input go to the bulk queue, which is "+
				"delivered beside the events queue and yields to it, so that they delay no fresh event. --bulk and --bulk=false choose; what --count makes up "+
				"goes to the events queue unless --bulk is given.",
			"A line that is not a JSON object is reported and skipped; the exit code is 1 then. Lines that `spillway dlq "+
				"export` or `spillway replay --out` wrote are sent with the write keys that they contain."),
		Example: "  spillway send --count 100000\n  spillway send < events.ndjson\n" +
			"  AWS_REGION=eu-west-1 spillway send --name staging < events.ndjson",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("count") && f.count < 1 {
				return fmt.Errorf("--count must be at least 1, is %d", f.count)
			}
			if c.Flags().Changed("bulk") {
				f.bulk = bulkNever
				if bulk {
					f.bulk = bulkAlways
				}
			}
			if err := f.findQueue(c); err != nil {
				return err
			}
			return send(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr(), f)
		},
	}
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL,
		"`URL` of the events queue; a queue on AWS is used with the credentials of the AWS tools")
	c.Flags().StringVar(&f.writeKey, "write-key", "", "write `key` of the events (default: the deliver function's)")
	c.Flags().IntVar(&f.count, "count", 0, "make up this `number` of events instead of reading them")
	c.Flags().BoolVar(&bulk, "bulk", false,
		"send to the bulk queue, which yields to fresh events (default: if more than "+terminal.Number(largeInput)+
			" events are read)")
	c.Flags().BoolVar(&f.single, "single", false, "send one event per message, to compare with packed messages")
	return c
}

// findQueue sets the queue's URL if a pipeline on AWS is named.
func (f *sendFlags) findQueue(c *cobra.Command) error {
	if !f.pipeline.Given() {
		return queues.CheckEvents(f.queueURL)
	}
	if c.Flags().Changed("queue-url") {
		return errors.New("--name already names the queue: remove --queue-url")
	}
	var err error
	f.queueURL, _, err = f.pipeline.Queues(c.Context())
	return err
}

func send(ctx context.Context, in io.Reader, out, errOut io.Writer, f sendFlags) error {
	if f.count == 0 && terminal.Is(in) {
		return errors.New("nothing to send: give --count 1000, or events on standard input, one JSON object per line: " +
			"spillway send < events.ndjson")
	}
	if err := usage.WriteKey(f.writeKey); err != nil {
		return err
	}
	events := feed.Read(in)
	if f.count > 0 {
		events = feed.Generate(f.count)
	}
	large := f.bulk == bulkAlways
	if f.bulk == bulkIfLarge && f.count == 0 {
		events, large = feed.Ahead(ctx, events, largeInput)
	}
	if large {
		if err := f.toBulk(ctx, errOut); err != nil {
			return err
		}
	}
	progress := terminal.NewProgress(errOut, "events", f.count)
	s, err := sender.New(ctx, sender.Config{
		QueueURL: f.queueURL, WriteKey: f.writeKey, Single: f.single, Sent: progress.Add,
		Skipped: func(line int, cause error) { fmt.Fprintf(errOut, "spillway: line %d is skipped: %v\n", line, cause) },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	start := time.Now()
	result, err := s.Send(ctx, events)
	progress.Finish()
	elapsed := time.Since(start).Seconds()
	fmt.Fprintf(out, "sent %s in %s, %.2f s, %s events/s%s\n", terminal.Plural(result.Events, "event"),
		terminal.Plural(result.Messages, "message"), elapsed, terminal.Number(int64(float64(result.Events)/elapsed)), f.via)
	return f.unsent(result, err)
}

// toBulk sends to the bulk queue, if the pipeline has one.
func (f *sendFlags) toBulk(ctx context.Context, errOut io.Writer) error {
	api, err := queues.NewClient(ctx, f.queueURL)
	if err != nil {
		return err
	}
	url, err := queues.BulkURL(ctx, api, f.queueURL)
	switch {
	case err != nil: // a role that may only send to the events queue
		return fmt.Errorf("%w (--bulk=false sends to the events queue)", err)
	case url == "":
		fmt.Fprintln(errOut, "spillway: "+queues.NoBulk)
	default:
		f.queueURL, f.via = url, ", to the bulk queue, which yields to fresh events"
	}
	return nil
}

// unsent returns an error that says what was not sent, and from which line to continue; nil if
// everything was.
func (f *sendFlags) unsent(r sender.Result, err error) error {
	if explained := queues.Explain(err, f.queueURL); explained != err && mayHaveSome(err) {
		err = fmt.Errorf("%w (SQS may have some of them, so that they may arrive twice if they are sent again)", explained)
	} else {
		err = explained
	}
	switch {
	case err != nil && f.count > 0:
		return fmt.Errorf("%s of %s events were not sent: %w", terminal.Number(int64(f.count)-r.Events),
			terminal.Number(f.count), err)
	case err != nil:
		return fmt.Errorf("not all events were sent; to send the rest, continue from line %d (tail -n +%[1]d): %w", r.Next,
			err)
	case r.Skipped > 0:
		return fmt.Errorf("%s skipped", terminal.Plural(r.Skipped, "line"))
	}
	return nil
}

// mayHaveSome reports whether SQS may have events that it has not confirmed.
func mayHaveSome(err error) bool {
	failures, ok := errors.AsType[*publisher.PublishError](err)
	if !ok {
		return false
	}
	for _, failed := range failures.Failed {
		if e, ok := errors.AsType[*publisher.SendError](failed); ok && e.Unknown {
			return true
		}
	}
	return false
}
