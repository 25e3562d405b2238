package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/eventbridge"
)

const (
	// notifyWithin bounds what notices cost an invocation. It is well below the time that deliver
	// leaves for its answer.
	notifyWithin = 2 * time.Second
	// notifyTries: a connection that slept with the environment fails once.
	notifyTries = 2
	// fewMessages is how many messages of others a drained queue may hold: those
	// that have just come in.
	fewMessages = 100
)

// A Bus takes events for other programs; *eventbridge.Bus is one.
type Bus interface {
	Put(context.Context, []eventbridge.Event) error
}

// A notifier puts what happened in the invocations of one environment on a bus. A failure is counted
// and logged, and costs the delivery nothing but the time.
type notifier struct {
	deliver.Notices
	pipeline, environment string
	bus                   Bus
	backlog               func(context.Context) (messages int, err error)
	metrics               *emf.Writer
	logger                *slog.Logger
}

// after is called at the end of each invocation.
func (n *notifier) after(ctx context.Context, r *deliver.Report) {
	now := time.Now()
	notices, drained := n.After(r, now)
	if !drained && len(notices) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, notifyWithin)
	defer cancel()
	if drained {
		if waiting, err := n.backlog(ctx); err != nil {
			n.failed(ctx, "the queue could not be asked whether its backlog is drained", err)
		} else if waiting <= r.Messages+fewMessages {
			notices = append(notices, n.Drained())
		}
	}
	events := make([]eventbridge.Event, len(notices))
	for i, notice := range notices {
		notice.Detail.Pipeline, notice.Detail.Environment = n.pipeline, n.environment
		events[i] = eventbridge.Event{At: now, Type: notice.Type, Detail: notice.Detail}
	}
	var err error
	for range notifyTries {
		if err = n.bus.Put(ctx, events); err == nil {
			return
		}
	}
	n.failed(ctx, "EventBridge was not notified", err)
}

func (n *notifier) failed(ctx context.Context, what string, err error) {
	n.logger.ErrorContext(ctx, what, "error", err)
	if err := n.metrics.Write(time.Now(), emf.Metric{Name: "NotifyErrors", Unit: emf.Count,
		Values: []float64{1}}); err != nil {
		n.logger.WarnContext(ctx, "metrics could not be written", "error", err)
	}
}

// backlogOf asks SQS how many messages a queue holds: visible, in flight and delayed.
func backlogOf(api *sqs.Client, queueURL string) func(context.Context) (int, error) {
	return func(ctx context.Context) (messages int, err error) {
		names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed}
		out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(queueURL),
			AttributeNames: names})
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			n, err := strconv.Atoi(out.Attributes[string(name)])
			if err != nil {
				return 0, fmt.Errorf("the answer of SQS has no number %s", name)
			}
			messages += n
		}
		return messages, nil
	}
}
