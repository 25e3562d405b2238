package sqs

import (
	"encoding/json"
	"reflect"
	"testing"
)

// quickRequests makes a request of each kind that reads itself.
var quickRequests = []func() quick{
	func() quick { return &receiveMessageInput{} },
	func() quick { return &deleteMessageInput{} },
	func() quick { return &deleteMessageBatchInput{} },
	func() quick { return &sendMessageInput{} },
	func() quick { return &sendMessageBatchInput{} },
}

// agrees fails unless encoding/json reads from a body what the request has read. It returns how many
// of the requests can read it.
func agrees(t *testing.T, body []byte) (read int) {
	t.Helper()
	if loneSurrogate(body) {
		return 0 // decode refuses it before
	}
	for _, request := range quickRequests {
		got, want := request(), request()
		if !quickly(body, got) {
			continue
		}
		read++
		if err := json.Unmarshal(body, want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %+v, encoding/json reads %+v, %v", body, got, want, err)
		}
	}
	return read
}

func TestARequestReadsItselfAsJSONDoes(t *testing.T) {
	for body, can := range map[string]bool{
		`{"QueueUrl":"u","MaxNumberOfMessages":10,"WaitTimeSeconds":0,"VisibilityTimeout":30,"AttributeNames":["All"],` +
			`"MessageSystemAttributeNames":["SentTimestamp"],"MessageAttributeNames":["All","a.*"]}`: true,
		`{"QueueUrl":"u","ReceiptHandle":"h"}`:                                                       true,
		`{"QueueUrl":"u","Entries":[{"Id":"1","ReceiptHandle":"h"},{"ReceiptHandle":"i","Id":"2"}]}`: true,
		`{"QueueUrl":"u","MessageBody":"{\"a\":\"\\u00e9 \ud83d\ude00 é\"}","DelaySeconds":-1,"MessageGroupId":"g",` +
			`"MessageDeduplicationId":"d"}`: true,
		`{"QueueUrl":"u","Entries":[{"Id":"1","MessageBody":"b","MessageAttributes":{"n":{"DataType":"Number",` +
			`"StringValue":"1"},"b":{"DataType":"Binary","BinaryValue":"AAEC"}},"MessageSystemAttributes":` +
			`{"AWSTraceHeader":{"DataType":"String","StringValue":"t"}}}]}`: true,
		`{"QueueUrl":"u","Entries":[]}`:                               true,
		` { "QueueUrl" : "u" } `:                                      true,
		`{"\u0051ueueUrl":"u"}`:                                       true,
		`{"queueurl":"u"}`:                                            false,
		`{"QueueUrl":null}`:                                           false,
		`{"QueueUrl":"u","Else":1}`:                                   false,
		`{"QueueUrl":"u","MaxNumberOfMessages":1.5}`:                  false,
		`{"QueueUrl":"u","MaxNumberOfMessages":"1"}`:                  false,
		`{"QueueUrl":"u","Entries":[{"Id":"1"}],"Entries":[{}]}`:      false,
		`{"QueueUrl":"u","AttributeNames":["a"],"AttributeNames":[]}`: false,
		`{"QueueUrl":"u","Entries":[null]}`:                           false,
		`{"QueueUrl":"u","Entries":[{"Id":"1","MessageAttributes":{"a":{"BinaryValue":"?"}}}]}`: false,
		`{"QueueUrl":"u","Entries":[{"Id":"1"}]`:                                                false,
		`{"QueueUrl":"u"} x`:                                                                    false,
		"{\"QueueUrl\":\"\xff\"}":                                                               false,
		``:                                                                                      false,
		`[]`:                                                                                    false,
	} {
		if read := agrees(t, []byte(body)); read > 0 != can {
			t.Errorf("%s is read by %d requests, can be: %v", body, read, can)
		}
	}
}

func FuzzARequestReadsItselfAsJSONDoes(f *testing.F) {
	f.Add([]byte(`{"QueueUrl":"u","MaxNumberOfMessages":10,"AttributeNames":["All"],"WaitTimeSeconds":2}`))
	f.Add([]byte(`{"QueueUrl":"u","Entries":[{"Id":"1","ReceiptHandle":"h"},{"ReceiptHandle":"i","Id":"2"}]}`))
	f.Add([]byte(`{"QueueUrl":"u","Entries":[{"Id":"1","MessageBody":"{\"a\":1}","DelaySeconds":0,"MessageAttributes":` +
		`{"n":{"DataType":"Number","StringValue":"1"},"b":{"DataType":"Binary","BinaryValue":"AAEC"}}}]}`))
	f.Add([]byte(`{"QueueUrl":"u","MessageBody":"\ud83d\ude00","MessageGroupId":"g","MessageSystemAttributes":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) { agrees(t, body) })
}
