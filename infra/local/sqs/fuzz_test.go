package sqs

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzRequest sends any bytes to any action: the answer is JSON and never a
// server error, whatever was asked for.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ action, body string }{
		{"SendMessage", `{"QueueUrl":"http://localhost/0/events","MessageBody":"x","DelaySeconds":1,"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAE="}}}`},
		{"SendMessageBatch", `{"QueueUrl":"http://localhost/0/events","Entries":[{"Id":"a","MessageBody":"x"},{"Id":"b","MessageBody":"\u0000"}]}`},
		{"ReceiveMessage", `{"QueueUrl":"http://localhost/0/events","MaxNumberOfMessages":10,"AttributeNames":["All"],"MessageAttributeNames":["a.*"]}`},
		{"DeleteMessage", `{"QueueUrl":"http://localhost/0/events","ReceiptHandle":"AQAAAAEAAAGiCi0mAAAAAaIKLSYAGOrHtdkn6/EAAAAAAAAAARjqx7XZJ+vy/0yP+Q=="}`},
		{"ChangeMessageVisibilityBatch",
			`{"QueueUrl":"http://localhost/0/events","Entries":[{"Id":"a","ReceiptHandle":"x","VisibilityTimeout":-1}]}`},
		{"CreateQueue", `{"QueueName":"q","Attributes":{"RedrivePolicy":"{}"},"tags":{"a":"b"}}`},
		{"SetQueueAttributes", `{"QueueUrl":"events","Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:dead\",\"maxReceiveCount\":\"5\"}"}}`},
		{"AddPermission", `{"QueueUrl":"events","Label":"a","AWSAccountIds":["1"],"Actions":["SendMessage"]}`},
		{"RemovePermission", `{"QueueUrl":"events","Label":"a"}`},
		{"ListQueues", `{"MaxResults":1,"NextToken":"ZXZlbnRz"}`},
		{"StartMessageMoveTask", `{"SourceArn":"arn:aws:sqs:us-east-1:000000000000:events"}`},
		{"CancelMessageMoveTask", `{"TaskHandle":"e30="}`},
		{"GetQueueUrl", "{\"QueueName\":\"\xff\"}"},
		{"SendMessage", `{"MessageBody":"\ud800"}`},
		{"SendMessage", `{"MessageBody":"\`},
		{"", ``},
	} {
		f.Add(seed.action, []byte(seed.body))
	}
	s := open(f, Options{})
	queue(f, s, "events", nil)
	queue(f, s, "dead", nil)
	f.Fuzz(func(t *testing.T, action string, body []byte) {
		if bytes.Contains(body, []byte("WaitTimeSeconds")) || bytes.Contains(body, []byte("ReceiveMessageWaitTimeSeconds")) {
			t.Skip("a long poll takes its time")
		}
		r := httptest.NewRequest(http.MethodPost, "http://localhost/", bytes.NewReader(body))
		r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzDecodeStoredMessage(f *testing.F) {
	l := storedMessage{body: "x", group: "g",
		attributes: []named{{"a", MessageAttribute{DataType: "Binary", BinaryValue: []byte{1}}}}}
	f.Add(l.encode())
	f.Add([]byte{storedMessageVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeStoredMessage(b)
		if err != nil {
			return
		}
		// What was decoded is encoded to something that decodes to the same.
		again, err := decodeStoredMessage(l.encode())
		if err != nil || again.body != l.body || len(again.attributes) != len(l.attributes) {
			t.Fatalf("%+v, %v after %+v", again, err, l)
		}
	})
}
