package forgetting

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
)

// Waiting is how many messages wait for delivery at a time.
type Waiting struct {
	At        time.Time
	Messages  int
	Retention time.Duration // after which SQS makes away with a message at the latest
}

// WatchFor is how long the queues are to be watched to see how fast they drain.
const WatchFor = 5 * time.Second

// Look reads the sizes of the queues with the given URLs.
func Look(ctx context.Context, api *sqs.Client, urls ...string) (Waiting, error) {
	w := Waiting{At: time.Now()}
	for _, url := range urls {
		out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url,
			AttributeNames: []types.QueueAttributeName{
				types.QueueAttributeNameApproximateNumberOfMessages,
				types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
				types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
				types.QueueAttributeNameMessageRetentionPeriod,
			}})
		if err != nil {
			return w, queues.Explain(err, url)
		}
		for name, value := range out.Attributes {
			n, _ := strconv.Atoi(value) // SQS's numbers
			if name == string(types.QueueAttributeNameMessageRetentionPeriod) {
				w.Retention = max(w.Retention, time.Duration(n)*time.Second)
			} else {
				w.Messages += n
			}
		}
	}
	return w, nil
}

// LookAgain reads the sizes after a run. If messages wait, it does so once more after the given time since
// the first look: then it can be said how fast they drain.
func LookAgain(ctx context.Context, first Waiting, watchFor time.Duration,
	look func(context.Context) (Waiting, error)) (Waiting, error) {
	last, err := look(ctx)
	rest := watchFor - last.At.Sub(first.At)
	if err != nil || last.Messages == 0 || rest <= 0 {
		return last, err
	}
	select {
	case <-time.After(rest):
		return look(ctx)
	case <-ctx.Done():
		return last, context.Cause(ctx)
	}
}

// Advice says when to run the command again, by the sizes of the queues before and after a run. local:
// the archive has what is delivered at once.
func Advice(first, last Waiting, local bool) string {
	const clock = "15:04 UTC on 2006-01-02"
	late := topology.ArchiveDelay
	if local {
		late = 0
	}
	switch drained, waiting := last.Messages == 0, terminal.Plural(last.Messages, "message"); {
	case drained && local:
		return "Nothing waits in the queues: what was published before this run has been looked through."
	case drained:
		return fmt.Sprintf("Nothing waits in the queues. What was delivered lately may not be in the archive yet: run this "+
			"again after %s.", last.At.Add(late).UTC().Format(clock))
	case last.Messages < first.Messages && last.At.After(first.At):
		perMessage := float64(last.At.Sub(first.At)) / float64(first.Messages-last.Messages)
		rest := time.Duration(perMessage * float64(last.Messages))
		if rest < last.Retention {
			return fmt.Sprintf("%s in the queues may hold events of this user. At the present rate they have drained at "+
				"about %s: run this again then.", waiting, last.At.Add(rest+late+time.Minute).UTC().Format(clock))
		}
	}
	return fmt.Sprintf("%s in the queues may hold events of this user, and they do not drain at present. Run this again "+
		"when they have drained (`spillway doctor` shows the backlog), at the latest after %s, when SQS retains none "+
		"of them.",
		terminal.Plural(last.Messages, "message"), last.At.Add(last.Retention+late).UTC().Format(clock))
}
