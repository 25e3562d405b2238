package sqstest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// recordedTests hold values that were recorded from SQS itself: statuses, codes, texts and MD5s
// (sources: the AWS-validated tests of LocalStack, recorded from 2022 to 2025).
func recordedTests() []test {
	return slices.Concat(recordedReceiptTests(), recordedSendTests(), recordedAttributeTests(), recordedQueueTests(),
		recordedTaskTests())
}

// isError requires an API error with this status, code and text. The code may have SQS's prefix.
func (e *env) isError(err error, status int, code, message string) {
	e.Helper()
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) {
		e.Errorf("error %v, want an API error with code %s", err, code)
		return
	}
	got := strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
	if response.HTTPStatusCode() != status || got != code || api.ErrorMessage() != message {
		e.Errorf("%d %s: %q\nwant %d %s: %q", response.HTTPStatusCode(), got, api.ErrorMessage(), status, code, message)
	}
}

func (e *env) changeVisibility(url string, m types.Message, seconds int32) error {
	_, err := e.client.ChangeMessageVisibility(e.ctx(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds})
	return err
}

func recordedReceiptTests() []test {
	const reason = "Message does not exist or is not available for visibility timeout change"
	return []test{
		{"an older handle changes the visibility of a message that was received again", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "0"})
			e.send(url, "x")
			old := e.one(url)
			ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 300, WaitTimeSeconds: 5})
			if len(ms) != 1 {
				e.Fatalf("%d messages", len(ms))
			}
			e.must(e.changeVisibility(url, old, 0))
			e.one(url)
		}},
		{"the visibility of a deleted message can't be changed, and a batch has another code for it", func(e *env) {
			url := e.queue(nil)
			e.send(url, "x")
			m := e.one(url)
			e.must(e.changeVisibility(url, m, 42))
			e.delete(url, m)
			e.isError(e.changeVisibility(url, m, 42), 400, "InvalidParameterValue",
				"Value "+*m.ReceiptHandle+" for parameter ReceiptHandle is invalid. Reason: "+reason+".")
			out, err := e.client.ChangeMessageVisibilityBatch(e.ctx(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url,
				Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
					{Id: aws.String("gone"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 42}}})
			e.must(err)
			if len(out.Failed) != 1 || aws.ToString(out.Failed[0].Code) != "ReceiptHandleIsInvalid" ||
				!strings.Contains(aws.ToString(out.Failed[0].Message), reason) || !out.Failed[0].SenderFault {
				e.Errorf("%+v", out)
			}
		}},
		{"deleting with a handle that is none says so", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.DeleteMessage(e.ctx(),
				&sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: aws.String("garbage")})
			e.isError(err, 400, "ReceiptHandleIsInvalid", `The input receipt handle "garbage" is not a valid receipt handle.`)
		}},
		{"a dead-letter queue of a dead-letter queue gets a message after the middle one", func(e *env) {
			last := e.queue(map[string]string{"VisibilityTimeout": "0"})
			middle := e.queue(map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": redrivePolicy(e.arn(last), "1")})
			first := e.queue(map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": redrivePolicy(e.arn(middle), "1")})
			e.send(first, "x")
			for i, url := range []string{first, middle, last} {
				m := e.one(url)
				// The count is that of all queues.
				if want := []string{"1", "2", "3"}[i]; m.Attributes["ApproximateReceiveCount"] != want {
					e.Errorf("receive count %s in queue %d, want %s", m.Attributes["ApproximateReceiveCount"], i, want)
				}
				if url != last {
					e.none(url)
				}
			}
		}},
		{"a second purge within a minute is 403", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.PurgeQueue(e.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			e.must(err)
			_, err = e.client.PurgeQueue(e.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			e.isError(err, 403, "PurgeQueueInProgress",
				"Only one PurgeQueue operation on "+url[strings.LastIndex(url, "/")+1:]+" is allowed every 60 seconds.")
		}},
		{"limits of a receive have their texts", func(e *env) {
			url := e.queue(nil)
			for message, in := range map[string]*sqs.ReceiveMessageInput{
				"Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.": {
					MaxNumberOfMessages: 11},
				"Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.": {
					WaitTimeSeconds: 21},
				"Value -1 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.": {
					WaitTimeSeconds: -1},
			} {
				in.QueueUrl = &url
				_, err := e.client.ReceiveMessage(e.ctx(), in)
				e.isError(err, 400, "InvalidParameterValue", message)
			}
		}},
	}
}

func recordedSendTests() []test {
	const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	return []test{
		{"the tracing header of a request becomes AWSTraceHeader", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "0"})
			const header = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"
			withHeader := sqs.WithAPIOptions(smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", header))
			out, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")},
				withHeader)
			e.must(err)
			if out.MD5OfMessageSystemAttributes != nil {
				e.Errorf("an MD5 %s of system attributes that were not sent", *out.MD5OfMessageSystemAttributes)
			}
			m := e.one(url)
			if got := m.Attributes["AWSTraceHeader"]; got != header {
				e.Errorf("AWSTraceHeader %q", got)
			}
			e.delete(url, m)
			_, err = e.client.SendMessageBatch(e.ctx(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries("a")},
				withHeader)
			e.must(err)
			if got := e.one(url).Attributes["AWSTraceHeader"]; got != header {
				e.Errorf("in a batch: AWSTraceHeader %q", got)
			}
		}},
		{"a trace header that is sent as an attribute has its MD5 and goes before the request's", func(e *env) {
			url := e.queue(nil)
			out, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("test"),
				MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
					"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(trace)}},
			}, sqs.WithAPIOptions(smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", "Root=1-00000000-000000000000000000000000")))
			e.must(err)
			if got := aws.ToString(out.MD5OfMessageSystemAttributes); got != "5ae4d5d7636402d80f4eb6d213245a88" {
				e.Errorf("MD5 %q", got)
			}
			if got := e.one(url).Attributes["AWSTraceHeader"]; got != trace {
				e.Errorf("AWSTraceHeader %q", got)
			}
		}},
		{"a group id that is empty, too long or has a space is refused", func(e *env) {
			url := e.queue(nil)
			for _, id := range []string{"", strings.Repeat("a", 129), "group 123"} {
				_, err := e.client.SendMessage(e.ctx(),
					&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"), MessageGroupId: &id})
				e.isError(err, 400, "InvalidParameterValue", "Value "+id+" for parameter MessageGroupId is invalid. Reason: "+
					"MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
			}
		}},
		{"a message that is too long has another text in a batch", func(e *env) {
			url := e.queue(map[string]string{"MaximumMessageSize": "1024"})
			long := strings.Repeat("a", 1025)
			_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &long})
			e.isError(err, 400, "InvalidParameterValue",
				"One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.")
			out, err := e.client.SendMessageBatch(e.ctx(),
				&sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries(long[:1024], long)})
			e.must(err)
			if len(out.Successful) != 1 || len(out.Failed) != 1 {
				e.Fatalf("%+v", out)
			}
			f := out.Failed[0]
			if *f.Id != "e1" || *f.Code != "InvalidParameterValue" || !f.SenderFault || *f.Message !=
				"One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes." {
				e.Errorf("%s %s %q", *f.Id, *f.Code, *f.Message)
			}
		}},
		{"a batch that is too long says how long it is", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.SendMessageBatch(e.ctx(),
				&sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries(strings.Repeat("a", 1<<20), "a")})
			e.isError(err, 400, "BatchRequestTooLong",
				"Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.")
		}},
		{"an empty body is a missing parameter", func(e *env) {
			url := e.queue(nil)
			_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("")})
			e.isError(err, 400, "MissingParameter", "The request must contain the parameter MessageBody.")
		}},
	}
}

func recordedAttributeTests() []test {
	return []test{
		{"message attributes are chosen by names, prefixes and *, each choice with its MD5", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "0"})
			e.sendInput(&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("msg"),
				MessageAttributes: map[string]types.MessageAttributeValue{
					"Help.Me": str("Me"), "Hello": str("There"), "General": str("Kenobi")}})
			const all = "4c360f3fdafd970e05fae2f149d997f5"
			for _, c := range []struct {
				names []string
				md5   string
				want  int
			}{
				{nil, "", 0}, {[]string{"All"}, all, 3}, {[]string{"*"}, all, 3}, {[]string{".*"}, all, 3},
				{[]string{"Foo", "Help"}, "", 0},
				{[]string{"Hello", "General"}, "fca026605781cb4126a1e9044df24232", 2},
				{[]string{"Foo", "Hello"}, "a311262e065454b75da111d535b8dacd", 1},
				{[]string{"Hel.*"}, "83fee93c1bcd8b9a5a923ffacdc636c7", 2},
				{[]string{"AWS."}, "", 0}, {[]string{"..foo"}, "", 0},
			} {
				ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5, MessageAttributeNames: c.names})
				if len(ms) != 1 || len(ms[0].MessageAttributes) != c.want ||
					aws.ToString(ms[0].MD5OfMessageAttributes) != c.md5 {
					e.Errorf("%q: %+v, want %d attributes with MD5 %q", c.names, ms, c.want, c.md5)
				}
			}
		}},
		{"binary attributes have their MD5", func(e *env) {
			url := e.queue(nil)
			e.sendInput(&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("test"),
				MessageAttributes: map[string]types.MessageAttributeValue{"attr1": {DataType: aws.String("Binary"),
					BinaryValue: []byte("traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01")}}})
			if got := aws.ToString(e.one(url).MD5OfMessageAttributes); got != "8cbe4db156db8a94db8b801b7addb984" {
				e.Errorf("MD5 %q", got)
			}
		}},
		{"the name of an attribute takes letters and digits of other alphabets, and no symbols", func(e *env) {
			url := e.queue(nil)
			send := func(as map[string]types.MessageAttributeValue) error {
				_, err := e.client.SendMessage(e.ctx(),
					&sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("test"), MessageAttributes: as})
				return err
			}
			e.must(send(map[string]types.MessageAttributeValue{"attr.1øßä": str("valid")}))
			for _, name := range []string{"a!b", `a"b`, "a§b", "a(b", "a?b", "aWs.x", "AMAZON.x", ".x", "x.",
				strings.Repeat("L", 257)} {
				e.fails(send(map[string]types.MessageAttributeValue{name: str("valid")}), "InvalidParameterValue")
			}
		}},
		{"bad values of attributes are InvalidParameterValue", func(e *env) {
			url := e.queue(nil)
			send := func(v types.MessageAttributeValue) error {
				_, err := e.client.SendMessage(e.ctx(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("test"),
					MessageAttributes: map[string]types.MessageAttributeValue{"ErrorDetails": v}})
				return err
			}
			e.isError(send(str("")), 400, "InvalidParameterValue",
				"Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.")
			for _, v := range []types.MessageAttributeValue{str("Invalid-\x08,\x0b"), number(""),
				{DataType: aws.String("Invalid"), StringValue: aws.String("x")},
				{DataType: aws.String("Number." + strings.Repeat("L", 256)), StringValue: aws.String("1")},
				{DataType: aws.String("Binary"), BinaryValue: []byte{}}} {
				e.fails(send(v), "InvalidParameterValue")
			}
		}},
		{"either list of system attributes is asked, or both", func(e *env) {
			url := e.queue(map[string]string{"VisibilityTimeout": "0"})
			e.send(url, "msg")
			for _, c := range []struct {
				system []types.MessageSystemAttributeName
				names  []types.QueueAttributeName
				want   int
			}{
				{[]types.MessageSystemAttributeName{"All"}, nil, 4},
				{[]types.MessageSystemAttributeName{"All"}, []types.QueueAttributeName{"SenderId"}, 4},
				{[]types.MessageSystemAttributeName{"SenderId"}, nil, 1},
				{[]types.MessageSystemAttributeName{"SenderId", "SequenceNumber"}, nil, 1},
				{nil, []types.QueueAttributeName{"All"}, 4},
			} {
				ms := e.receiveInput(&sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5,
					//nolint:staticcheck // SA1019: older clients ask by it
					AttributeNames: c.names, MessageSystemAttributeNames: c.system})
				if len(ms) != 1 || len(ms[0].Attributes) != c.want {
					e.Errorf("%v and %v: %+v, want %d", c.system, c.names, ms, c.want)
				}
			}
		}},
	}
}

func recordedQueueTests() []test {
	return []test{
		{"a standard queue has no attributes of FIFO queues", func(e *env) {
			url := e.queue(nil)
			for name, value := range map[string]string{"FifoQueue": "false", "ContentBasedDeduplication": "true",
				"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"} {
				message := "Unknown Attribute " + name + "."
				if name == "DeduplicationScope" || name == "FifoThroughputLimit" {
					message = "You can specify the " + name + " only when FifoQueue is set to true."
				}
				_, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{
					QueueName: aws.String("spillway-test-fifo-attribute"), Attributes: map[string]string{name: value}})
				e.isError(err, 400, "InvalidAttributeName", message)
			}
			for _, value := range []string{"true", "false"} {
				_, err := e.client.SetQueueAttributes(e.ctx(),
					&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"FifoQueue": value}})
				e.isError(err, 400, "InvalidAttributeName", "Unknown Attribute FifoQueue.")
			}
			for name, attributes := range map[string]map[string]string{
				"spillway-test": {"FifoQueue": "true"}, "spillway-test.fifo": nil, "spillway/test/": nil} {
				_, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
				e.fails(err, "InvalidParameterValue")
			}
		}},
		{"a queue has one kind of encryption, and the default reuse period is not returned", func(e *env) {
			url := e.queue(nil)
			expect := func(want map[string]string) {
				e.Helper()
				got := e.attributes(url)
				for _, name := range []string{"KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"} {
					if got[name] != want[name] {
						e.Errorf("%s is %q, want %q", name, got[name], want[name])
					}
				}
			}
			expect(map[string]string{"SqsManagedSseEnabled": "true"})
			e.setAll(url, map[string]string{"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"})
			expect(map[string]string{"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000",
				"SqsManagedSseEnabled": "false"})
			e.setAll(url, map[string]string{"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"})
			expect(map[string]string{"SqsManagedSseEnabled": "false"})
			_, err := e.client.SetQueueAttributes(e.ctx(), &sqs.SetQueueAttributesInput{QueueUrl: &url,
				Attributes: map[string]string{"KmsMasterKeyId": "testKeyId", "SqsManagedSseEnabled": "true"}})
			e.isError(err, 400, "InvalidAttributeName", "You can use one type of server-side encryption (SSE) at one time. "+
				"You can either enable KMS SSE or SQS SSE.")
		}},
		{"a redrive policy is returned with a number, however it was written", func(e *env) {
			dlq := e.arn(e.queue(nil))
			name := "spillway-test-" + strings.ToLower(rand.Text())
			url := e.named(name, map[string]string{"RedrivePolicy": redrivePolicy(dlq, `"5"`)})
			var got struct {
				DeadLetterTargetArn string
				MaxReceiveCount     any
			}
			e.must(json.Unmarshal([]byte(e.attributes(url)["RedrivePolicy"]), &got))
			if got.DeadLetterTargetArn != dlq || got.MaxReceiveCount != 5.0 {
				e.Errorf("%+v", got)
			}
			again := e.named(name, map[string]string{"RedrivePolicy": `{ "maxReceiveCount": 5, "deadLetterTargetArn": "` + dlq +
				`" }`})
			if again != url {
				e.Errorf("created again as %s, was %s", again, url)
			}
			_, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{QueueName: &name,
				Attributes: map[string]string{"RedrivePolicy": redrivePolicy(dlq, "6")}})
			e.isError(err, 400, "QueueAlreadyExists",
				"A queue already exists with the same name and a different value for attribute RedrivePolicy")
		}},
		{"a dead-letter target that is no ARN is refused with its text", func(e *env) {
			policy := `{"deadLetterTargetArn": "dummy", "maxReceiveCount": 42}`
			_, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{
				QueueName: aws.String("spillway-test-no-arn"), Attributes: map[string]string{"RedrivePolicy": policy}})
			e.isError(err, 400, "InvalidParameterValue", "Value "+policy+" for parameter RedrivePolicy is invalid. "+
				"Reason: Invalid value for deadLetterTargetArn.")
		}},
		{"a queue may be its own dead-letter queue", func(e *env) {
			url := e.queue(nil)
			e.set(url, "RedrivePolicy", redrivePolicy(e.arn(url), "3"))
			e.set(url, "RedrivePolicy", "") // removes it
			if _, ok := e.attributes(url)["RedrivePolicy"]; ok {
				e.Error("an empty policy did not remove it")
			}
		}},
		{"a redrive allow policy holds for the queues that name this one", func(e *env) {
			dlq := e.queue(nil)
			source, other := e.queue(nil), e.queue(nil)
			policy := redrivePolicy(e.arn(dlq), "3")
			use := func(url string) error {
				_, err := e.client.SetQueueAttributes(e.ctx(),
					&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"RedrivePolicy": policy}})
				return err
			}
			e.set(dlq, "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`)
			e.fails(use(source), "InvalidParameterValue")
			e.set(dlq, "RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["`+e.arn(source)+`"]}`)
			e.must(use(source))
			e.fails(use(other), "InvalidParameterValue")
			_, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{QueueName: aws.String("spillway-test-denied"),
				Attributes: map[string]string{"RedrivePolicy": policy}})
			e.fails(err, "InvalidParameterValue")
			e.set(dlq, "RedriveAllowPolicy", `{"redrivePermission":"allowAll"}`)
			e.must(use(other))
			e.set(dlq, "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`)
			e.set(other, "VisibilityTimeout", "31") // its policy is as it was
		}},
		{"permissions are added to the policy and removed by their labels", func(e *env) {
			url := e.queue(nil)
			arn := e.arn(url)
			add := func(label string, accounts, actions []string) error {
				_, err := e.client.AddPermission(e.ctx(), &sqs.AddPermissionInput{QueueUrl: &url, Label: &label,
					AWSAccountIds: accounts, Actions: actions})
				return err
			}
			remove := func(label string) error {
				_, err := e.client.RemovePermission(e.ctx(), &sqs.RemovePermissionInput{QueueUrl: &url, Label: &label})
				return err
			}
			account := strings.Split(arn, ":")[4]
			one := []string{account}
			e.must(add("first", one, []string{"ReceiveMessage"}))
			e.isError(add("first", one, []string{"SendMessage"}), 400, "InvalidParameterValue",
				"Value first for parameter Label is invalid. Reason: Already exists.")
			e.must(add("second", one, []string{"ReceiveMessage", "SendMessage"}))
			var got, want any
			e.must(json.Unmarshal([]byte(e.attributes(url)["Policy"]), &got))
			e.must(json.Unmarshal([]byte(`{"Version": "2008-10-17", "Id": "`+arn+`/SQSDefaultPolicy", "Statement": [
				{"Sid": "first", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::`+account+`:root"},
					"Action": "SQS:ReceiveMessage", "Resource": "`+arn+`"},
				{"Sid": "second", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::`+account+`:root"},
					"Action": ["SQS:ReceiveMessage", "SQS:SendMessage"], "Resource": "`+arn+`"}]}`), &want))
			if !reflect.DeepEqual(got, want) {
				e.Errorf("policy %v\nwant   %v", got, want)
			}
			e.must(remove("first"))
			e.must(remove("second"))
			if p, ok := e.attributes(url)["Policy"]; ok {
				e.Errorf("policy %s without a permission", p)
			}
			e.isError(remove("second"), 400, "InvalidParameterValue",
				"Value second for parameter Label is invalid. Reason: can't find label.")
		}},
		{"a permission that SQS does not have is refused", func(e *env) {
			url := e.queue(nil)
			for code, in := range map[string]*sqs.AddPermissionInput{
				"MissingParameter": {Label: aws.String("a"), AWSAccountIds: []string{"000000000000"}, Actions: []string{}},
				"InvalidParameterValue": {Label: aws.String("a"), AWSAccountIds: []string{"000000000000"},
					Actions: []string{"CreateQueue"}},
				"OverLimit": {Label: aws.String("a"), AWSAccountIds: []string{"000000000000"},
					Actions: slices.Repeat([]string{"SendMessage"}, 8)},
			} {
				in.QueueUrl = &url
				_, err := e.client.AddPermission(e.ctx(), in)
				e.fails(err, code)
			}
		}},
		{"tags are measured in characters", func(e *env) {
			url := e.queue(nil)
			tags := map[string]string{strings.Repeat("ü", 128): strings.Repeat("ß", 256), "MyTag": "", "mytag": "x"}
			_, err := e.client.TagQueue(e.ctx(), &sqs.TagQueueInput{QueueUrl: &url, Tags: tags})
			e.must(err)
			out, err := e.client.ListQueueTags(e.ctx(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			e.must(err)
			if len(out.Tags) != 3 || out.Tags[strings.Repeat("ü", 128)] != strings.Repeat("ß", 256) {
				e.Errorf("tags %v", out.Tags)
			}
			for k, v := range map[string]string{strings.Repeat("a", 129): "", "a": strings.Repeat("ü", 257)} {
				_, err := e.client.TagQueue(e.ctx(), &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{k: v}})
				e.fails(err, "InvalidParameterValue")
			}
		}},
	}
}

func recordedTaskTests() []test {
	handle := func(task, source string) *string {
		return aws.String(base64.StdEncoding.EncodeToString([]byte(`{"taskId":"` + task + `","sourceArn":"` + source + `"}`)))
	}
	const task = "10f57157-fc38-4da9-a113-4de7e12d05dd"
	return []test{
		{"starting and cancelling a move task fail with their texts", func(e *env) {
			dlq, to := e.queue(nil), e.queue(nil)
			source := e.arn(dlq)
			e.set(to, "RedrivePolicy", redrivePolicy(source, "1"))
			start := func(in *sqs.StartMessageMoveTaskInput) error {
				_, err := e.client.StartMessageMoveTask(e.ctx(), in)
				return err
			}
			cancel := func(handle *string) error {
				_, err := e.client.CancelMessageMoveTask(e.ctx(), &sqs.CancelMessageMoveTaskInput{TaskHandle: handle})
				return err
			}
			e.isError(start(&sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.arn(to))}), 400,
				"InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
			e.isError(start(&sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: aws.String(source + "x")}), 404,
				"ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist.")
			e.isError(cancel(aws.String("foobared")), 400, "InvalidParameterValue", "Value for parameter TaskHandle is invalid.")
			e.isError(cancel(handle(task, source+"x")), 404, "ResourceNotFoundException",
				"The resource that you specified for the SourceArn parameter doesn't exist.")
			e.isError(cancel(handle(task, source)), 404, "ResourceNotFoundException", "Task does not exist.")
			for range 3 {
				_, err := e.client.SendMessageBatch(e.ctx(), &sqs.SendMessageBatchInput{QueueUrl: &dlq, Entries: entries("a", "b")})
				e.must(err)
			}
			in := &sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: aws.String(e.arn(to)),
				MaxNumberOfMessagesPerSecond: aws.Int32(1)}
			e.must(start(in))
			e.isError(start(in), 400, "InvalidParameterValue", "There is already a task running. Only one active task is "+
				"allowed for a source queue arn at a given time.")
		}},
	}
}
