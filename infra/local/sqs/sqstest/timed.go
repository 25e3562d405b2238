package sqstest

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// timedTests take some seconds each in real time.
func timedTests() []test {
	return []test{
		{"a long poll gets a message that is sent while it waits", func(e *env) {
			url := e.queue(nil)
			sent := make(chan error, 1)
			go func() {
				e.pass(time.Second)
				_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
				sent <- err
			}()
			start := time.Now()
			if ms := e.receive(url, 10, 20); len(ms) != 1 {
				e.Fatalf("%d messages", len(ms))
			}
			e.must(<-sent)
			if took := time.Since(start); took >= 20*time.Second {
				e.Fatalf("the poll ran its full %v", took)
			}
		}},
		{"a long poll without a message ends empty after its wait", func(e *env) {
			url := e.queue(map[string]string{"ReceiveMessageWaitTimeSeconds": "2"})
			start := time.Now()
			ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url}) // the queue's default
			if took := time.Since(start); len(ms) != 0 || took < 1900*time.Millisecond {
				e.Fatalf("%d messages after %v", len(ms), took)
			}
		}},
		{"a message is visible again when its visibility timeout ends", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "3"})
			id := e.send(url, "x")
			first := e.one(url)
			e.none(url)
			m := e.one(url) // waits for it
			if *m.MessageId != id || m.Attributes["ApproximateReceiveCount"] != "2" ||
				m.Attributes["ApproximateFirstReceiveTimestamp"] != first.Attributes["ApproximateFirstReceiveTimestamp"] {
				e.Fatalf("second receive %+v after %+v", m, first)
			}
		}},
		{"the visibility timeout of a receive goes before the queue's", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "600"})
			e.send(url, "x")
			if ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 2,
				WaitTimeSeconds: 10}); len(ms) != 1 {
				e.Fatalf("%d messages", len(ms))
			}
			e.one(url)
		}},
		{"a message that comes back stands before one that was sent meanwhile", func(e *env) {
			url := e.queue(nil)
			e.send(url, "first")
			receive := func() string {
				ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 3, WaitTimeSeconds: 5})
				if len(ms) != 1 {
					e.Fatalf("%d messages", len(ms))
				}
				return *ms[0].Body
			}
			receive()
			e.pass(1500 * time.Millisecond)
			e.send(url, "second")
			e.pass(3 * time.Second)
			if got := receive(); got != "first" {
				e.Fatalf("received %q", got)
			}
		}},
		{"the visibility of a message that has come back can be changed: it is in flight again", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "2"})
			e.send(url, "test")
			m := e.one(url)
			for range 4 { // four seconds in total
				e.pass(time.Second)
				e.must(e.changeVisibility(url, m, 2))
				if ms := e.receive(url, 1, 0); len(ms) != 0 {
					e.Fatal("the message is visible")
				}
			}
			e.pass(3 * time.Second)
			e.must(e.changeVisibility(url, m, 3)) // it was visible for a second
			if ms := e.receive(url, 1, 0); len(ms) != 0 {
				e.Fatal("the message is visible")
			}
			if got := e.one(url).Attributes["ApproximateReceiveCount"]; got != "2" {
				e.Fatalf("receive count %s, want 2", got)
			}
		}},
		{"a longer visibility timeout applies", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "2"})
			e.send(url, "x")
			m := e.one(url)
			_, err := e.client.ChangeMessageVisibility(e.ctx(),
				&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 30})
			e.must(err)
			e.pass(3 * time.Second)
			e.none(url)
		}},
		{"a delayed message is counted and comes after its delay", func(e *env) {
			url := e.queue(map[string]string{"DelaySeconds": "3"})
			e.send(url, "by the queue")
			if a := e.attributes(url); a["ApproximateNumberOfMessagesDelayed"] != "1" ||
				a["ApproximateNumberOfMessages"] != "0" {
				e.Errorf("attributes %v", a)
			}
			e.none(url)
			if m := e.one(url); *m.Body != "by the queue" {
				e.Fatalf("body %q", *m.Body)
			}
			plain := e.queue(nil)
			e.sendInput(&sqs.SendMessageInput{QueueUrl: &plain, MessageBody: aws.String("by the message"), DelaySeconds: 3})
			e.none(plain)
			e.one(plain)
		}},
		{"an expired handle still deletes a message that was not received again", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "2"})
			e.send(url, "x")
			m := e.one(url)
			e.pass(3 * time.Second)
			e.attributes(url) // the queue has noticed that it came back
			e.delete(url, m)
			e.none(url)
		}},
		{"a delete with a superseded handle succeeds", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "2"})
			e.send(url, "x")
			old := e.one(url)
			m := e.one(url)
			e.delete(url, old)
			e.delete(url, m)
			e.pass(3 * time.Second)
			e.none(url)
		}},
		{"a message whose timeout ends at the receive limit is a dead letter", func(e *env) {
			dlq := e.queue(nil)
			url := e.queue(map[string]string{"VisibilityTimeout": "1", "RedrivePolicy": redrivePolicy(e.arn(dlq), "1")})
			e.send(url, "x")
			e.one(url)
			e.pass(1500 * time.Millisecond)
			e.none(url)
			e.one(dlq)
		}},
	}
}

// slowTests need minutes or hours, which pass only in a bubble.
func slowTests() []test {
	return []test{
		{"a message is removed after the retention period", func(e *env) {
			url := e.queue(map[string]string{"MessageRetentionPeriod": "60"})
			e.send(url, "x")
			e.pass(59 * time.Second)
			e.send(url, "y")
			e.pass(2 * time.Second)
			if m := e.one(url); *m.Body != "y" {
				e.Fatalf("received %q, want y", *m.Body)
			}
			e.pass(10 * time.Minute)
			if a := e.attributes(url); a["ApproximateNumberOfMessages"] != "0" ||
				a["ApproximateNumberOfMessagesNotVisible"] != "0" {
				e.Fatalf("attributes %v", a)
			}
		}},
		{"retention of a dead letter runs from the original send", func(e *env) {
			dlq := e.queue(map[string]string{"MessageRetentionPeriod": "120"})
			url := e.queue(map[string]string{"VisibilityTimeout": "90", "RedrivePolicy": redrivePolicy(e.arn(dlq), "1")})
			e.send(url, "x")
			e.one(url)
			e.pass(91 * time.Second)
			e.none(url) // moves it
			if a := e.attributes(dlq); a["ApproximateNumberOfMessages"] != "1" {
				e.Fatalf("dead letters %v", a)
			}
			e.pass(40 * time.Second)
			e.none(dlq)
		}},
		{"twelve hours of visibility are counted from the receive", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 7200, WaitTimeSeconds: 1})
			e.pass(time.Hour)
			_, err := e.client.ChangeMessageVisibility(e.ctx(),
				&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: ms[0].ReceiptHandle, VisibilityTimeout: 43200})
			e.fails(err, "InvalidParameterValue")
			_, err = e.client.ChangeMessageVisibility(e.ctx(),
				&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: ms[0].ReceiptHandle, VisibilityTimeout: 11 * 3600})
			e.must(err)
			e.pass(11*time.Hour - time.Minute)
			e.none(url)
			e.pass(2 * time.Minute)
			e.one(url)
		}},
		{"a move task moves at most 500 messages a second", func(e *env) {
			dlq := e.queue(nil)
			url := e.queue(map[string]string{"RedrivePolicy": redrivePolicy(e.arn(dlq), "1")})
			for range 120 {
				_, err := e.client.SendMessageBatch(e.ctx(),
					&sqs.SendMessageBatchInput{QueueUrl: &dlq, Entries: entries("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")})
				e.must(err)
			}
			_, err := e.client.StartMessageMoveTask(e.ctx(),
				&sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.arn(dlq)), DestinationArn: aws.String(e.arn(url))})
			e.must(err)
			e.pass(time.Second)
			moved, err := strconv.Atoi(e.attributes(url)["ApproximateNumberOfMessages"])
			e.must(err)
			if moved < 300 || moved > 600 {
				e.Fatalf("%d messages moved in the first second", moved)
			}
			e.pass(5 * time.Second)
			if got := e.attributes(url)["ApproximateNumberOfMessages"]; got != "1200" {
				e.Fatalf("%s messages moved, want 1200", got)
			}
		}},
	}
}
