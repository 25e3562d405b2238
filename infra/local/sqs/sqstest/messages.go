package sqstest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func str(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func number(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: &s}
}

func messageTests() []test {
	return []test{
		{"a message is received as it was sent, with its id", func(e *env) {
			url := e.queue(nil)
			body := "täglich \U0001F680 <&> \"quoted\"\r\n\ttab \u2028"
			id := e.send(url, body)
			m := e.one(url)
			if *m.Body != body || *m.MessageId != id {
				e.Fatalf("got %q (%s), sent %q (%s)", *m.Body, *m.MessageId, body, id)
			}
		}},
		{"a deleted message is not received again", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "0"})
			e.send(url, "x")
			e.delete(url, e.one(url))
			e.none(url)
		}},
		{"a received message is not visible and counted so", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			e.one(url)
			e.none(url)
			a := e.attributes(url)
			if a["ApproximateNumberOfMessages"] != "0" || a["ApproximateNumberOfMessagesNotVisible"] != "1" {
				e.Fatalf("attributes %v", a)
			}
		}},
		{"requested system attributes are returned", func(e *env) {
			url := e.queue(nil)
			e.sendInput(&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"),
				MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
					"AWSTraceHeader": {DataType: aws.String("String"),
						StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
				}})
			a := e.one(url).Attributes
			for _, name := range []string{"SenderId", "SentTimestamp", "ApproximateReceiveCount",
				"ApproximateFirstReceiveTimestamp", "AWSTraceHeader"} {
				if a[name] == "" {
					e.Errorf("%s is missing in %v", name, a)
				}
			}
			if a["ApproximateReceiveCount"] != "1" || len(a["SentTimestamp"]) < 12 {
				e.Errorf("attributes %v", a)
			}
			e.send(url, "y")
			ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 10,
				//nolint:staticcheck // SA1019: older clients ask by it
				AttributeNames: []types.QueueAttributeName{"SentTimestamp"}})
			if len(ms) != 1 || len(ms[0].Attributes) != 1 || ms[0].Attributes["SentTimestamp"] == "" {
				e.Errorf("asked for SentTimestamp: %+v", ms)
			}
		}},
		{"a group id on a standard queue is returned as an attribute", func(e *env) {
			url := e.queue(nil)
			e.sendInput(&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"),
				MessageGroupId: aws.String("tenant-7")})
			if got := e.one(url).Attributes["MessageGroupId"]; got != "tenant-7" {
				e.Fatalf("MessageGroupId %q", got)
			}
		}},
		{"message attributes of every type are returned", func(e *env) {
			url := e.queue(nil)
			blob := []byte{0, 1, 255, 254, '"'}
			sent := map[string]types.MessageAttributeValue{
				"Text": str("wörter"), "Event-Count": number("250"),
				"Custom": {DataType: aws.String("Number.int"), StringValue: aws.String("-1.5e3")},
				"Blob":   {DataType: aws.String("Binary.gzip"), BinaryValue: blob},
			}
			out, err := e.client.SendMessage(e.ctx(),
				&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"), MessageAttributes: sent})
			e.must(err)
			m := e.one(url)
			got := m.MessageAttributes
			if len(got) != 4 || *got["Text"].StringValue != "wörter" || *got["Custom"].DataType != "Number.int" ||
				*got["Custom"].StringValue != "-1.5e3" || *got["Blob"].DataType != "Binary.gzip" ||
				!bytes.Equal(got["Blob"].BinaryValue, blob) {
				e.Fatalf("attributes %+v", got)
			}
			if aws.ToString(out.MD5OfMessageAttributes) == "" ||
				*out.MD5OfMessageAttributes != aws.ToString(m.MD5OfMessageAttributes) {
				e.Fatalf("MD5 %q sent, %q received", aws.ToString(out.MD5OfMessageAttributes),
					aws.ToString(m.MD5OfMessageAttributes))
			}
		}},
		{"message attributes are chosen by name and by prefix", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "0"})
			e.sendInput(&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"),
				MessageAttributes: map[string]types.MessageAttributeValue{
					"trace.id": str("1"), "trace.parent": str("2"), "other": str("3"),
				}})
			for _, c := range []struct {
				names []string
				want  int
			}{{nil, 0}, {[]string{"other"}, 1}, {[]string{"trace.*"}, 2}, {[]string{".*"}, 3}, {[]string{"All"}, 3},
				{[]string{"absent"}, 0}} {
				ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 10, MessageAttributeNames: c.names})
				if len(ms) != 1 || len(ms[0].MessageAttributes) != c.want {
					e.Errorf("%v: %+v, want %d attributes", c.names, ms, c.want)
				}
			}
		}},
		{"bad message attributes are refused", func(e *env) {
			url := e.queue(nil)
			eleven := map[string]types.MessageAttributeValue{}
			for i := range 11 {
				eleven[fmt.Sprintf("a%d", i)] = str("x")
			}
			for name, as := range map[string]map[string]types.MessageAttributeValue{
				"eleven":            eleven,
				"name with AWS.":    {"AWS.x": str("1")},
				"name with a space": {"a b": str("1")},
				"name with dots":    {"a..b": str("1")},
				"empty value":       {"a": str("")},
				"no number":         {"a": number("12x")},
				"unknown type":      {"a": {DataType: aws.String("Boolean"), StringValue: aws.String("true")}},
			} {
				_, err := e.client.SendMessage(e.ctx(),
					&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"), MessageAttributes: as})
				if err == nil {
					e.Errorf("%s: accepted", name)
					continue
				}
				e.fails(err, "InvalidParameterValue")
			}
		}},
		{"a body with characters that XML forbids is InvalidMessageContents", func(e *env) {
			url := e.queue(nil)
			for _, body := range []string{"\x00", "a\x0bb", "\uffff"} {
				_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
				e.fails(err, "InvalidMessageContents")
			}
		}},
		{"an empty body is refused", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("")})
			e.fails(err, "MissingParameter", "InvalidParameterValue")
		}},
		{"a message of 1 MiB passes and one byte more does not", func(e *env) {
			url := e.queue(nil)
			body := strings.Repeat("x", 1<<20)
			e.send(url, body)
			if m := e.one(url); *m.Body != body {
				e.Fatalf("%d bytes came back", len(*m.Body))
			}
			_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(body + "x")})
			e.fails(err, "InvalidParameterValue")
			_, err = e.client.SendMessage(e.ctx(),
				&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(body[:len(body)-5]),
					MessageAttributes: map[string]types.MessageAttributeValue{"a": str("b")}})
			e.fails(err, "InvalidParameterValue")
		}},
		{"the queue's own size limit holds", func(e *env) {
			url := e.queue(map[string]string{"MaximumMessageSize": "1024"})
			e.send(url, strings.Repeat("x", 1024))
			_, err := e.client.SendMessage(e.ctx(),
				&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(strings.Repeat("x", 1025))})
			e.fails(err, "InvalidParameterValue")
		}},
		{"numbers out of their bounds are refused", func(e *env) {
			url := e.queue(nil)
			for _, in := range []*sqs.ReceiveMessageInput{{MaxNumberOfMessages: 11}, {WaitTimeSeconds: 21},
				{VisibilityTimeout: 43201}, {MaxNumberOfMessages: -1}} {
				in.QueueUrl = &url
				_, err := e.client.ReceiveMessage(e.ctx(), in)
				e.fails(err, "InvalidParameterValue")
			}
			_, err := e.client.SendMessage(e.ctx(),
				&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"), DelaySeconds: 901})
			e.fails(err, "InvalidParameterValue")
		}},
		{"an invalid receipt handle is ReceiptHandleIsInvalid", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.DeleteMessage(e.ctx(),
				&sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: aws.String("garbage")})
			if _, ok := errors.AsType[*types.ReceiptHandleIsInvalid](err); !ok {
				e.Fatalf("error %v, want ReceiptHandleIsInvalid", err)
			}
			_, err = e.client.ChangeMessageVisibility(e.ctx(),
				&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: aws.String("garbage"), VisibilityTimeout: 1})
			e.fails(err, "ReceiptHandleIsInvalid")
		}},
		{"deleting twice succeeds", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			m := e.one(url)
			e.delete(url, m)
			e.delete(url, m)
		}},
		{"visibility 0 makes a message visible at once, with its count", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			first := e.one(url)
			_, err := e.client.ChangeMessageVisibility(e.ctx(),
				&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0})
			e.must(err)
			second := e.one(url)
			if second.Attributes["ApproximateReceiveCount"] != "2" || *second.MessageId != *first.MessageId {
				e.Fatalf("second receive %+v", second)
			}
			if *second.ReceiptHandle == *first.ReceiptHandle {
				e.Fatal("two receives gave the same handle")
			}
		}},
		{"the visibility of a deleted message can't be changed", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			m := e.one(url)
			e.delete(url, m)
			_, err := e.client.ChangeMessageVisibility(e.ctx(),
				&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 60})
			e.fails(err, "InvalidParameterValue", "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight")
		}},
		{"a message that was received too often goes to the dead-letter queue", func(e *env) {
			dlq := e.queue(nil)
			url := e.queue(map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": redrivePolicy(e.arn(dlq), "2")})
			id := e.send(url, "poison")
			first := e.one(url)
			e.one(url)
			e.none(url)
			m := e.one(dlq)
			if *m.MessageId != id || *m.Body != "poison" || m.Attributes["DeadLetterQueueSourceArn"] != e.arn(url) ||
				m.Attributes["SentTimestamp"] != first.Attributes["SentTimestamp"] {
				e.Fatalf("dead letter %+v", m)
			}
		}},
	}
}

func entries(bodies ...string) []types.SendMessageBatchRequestEntry {
	es := make([]types.SendMessageBatchRequestEntry, len(bodies))
	for i, b := range bodies {
		es[i] = types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprintf("e%d", i)), MessageBody: &b}
	}
	return es
}

func batchTests() []test {
	return []test{
		{"a batch of ten is sent, received and deleted", func(e *env) {
			url := e.queue(nil)
			want := strings.Split("a b c d e f g h i j", " ")
			out, err := e.client.SendMessageBatch(e.ctx(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries(want...)})
			e.must(err)
			if len(out.Successful) != 10 || len(out.Failed) != 0 {
				e.Fatalf("%+v", out)
			}
			var got []string
			for tries := 0; len(got) < 10 && tries < 20; tries++ {
				ms := e.receive(url, 10, 5)
				if len(ms) == 0 {
					continue
				}
				var es []types.DeleteMessageBatchRequestEntry
				for i, m := range ms {
					got = append(got, *m.Body)
					es = append(es, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)),
						ReceiptHandle: m.ReceiptHandle})
				}
				out, err := e.client.DeleteMessageBatch(e.ctx(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: es})
				e.must(err)
				if len(out.Successful) != len(ms) || len(out.Failed) != 0 {
					e.Fatalf("%+v", out)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				e.Fatalf("got %v, want %v", got, want)
			}
		}},
		{"a bad entry of a batch fails alone", func(e *env) {
			url := e.queue(nil)
			out, err := e.client.SendMessageBatch(e.ctx(),
				&sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries("good", "bad\x00")})
			e.must(err)
			if len(out.Successful) != 1 || *out.Successful[0].Id != "e0" || len(out.Failed) != 1 ||
				*out.Failed[0].Id != "e1" || *out.Failed[0].Code != "InvalidMessageContents" || !out.Failed[0].SenderFault {
				e.Fatalf("successful %+v, failed %+v", out.Successful, out.Failed)
			}
		}},
		{"a batch with errors of its own is refused", func(e *env) {
			url := e.queue(nil)
			twice := entries("a", "b")
			twice[1].Id = twice[0].Id
			badID := entries("a")
			badID[0].Id = aws.String("a b")
			big := strings.Repeat("x", 600_000)
			for _, c := range []struct {
				code    string
				entries []types.SendMessageBatchRequestEntry
			}{
				{"EmptyBatchRequest", entries()},
				{"TooManyEntriesInBatchRequest", entries(strings.Split("a b c d e f g h i j k", " ")...)},
				{"BatchEntryIdsNotDistinct", twice},
				{"InvalidBatchEntryId", badID},
				{"BatchRequestTooLong", entries(big, big)},
			} {
				_, err := e.client.SendMessageBatch(e.ctx(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: c.entries})
				e.fails(err, c.code, "AWS.SimpleQueueService."+c.code)
			}
			e.none(url)
		}},
		{"a batch of deletes and visibility changes reports each invalid handle", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			m := e.one(url)
			vis, err := e.client.ChangeMessageVisibilityBatch(e.ctx(),
				&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
					{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 60},
					{Id: aws.String("bad"), ReceiptHandle: aws.String("garbage"), VisibilityTimeout: 60},
				}})
			e.must(err)
			if len(vis.Successful) != 1 || len(vis.Failed) != 1 || *vis.Failed[0].Id != "bad" ||
				*vis.Failed[0].Code != "ReceiptHandleIsInvalid" {
				e.Fatalf("visibility: %+v", vis)
			}
			del, err := e.client.DeleteMessageBatch(e.ctx(),
				&sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
					{Id: aws.String("bad"), ReceiptHandle: aws.String("garbage")},
					{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle},
				}})
			e.must(err)
			if len(del.Successful) != 1 || *del.Successful[0].Id != "good" || len(del.Failed) != 1 ||
				*del.Failed[0].Code != "ReceiptHandleIsInvalid" {
				e.Fatalf("delete: %+v", del)
			}
		}},
		{"an action on a queue that is not there fails for the whole batch", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.SendMessageBatch(e.ctx(),
				&sqs.SendMessageBatchInput{QueueUrl: aws.String(url + "-" + rand.Text()[:8]), Entries: entries("a")})
			e.fails(err, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
		}},
	}
}
