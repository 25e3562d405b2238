package sqstest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func queueTests() []test {
	return []test{
		{"a queue can be found by its name", func(e *env) {
			name := "spillway-test-" + rand.Text()
			url := e.named(name, nil)
			out, err := e.client.GetQueueUrl(e.ctx(), &sqs.GetQueueUrlInput{QueueName: &name})
			e.must(err)
			if *out.QueueUrl != url || !strings.HasSuffix(url, "/"+name) {
				e.Fatalf("URL %q, created as %q", *out.QueueUrl, url)
			}
		}},
		{"a queue that is not there is QueueDoesNotExist", func(e *env) {
			_, err := e.client.GetQueueUrl(e.ctx(), &sqs.GetQueueUrlInput{QueueName: aws.String("spillway-test-" + rand.Text())})
			if _, ok := errors.AsType[*types.QueueDoesNotExist](err); !ok {
				e.Fatalf("error %v, want QueueDoesNotExist", err)
			}
			e.fails(err, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
		}},
		{"creating a queue again with the same attributes succeeds", func(e *env) {
			name := "spillway-test-" + rand.Text()
			a := map[string]string{"VisibilityTimeout": "45", "DelaySeconds": "0"}
			if first, second := e.named(name, a), e.named(name, a); first != second {
				e.Fatalf("%q and %q", first, second)
			}
		}},
		{"creating a queue again with other attributes is QueueNameExists", func(e *env) {
			name := "spillway-test-" + rand.Text()
			e.named(name, map[string]string{"VisibilityTimeout": "45"})
			_, err := e.client.CreateQueue(e.ctx(),
				&sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "46"}})
			if _, ok := errors.AsType[*types.QueueNameExists](err); !ok {
				e.Fatalf("error %v, want QueueNameExists", err)
			}
		}},
		{"a new queue has the defaults", func(e *env) {
			got := e.attributes(e.queue(nil))
			for name, want := range map[string]string{
				"VisibilityTimeout": "30", "DelaySeconds": "0", "MessageRetentionPeriod": "345600",
				"ReceiveMessageWaitTimeSeconds": "0", "MaximumMessageSize": "1048576",
				"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0",
				"ApproximateNumberOfMessagesDelayed": "0",
			} {
				if got[name] != want {
					e.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
			for _, name := range []string{"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn"} {
				if got[name] == "" {
					e.Errorf("%s is missing", name)
				}
			}
		}},
		{"attributes that are set can be read", func(e *env) {
			url := e.queue(map[string]string{"MessageRetentionPeriod": "1209600"})
			e.set(url, "VisibilityTimeout", "361")
			got := e.attributes(url)
			if got["VisibilityTimeout"] != "361" || got["MessageRetentionPeriod"] != "1209600" {
				e.Fatalf("attributes %v", got)
			}
		}},
		{"an attribute out of its bounds is refused", func(e *env) {
			url := e.queue(nil)
			for name, value := range map[string]string{
				"VisibilityTimeout": "43201", "DelaySeconds": "901", "MessageRetentionPeriod": "59",
				"ReceiveMessageWaitTimeSeconds": "21", "MaximumMessageSize": "1048577",
			} {
				_, err := e.client.SetQueueAttributes(e.ctx(),
					&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}})
				e.fails(err, "InvalidAttributeValue")
			}
		}},
		{"an unknown attribute is InvalidAttributeName", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.GetQueueAttributes(e.ctx(), &sqs.GetQueueAttributesInput{
				QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"ApproximateAgeOfOldestMessage"},
			})
			e.fails(err, "InvalidAttributeName")
			_, err = e.client.SetQueueAttributes(e.ctx(),
				&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Nonsense": "1"}})
			e.fails(err, "InvalidAttributeName")
		}},
		{"a queue name with other characters is refused", func(e *env) {
			_, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{QueueName: aws.String("spillway test!")})
			e.fails(err, "InvalidParameterValue")
		}},
		{"queues are listed by prefix, a page at a time", func(e *env) {
			prefix := "spillway-test-" + rand.Text()
			want := []string{e.named(prefix+"-a", nil), e.named(prefix+"-b", nil), e.named(prefix+"-c", nil)}
			e.named("spillway-test-"+rand.Text(), nil)
			var got []string
			p := sqs.NewListQueuesPaginator(e.client, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(2)})
			pages := 0
			for p.HasMorePages() {
				out, err := p.NextPage(e.ctx())
				e.must(err)
				got = append(got, out.QueueUrls...)
				pages++
			}
			slices.Sort(got)
			if !slices.Equal(got, want) || pages != 2 {
				e.Fatalf("%v in %d pages, want %v in 2", got, pages, want)
			}
		}},
		{"a deleted queue is gone", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.DeleteQueue(e.ctx(), &sqs.DeleteQueueInput{QueueUrl: &url})
			e.must(err)
			_, err = e.client.DeleteQueue(e.ctx(), &sqs.DeleteQueueInput{QueueUrl: &url})
			if err != nil { // real SQS lets a delete succeed for a minute
				e.fails(err, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
			}
		}},
		{"tags are set, listed and removed", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.TagQueue(e.ctx(),
				&sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"team": "data", "stage": "test"}})
			e.must(err)
			_, err = e.client.UntagQueue(e.ctx(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"stage"}})
			e.must(err)
			out, err := e.client.ListQueueTags(e.ctx(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			e.must(err)
			if len(out.Tags) != 1 || out.Tags["team"] != "data" {
				e.Fatalf("tags %v", out.Tags)
			}
		}},
		{"a purge removes every message", func(e *env) {
			url := e.queue(nil)
			e.send(url, "a")
			e.send(url, "b")
			_, err := e.client.PurgeQueue(e.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			e.must(err)
			_, err = e.client.PurgeQueue(e.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			if _, ok := errors.AsType[*types.PurgeQueueInProgress](err); !ok {
				e.Fatalf("second purge: %v, want PurgeQueueInProgress", err)
			}
			e.none(url)
		}},
		{"a dead-letter queue lists its sources", func(e *env) {
			dlq := e.queue(nil)
			url := e.queue(map[string]string{"RedrivePolicy": redrivePolicy(e.arn(dlq), "3")})
			out, err := e.client.ListDeadLetterSourceQueues(e.ctx(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
			e.must(err)
			if !slices.Equal(out.QueueUrls, []string{url}) {
				e.Fatalf("sources %v, want %s", out.QueueUrls, url)
			}
		}},
		{"a bad redrive policy is refused", func(e *env) {
			dlq := e.arn(e.queue(nil))
			url := e.queue(nil)
			for _, policy := range []string{
				"nonsense", "{}", redrivePolicy(dlq, "0"), redrivePolicy(dlq, "1001"),
				redrivePolicy("arn:aws:sqs:us-east-1:000000000000:nowhere", "3"),
			} {
				_, err := e.client.SetQueueAttributes(e.ctx(),
					&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"RedrivePolicy": policy}})
				e.fails(err, "InvalidParameterValue", "InvalidAttributeValue")
			}
		}},
		{"a redrive allow policy is accepted", func(e *env) {
			url := e.queue(nil)
			e.set(url, "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`)
			if got := e.attributes(url)["RedriveAllowPolicy"]; !strings.Contains(got, "denyAll") {
				e.Fatalf("policy %q", got)
			}
		}},
		{"a request whose context has ended fails", func(e *env) {
			url := e.queue(nil)
			ctx, cancel := context.WithCancel(e.ctx())
			cancel()
			_, err := e.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
			if !errors.Is(err, context.Canceled) {
				e.Fatalf("error %v, want that of the context", err)
			}
		}},
	}
}

func redrivePolicy(arn, count string) string {
	return `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":` + count + `}`
}
