package sqstest

import (
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func taskTests() []test {
	return []test{
		{"a move task moves dead letters to their source queues, as new messages", func(e *env) {
			dlq := e.queue(nil)
			url := e.queue(map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": redrivePolicy(e.arn(dlq), "1")})
			id := e.send(url, "again")
			e.one(url)
			e.none(url) // moves it
			source := e.arn(dlq)
			started, err := e.client.StartMessageMoveTask(e.ctx(), &sqs.StartMessageMoveTaskInput{SourceArn: &source})
			e.must(err)
			if aws.ToString(started.TaskHandle) == "" {
				e.Fatal("no task handle")
			}
			m := e.one(url)
			if *m.Body != "again" || *m.MessageId == id || m.Attributes["ApproximateReceiveCount"] != "1" {
				e.Fatalf("moved message %+v", m)
			}
			e.delete(url, m)
			task := e.finished(source)
			if aws.ToString(task.Status) != "COMPLETED" || task.ApproximateNumberOfMessagesMoved != 1 {
				e.Fatalf("task %+v", task)
			}
			_, err = e.client.CancelMessageMoveTask(e.ctx(), &sqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
			e.fails(err, "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation")
		}},
		{"a running move task excludes another and can be cancelled", func(e *env) {
			dlq := e.queue(nil)
			to := e.queue(map[string]string{"RedrivePolicy": redrivePolicy(e.arn(dlq), "1")})
			for range 3 {
				_, err := e.client.SendMessageBatch(e.ctx(),
					&sqs.SendMessageBatchInput{QueueUrl: &dlq, Entries: entries("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")})
				e.must(err)
			}
			in := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.arn(dlq)), DestinationArn: aws.String(e.arn(to)),
				MaxNumberOfMessagesPerSecond: aws.Int32(1)}
			started, err := e.client.StartMessageMoveTask(e.ctx(), in)
			e.must(err)
			_, err = e.client.StartMessageMoveTask(e.ctx(), in)
			e.fails(err, "InvalidParameterValue")
			_, err = e.client.CancelMessageMoveTask(e.ctx(), &sqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
			e.must(err)
			if task := e.finished(*in.SourceArn); aws.ToString(task.Status) != "CANCELLED" {
				e.Fatalf("task %+v", task)
			}
		}},
		{"the source of a move task must be a dead-letter queue", func(e *env) {
			arn := e.arn(e.queue(nil))
			_, err := e.client.StartMessageMoveTask(e.ctx(), &sqs.StartMessageMoveTaskInput{SourceArn: &arn})
			e.fails(err, "InvalidParameterValue")
			_, err = e.client.StartMessageMoveTask(e.ctx(),
				&sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn + "-nowhere")})
			if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
				e.Fatalf("error %v, want ResourceNotFoundException", err)
			}
		}},
	}
}

// finished waits until the newest task of source has ended.
func (e *env) finished(source string) types.ListMessageMoveTasksResultEntry {
	e.Helper()
	for range 200 {
		out, err := e.client.ListMessageMoveTasks(e.ctx(), &sqs.ListMessageMoveTasksInput{SourceArn: &source})
		e.must(err)
		if len(out.Results) != 1 {
			e.Fatalf("%d tasks", len(out.Results))
		}
		if s := aws.ToString(out.Results[0].Status); s != "RUNNING" && s != "CANCELLING" {
			return out.Results[0]
		}
		e.pass(100 * time.Millisecond)
	}
	e.Fatal("the task does not end")
	return types.ListMessageMoveTasksResultEntry{}
}
