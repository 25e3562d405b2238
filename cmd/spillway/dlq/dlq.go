// Package dlq has the parts of `spillway dlq`: it finds the dead-letter queue and the dead letters
// that the flags name, explains why there are none, and prints and saves dead letters.
package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/keyfile"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// InvisibleFor is how long dead letters are invisible to others after a command was killed.
var InvisibleFor = fmt.Sprintf("%.0f min", deadletter.VisibilityTimeout.Minutes())

// Flags are the flags that every verb has.
type Flags struct {
	pipeline          deployed.Name
	queueURL, deadURL string
	writeKeys         string
	selection         Selection
}

// Register adds the flags that name the queue to the parent command.
func (f *Flags) Register(c *cobra.Command) {
	f.pipeline.Register(c.PersistentFlags())
	c.PersistentFlags().StringVar(&f.queueURL, "queue-url", "",
		"`URL` of the events queue (default: the local pipeline's)")
	c.PersistentFlags().StringVar(&f.deadURL, "dead-letter-queue-url", "",
		"`URL` of the dead-letter queue (default: the events queue's)")
	c.PersistentFlags().StringVar(&f.writeKeys, "write-keys", "",
		"`file` with the write-key document, to show the names of write keys")
}

// RegisterFilter adds the flags that select dead letters to a verb.
func (f *Flags) RegisterFilter(c *cobra.Command) {
	s := &f.selection
	c.Flags().StringArrayVar(&s.Reasons, "reason", nil,
		"only dead letters with this `reason`, as ls shows it; may be given several times")
	c.Flags().StringArrayVar(&s.WriteKeys, "write-key", nil,
		"only dead letters with this write `key`, as ls shows it, or the key itself; may be given several times")
	c.Flags().StringArrayVar(&s.Events, "event", nil,
		"only dead letters in which a track has this event `name`, or another event this type; may be given several times")
	c.Flags().StringArrayVar(&s.Users, "user", nil,
		"only dead letters in which an event has this `ID` as userId or anonymousId; may be given several times")
	c.Flags().StringArrayVar(&s.IDs, "id", nil,
		"only the dead letter with this `ID`, as ls shows it; may be given several times")
	c.Flags().DurationVar(&s.OlderThan, "older-than", 0,
		"only dead letters whose events were received longer ago than this, like 2h")
	c.Flags().DurationVar(&s.NewerThan, "newer-than", 0,
		"only dead letters whose events were received within this time, like 24h")
}

// Filter returns the filter that the flags describe.
func (f *Flags) Filter() (deadletter.Filter, error) {
	name, err := f.KeyNames()
	if err != nil {
		return deadletter.Filter{}, err
	}
	return f.selection.Filter(name)
}

// A Queue is the dead-letter queue that the flags name.
type Queue struct {
	*deadletter.Queue
	API       *sqs.Client
	EventsURL string // of the events queue; empty when only the dead-letter queue was named
	url       string
}

// Open finds the queues.
func (f *Flags) Open(ctx context.Context) (*Queue, error) {
	q := &Queue{EventsURL: f.queueURL, url: f.deadURL}
	switch {
	case f.pipeline.Given() && (f.queueURL != "" || f.deadURL != ""):
		return nil, errors.New("--name already names the queues: remove --queue-url and --dead-letter-queue-url")
	case f.pipeline.Given():
		var err error
		if q.EventsURL, q.url, err = f.pipeline.Queues(ctx); err != nil {
			return nil, err
		}
	case q.EventsURL == "" && q.url == "":
		q.EventsURL = queues.DefaultURL
	}
	var err error
	if err := cmp.Or(queues.CheckEvents(q.EventsURL), queues.CheckDeadLetters(q.url)); err != nil {
		return nil, err
	}
	if q.API, err = queues.NewClient(ctx, cmp.Or(q.EventsURL, q.url)); err != nil {
		return nil, err
	}
	if q.url == "" {
		if q.url, err = queues.DeadLetterURL(ctx, q.API, q.EventsURL); err != nil {
			return nil, err
		}
	}
	q.Queue = deadletter.New(q.API, q.url)
	return q, nil
}

// Explain adds to an error what to do about it.
func (q *Queue) Explain(err error) error {
	if errors.Is(err, interrupt.Err) {
		return err
	}
	return queues.Explain(err, q.url)
}

// KeyNames returns a function that returns what may be shown of a write key: its name in the
// write-key document, otherwise the beginning of its SHA-256, as in the function's log.
func (f *Flags) KeyNames() (func(writeKey string) string, error) {
	var names map[string]string
	if f.writeKeys != "" {
		var err error
		if names, err = keyfile.Names(f.writeKeys); err != nil {
			return nil, err
		}
	}
	return KeyNames(names), nil
}

// CheckReasons is that of the flags' selection.
func (f *Flags) CheckReasons(seen deadletter.ReasonCounts) error {
	return f.selection.CheckReasons(seen)
}

// SayNone prints why a command found nothing to do: there are no dead letters, none is visible, or
// the flags select none of them.
func (q *Queue) SayNone(ctx context.Context, inQueue deadletter.ReasonCounts, out io.Writer) error {
	if len(inQueue) > 0 {
		fmt.Fprintln(out, "There are dead letters, but none that the flags select.")
		return nil
	}
	_, invisible, err := q.Size(ctx)
	switch {
	case err != nil:
		return q.Explain(err)
	case invisible == 0:
		fmt.Fprintln(out, "There are no dead letters.")
	default:
		fmt.Fprintf(out, "No dead letter is visible. %s are in use by another run, or by one that was killed: these are "+
			"visible again within %s.\n", terminal.Number(invisible), InvisibleFor)
	}
	return nil
}

// WarnInvisible prints how many dead letters the run may have missed. SQS makes a message invisible
// even if its answer is lost on the way.
func (q *Queue) WarnInvisible(ctx context.Context, errOut io.Writer) {
	if _, invisible, err := q.Size(ctx); err == nil && invisible > 0 {
		fmt.Fprintf(errOut, "spillway: about %s not seen: another run uses them, or an answer of SQS was lost. They are "+
			"visible again within %s\n", terminal.Plural(invisible, "dead letter"), InvisibleFor)
	}
}
