package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

type sendFlags struct {
	queueURL, writeKey string
	count              int
	single             bool
}

var defaultQueueURL = "http://localhost:9324/" + local.AccountID + "/" + topology.DefaultNames().EventsQueue

func newSend() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send",
		Short: "Send events to the queue: NDJSON from standard input, or made-up ones",
		Long: "Sends events to the queue, packed and compressed: a JSON object a line from standard input, or --count " +
			"made-up ones of about 1 KB.\n" +
			"A line that is not a JSON object is named and left out, and the exit code is 1 then.",
		Example: "  spillway send --count 100000\n  spillway send < events.ndjson\n  spillway send --queue-url " +
			"https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events < events.ndjson",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("count") && f.count < 1 {
				return fmt.Errorf("--count is %d: write 1 or more", f.count)
			}
			return send(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr(), f)
		},
	}
	c.Flags().StringVar(&f.queueURL, "queue-url", defaultQueueURL,
		"the events queue; one of AWS is used with the default credentials")
	c.Flags().StringVar(&f.writeKey, "write-key", "", "write key of the events; without one the function's own is used")
	c.Flags().IntVar(&f.count, "count", 0, "make up this many events instead of reading them")
	c.Flags().BoolVar(&f.single, "single", false, "one event a message, not packed: to see what packing is worth")
	return c
}

func send(ctx context.Context, in io.Reader, out, errOut io.Writer, f sendFlags) error {
	if file, ok := in.(*os.File); ok && f.count == 0 && term.IsTerminal(int(file.Fd())) {
		return errors.New("there is nothing to send: write --count 1000, or give events on standard input, one JSON " +
			"object a line: spillway send < events.ndjson")
	}
	if err := checkWriteKey(f.writeKey); err != nil {
		return err
	}
	client, err := newPublisher(ctx, f)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &sending{sendFlags: f, client: client, bar: newBar(errOut, "events", f.count), stop: cancel}
	start := time.Now()
	s.run(ctx, in, errOut)
	if s.bar != nil {
		_ = s.bar.Finish()
	}
	elapsed := time.Since(start)
	fmt.Fprintf(out, "sent %s in %s, %.2f s, %s events/s\n", plural(s.sent.Load(), "event"),
		plural(client.Stats().Messages+s.letters.Load(), "message"), elapsed.Seconds(),
		number(int64(float64(s.sent.Load())/elapsed.Seconds())))
	return s.outcome(context.Cause(ctx))
}

// outcome is the error that says what was not sent, and from where to go on.
func (s *sending) outcome(why error) error {
	if errors.Is(why, syscall.ECONNREFUSED) {
		why = fmt.Errorf("nothing listens at %s: is `spillway up` running?", s.queueURL)
	}
	refused := s.refused.Load()
	switch {
	case why != nil && s.count > 0:
		return fmt.Errorf("%s of %s events were not sent: %w", number(int64(s.count)-s.sent.Load()), number(int64(s.count)),
			why)
	case why != nil:
		return fmt.Errorf("not everything was sent; from line %d on (tail -n +%d) send it again: %w", s.lowest(), s.lowest(),
			why)
	case refused > 0:
		return fmt.Errorf("%d lines were left out", refused)
	}
	return nil
}

// checkWriteKey refuses what can't be a write key and would only be found out by Segment dropping
// the events.
func checkWriteKey(key string) error {
	if key != "" && !event.ValidWriteKey(key) {
		return fmt.Errorf("--write-key %q can't be one: write it as Segment shows it, letters and digits", key)
	}
	return nil
}

// newPublisher makes the client that sends. It logs nothing: what goes wrong is the verb's error.
func newPublisher(ctx context.Context, f sendFlags) (*publisher.Client, error) {
	config := publisher.Config{QueueURL: f.queueURL, WriteKey: f.writeKey, Logger: slog.New(slog.DiscardHandler)}
	if f.single {
		config.MessageEvents = 1
	}
	client, err := publisher.New(ctx, config)
	if errors.Is(err, sqsclient.ErrInvalidQueueURL) {
		return nil, notAQueue(f.queueURL)
	}
	var wrong *publisher.ConfigError
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("--queue-url: %w", wrong.Err)
	}
	return client, err
}

// sqsClient makes a client for the endpoint that a queue's URL names.
func sqsClient(ctx context.Context, queueURL string) (*sqs.Client, error) {
	client, err := sqsclient.NewClient(ctx, queueURL, nil)
	if errors.Is(err, sqsclient.ErrInvalidQueueURL) {
		return nil, notAQueue(queueURL)
	}
	return client, err
}

func notAQueue(queueURL string) error {
	return fmt.Errorf("--queue-url %q is no queue's URL: write one like %s, as `spillway up` prints it", queueURL,
		defaultQueueURL)
}

// queueEndpoint is where a queue's URL says that the queue is.
func queueEndpoint(queueURL string) (*url.URL, error) {
	place, err := sqsclient.ParseURL(queueURL)
	if err != nil {
		return nil, notAQueue(queueURL)
	}
	return url.Parse(place.Endpoint)
}

// newBar draws progress on a terminal; elsewhere it is nil.
func newBar(w io.Writer, what string, count int) *progressbar.ProgressBar {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	total := int64(-1)
	if count > 0 {
		total = int64(count)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("sending"),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString(what), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
}
