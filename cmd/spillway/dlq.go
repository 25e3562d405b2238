package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
)

// dlqFlags are those that every verb of dlq has.
type dlqFlags struct {
	stack, queueURL, deadURL string
	writeKeys                string
	reasons                  []string
	olderThan, newerThan     time.Duration
}

func newDLQ() *cobra.Command {
	var f dlqFlags
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, send them again, take a copy, or drop them",
		Long: "Works on the dead-letter queue of the local pipeline; of one on AWS with --stack or --queue-url, with the " +
			"default credentials.\n\n" +
			"SQS has no way to look at a queue but to receive it. So while a verb works, the letters that it has seen are " +
			"hidden from others; they are\n" +
			"visible again when it ends or is interrupted, and " + deadletter.VisibilityTimeout.String() +
			" later at the latest when it is killed. Looking counts as a receive, which does a letter\n" +
			"no harm: the dead-letter queue has nowhere to move it to.\n\n" +
			"An age is the time since the events came in. A write key is shown by its name in the set that --write-keys " +
			"names, otherwise by the\n" +
			"beginning of its SHA-256, as in the function's log.",
		SuggestFor: []string{"ls", "show", "redrive", "export", "drop"}, // of spillway itself
		Args:       verb,
		RunE:       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&f.stack, "stack", "",
		"the CloudFormation stack of the pipeline on AWS, in the account and region of the AWS tools' usual configuration")
	c.PersistentFlags().StringVar(&f.queueURL, "queue-url", "",
		"the events queue, that of the local pipeline when empty; one of AWS is used with the default credentials")
	c.PersistentFlags().StringVar(&f.deadURL, "dead-letter-queue-url", "",
		"the dead-letter queue; without it that which the events queue names")
	c.PersistentFlags().StringVar(&f.writeKeys, "write-keys", "", "a file with the set of write keys, for their names")
	c.AddCommand(newDLQLs(&f), newDLQShow(&f), newDLQRedrive(&f), newDLQExport(&f), newDLQDrop(&f))
	return c
}

// filterFlags adds the flags that choose letters.
func (f *dlqFlags) filterFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.reasons, "reason", nil,
		"only letters with this reason, as ls shows it; may be given several times")
	c.Flags().DurationVar(&f.olderThan, "older-than", 0, "only letters whose events came in longer ago than this, like 2h")
	c.Flags().DurationVar(&f.newerThan, "newer-than", 0, "only letters whose events came in less long ago than this")
}

func (f *dlqFlags) filter() (deadletter.Filter, error) {
	if f.olderThan < 0 || f.newerThan < 0 {
		return deadletter.Filter{}, errors.New("--older-than and --newer-than can't be negative: write a duration like 2h")
	}
	if f.newerThan != 0 && f.olderThan >= f.newerThan {
		return deadletter.Filter{},
			fmt.Errorf("nothing is older than %v and newer than %v: leave one of the two out, or swap them", f.olderThan,
				f.newerThan)
	}
	return deadletter.Filter{Reasons: f.reasons, OlderThan: f.olderThan, NewerThan: f.newerThan}, nil
}

// queues are the two that a verb works on.
type queues struct {
	dead               *deadletter.Queue
	deadURL, eventsURL string // eventsURL is empty when only the other was named
	api                *sqs.Client
}

// open finds the queues.
func (f *dlqFlags) open(ctx context.Context) (*queues, error) {
	q := &queues{eventsURL: f.queueURL, deadURL: f.deadURL}
	switch {
	case f.stack != "" && (f.queueURL != "" || f.deadURL != ""):
		return nil, errors.New("--stack says where the queues are: leave --queue-url and --dead-letter-queue-url out")
	case f.stack != "":
		outputs, err := deployed(ctx, f.stack, outputEvents, outputDeadLetters)
		if err != nil {
			return nil, err
		}
		q.eventsURL, q.deadURL = outputs[outputEvents], outputs[outputDeadLetters]
	case q.eventsURL == "" && q.deadURL == "":
		q.eventsURL = defaultQueueURL
	}
	var err error
	if q.api, err = sqsClient(ctx, cmp.Or(q.eventsURL, q.deadURL)); err != nil {
		return nil, err
	}
	if q.deadURL == "" {
		if q.deadURL, err = deadLettersOf(ctx, q.api, q.eventsURL); err != nil {
			return nil, err
		}
	}
	q.dead = deadletter.New(q.api, q.deadURL)
	return q, nil
}

// deadLettersOf asks a queue for its dead-letter queue, which is of the same region and account.
func deadLettersOf(ctx context.Context, api *sqs.Client, url string) (string, error) {
	out, err := api.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(url),
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy}})
	if err != nil {
		return "", plainly(err, url)
	}
	var policy struct{ DeadLetterTargetArn string }
	if json.Unmarshal([]byte(out.Attributes["RedrivePolicy"]), &policy) != nil || policy.DeadLetterTargetArn == "" {
		return "", fmt.Errorf("%s names no dead-letter queue: is it the events queue? Otherwise name one with "+
			"--dead-letter-queue-url", url)
	}
	return url[:strings.LastIndex(url, "/")+1] +
		policy.DeadLetterTargetArn[strings.LastIndex(policy.DeadLetterTargetArn, ":")+1:], nil
}

// plainly says of an error of SQS what to do about it.
func plainly(err error, url string) error {
	var missing *types.QueueDoesNotExist
	switch {
	case err == nil, errors.Is(err, errInterrupted):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is `spillway up` running?", url)
	case errors.As(err, &missing):
		return fmt.Errorf("there is no queue %s: name another with --queue-url", url)
	case strings.Contains(err.Error(), "get credentials"),
		strings.Contains(err.Error(), "failed to refresh cached credentials"):
		return fmt.Errorf("there are no AWS credentials for %s: name a profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID "+
			"and AWS_SECRET_ACCESS_KEY", url)
	}
	return err
}

// names returns what may be shown of a write key.
func (f *dlqFlags) names() (func(writeKey string) string, error) {
	if f.writeKeys == "" {
		return keyName(nil), nil
	}
	data, err := os.ReadFile(f.writeKeys)
	if err != nil {
		return nil, fmt.Errorf("read the set of write keys: %w: name its file with --write-keys, or leave that out", err)
	}
	set, err := writekeys.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("understand the set of write keys in %s: %w", f.writeKeys, err)
	}
	names := make(map[string]string, len(set))
	for key, k := range set {
		names[key] = k.Name
	}
	return keyName(names), nil
}

func keyName(names map[string]string) func(string) string {
	return func(writeKey string) string {
		switch name, ok := names[writeKey]; {
		case writeKey == "":
			return "default"
		case ok:
			return oneLine(name)
		}
		return deliver.KeyID(writeKey)
	}
}

// known refuses reasons that no letter has, and names those that there are.
func (f *dlqFlags) known(seen deadletter.ReasonCounts) error {
	for _, reason := range f.reasons {
		if seen[reason] > 0 || len(seen) == 0 {
			continue
		}
		var have []string
		for r := range seen {
			have = append(have, fmt.Sprintf("%q", r))
		}
		slices.Sort(have)
		return fmt.Errorf("no letter has the reason %q: there are %s", reason, strings.Join(have, ", "))
	}
	return nil
}

// empty says that nothing is there, or why nothing is seen.
func (q *queues) empty(ctx context.Context, out io.Writer) error {
	_, hidden, err := q.dead.Size(ctx)
	if err != nil {
		return plainly(err, q.deadURL)
	}
	if hidden == 0 {
		fmt.Fprintln(out, "There are no dead letters.")
		return nil
	}
	fmt.Fprintf(out, "No dead letter is visible. %s are hidden: another run works on them, or was killed and they are "+
		"there again in %v at most.\n",
		number(int64(hidden)), deadletter.VisibilityTimeout)
	return nil
}

// unseen says how many letters the run may not have seen. SQS hides what it hands out also when the
// answer is lost on the way.
func (q *queues) unseen(ctx context.Context, errOut io.Writer) {
	if _, hidden, err := q.dead.Size(ctx); err == nil && hidden > 0 {
		fmt.Fprintf(errOut, "spillway: about %s more are hidden: another run works on them, or an answer of SQS was lost. "+
			"They are there again in %v at most\n",
			plural(hidden, "letter"), deadletter.VisibilityTimeout)
	}
}

// ago is an age for a table.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

func plural[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(int64(n)) + " " + what + "s"
}
