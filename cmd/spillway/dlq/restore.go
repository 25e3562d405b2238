package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/infra/topology"
)

// SQS does not create a queue with the name of one that was deleted less than a minute ago (SQS API
// reference, CreateQueue).
const (
	nameIsFreeAfter = 70 * time.Second
	tryAgainAfter   = 5 * time.Second
)

// Restore creates the dead-letter queue if it does not exist, and sets what differs from what a
// deployment gives it: its numbers are the topology's; encryption, the policy and the tags are those
// of the events queue, which a deployment made alike. It says what it did.
func (f *Flags) Restore(ctx context.Context, out io.Writer) error {
	eventsURL, err := f.eventsQueue(ctx)
	if err != nil {
		return err
	}
	names, ok := topology.NamesOfEventsQueue(path.Base(eventsURL))
	if !ok {
		return fmt.Errorf("%s is no name of an events queue: give --name, or a --queue-url that ends in -events",
			path.Base(eventsURL))
	}
	api, err := queues.NewClient(ctx, eventsURL)
	if err != nil {
		return err
	}
	want, err := wantedOf(ctx, api, eventsURL, names)
	if err != nil {
		return queues.Explain(err, eventsURL)
	}
	name := names.DeadLetterQueue
	found, err := api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	var missing *types.QueueDoesNotExist
	switch {
	case errors.As(err, &missing):
		if err := create(ctx, api, name, want, out); err != nil {
			return err
		}
		fmt.Fprintf(out, "created %s with the encryption, policy and tags of %s\n", name, names.EventsQueue)
		return nil
	case err != nil:
		return fmt.Errorf("find the queue %s: %w", name, err)
	}
	return correct(ctx, api, aws.ToString(found.QueueUrl), want, out)
}

// eventsQueue is the URL of the events queue that the flags name.
func (f *Flags) eventsQueue(ctx context.Context) (string, error) {
	switch {
	case f.deadURL != "":
		return "", errors.New("the queue is made by the events queue: remove --dead-letter-queue-url")
	case f.pipeline.Given() && f.queueURL != "":
		return "", errors.New("--name already names the queue: remove --queue-url")
	case f.pipeline.Given():
		return f.pipeline.EventsQueue(ctx)
	case f.queueURL != "":
		return f.queueURL, queues.CheckEvents(f.queueURL)
	}
	return queues.DefaultURL, nil
}

// wanted is what the dead-letter queue must have.
type wanted struct{ attributes, tags map[string]string }

// encryption are the attributes of a queue that say how it is encrypted.
var encryption = []string{"KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"}

func wantedOf(ctx context.Context, api *sqs.Client, eventsURL string, names topology.Names) (w wanted, err error) {
	has, err := attributes(ctx, api, eventsURL)
	if err != nil {
		return w, err
	}
	arn := has["QueueArn"]
	own := strings.TrimSuffix(arn, names.EventsQueue) + names.DeadLetterQueue
	o := topology.DefaultOptions()
	o.Names = names
	t := topology.New(o)
	i := slices.IndexFunc(t.Queues, func(q topology.Queue) bool { return q.Name == names.DeadLetterQueue })
	w.attributes = t.Queues[i].Attributes(arn)
	w.attributes["RedriveAllowPolicy"] = t.RedriveAllowPolicy(names.DeadLetterQueue, arn)
	if policy := has["Policy"]; policy != "" {
		w.attributes["Policy"] = strings.ReplaceAll(policy, arn, own)
	}
	for _, name := range encryption {
		if has[name] != "" && (name == "SqsManagedSseEnabled" || has["KmsMasterKeyId"] != "") {
			w.attributes[name] = has[name]
		}
	}
	tags, err := api.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &eventsURL})
	if err != nil {
		return w, err
	}
	w.tags = tags.Tags
	return w, nil
}

func attributes(ctx context.Context, api *sqs.Client, url string) (map[string]string, error) {
	out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// create creates the queue. It waits while SQS holds the name of a queue that was deleted just now.
func create(ctx context.Context, api *sqs.Client, name string, w wanted, out io.Writer) error {
	for began := time.Now(); ; {
		_, err := api.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: w.attributes, Tags: w.tags})
		var recently *types.QueueDeletedRecently
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &recently) || time.Since(began) > nameIsFreeAfter:
			return fmt.Errorf("create the queue %s: %w", name, err)
		case time.Since(began) < tryAgainAfter:
			fmt.Fprintln(out, "the queue was deleted less than a minute ago, and SQS does not create it again sooner: waiting")
		}
		select {
		case <-time.After(tryAgainAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// correct sets what a queue that exists must have and has not.
func correct(ctx context.Context, api *sqs.Client, url string, w wanted, out io.Writer) error {
	name := path.Base(url)
	has, err := attributes(ctx, api, url)
	if err != nil {
		return queues.Explain(err, url)
	}
	differ := map[string]string{}
	for attribute, want := range w.attributes {
		if !sameValue(has[attribute], want) {
			differ[attribute] = want
		}
	}
	tags, err := api.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})
	if err != nil {
		return queues.Explain(err, url)
	}
	missing := map[string]string{}
	for key, value := range w.tags {
		if got, ok := tags.Tags[key]; !ok || got != value {
			missing[key] = value
		}
	}
	if len(differ) > 0 {
		if _, err := api.SetQueueAttributes(ctx,
			&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: differ}); err != nil {
			return fmt.Errorf("set the attributes of %s: %w", name, err)
		}
		fmt.Fprintf(out, "%s exists: set %s\n", name, strings.Join(slices.Sorted(maps.Keys(differ)), ", "))
	}
	if len(missing) > 0 {
		if _, err := api.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: missing}); err != nil {
			return fmt.Errorf("set the tags of %s: %w", name, err)
		}
		fmt.Fprintf(out, "%s exists: set the tags %s\n", name, strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	if len(differ)+len(missing) == 0 {
		fmt.Fprintf(out, "%s exists and has everything that a deployment gives it\n", name)
	}
	return nil
}

// sameValue reports whether two values of an attribute are the same text or the same JSON.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	var left, right any
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil &&
		reflect.DeepEqual(left, right)
}
