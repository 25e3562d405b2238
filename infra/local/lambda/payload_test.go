package lambda

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

const testARN = "arn:aws:sqs:eu-west-1:123456789012:events"

func encode(t *testing.T, messages ...Message) []byte {
	t.Helper()
	p := newPayload(nil, maxPayload, recordTail(testARN, "eu-west-1"))
	for i := range messages {
		if !p.add(&messages[i]) {
			t.Fatalf("message %d did not fit", i)
		}
	}
	return p.finish()
}

// decode reads a payload as a function does.
func decode(t *testing.T, payload []byte) events.SQSEvent {
	t.Helper()
	var event events.SQSEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		t.Fatalf("a function can't read the payload: %v\n%q", err, payload)
	}
	return event
}

func TestAPayloadIsWhatLambdaSends(t *testing.T) {
	payload := encode(t,
		Message{MessageID: "059f36b4-87a3-44ab-83d2-661975830a7d", ReceiptHandle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
			Body:       "Test message.",
			Attributes: map[string]string{"SentTimestamp": "1545082649183"}, MD5OfBody: "e4e68fb7bd0e697a0ae8f1bb342846b3"},
		Message{MessageID: "2", ReceiptHandle: "h2", Body: `{"a":"b"}`, MD5OfBody: "m", MD5OfMessageAttributes: "ma",
			MessageAttributes: map[string]MessageAttribute{"n": {DataType: "Number", StringValue: "1"}}})
	const want = `{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",` +
		`"body":"Test message.","attributes":{"SentTimestamp":"1545082649183"},"messageAttributes":{},"md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3",` +
		`"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:events","awsRegion":"eu-west-1"},` +
		`{"messageId":"2","receiptHandle":"h2","body":"{\"a\":\"b\"}","attributes":{},` +
		`"messageAttributes":{"n":{"stringValue":"1","stringListValues":[],"binaryListValues":[],"dataType":"Number"}},"md5OfBody":"m","md5OfMessageAttributes":"ma",` +
		`"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:events","awsRegion":"eu-west-1"}]}`
	if string(payload) != want {
		t.Errorf("got  %s\nwant %s", payload, want)
	}
}

// sameAsMessage compares a record with the message that it was made of. Invalid UTF-8
// becomes U+FFFD, byte by byte.
func sameAsMessage(t *testing.T, got events.SQSMessage, m Message) {
	t.Helper()
	text := func(s string) string { return string([]rune(s)) }
	want := events.SQSMessage{
		MessageId: text(m.MessageID), ReceiptHandle: text(m.ReceiptHandle), Body: text(m.Body), Md5OfBody: text(m.MD5OfBody),
		Md5OfMessageAttributes: text(m.MD5OfMessageAttributes), Attributes: map[string]string{},
		MessageAttributes: map[string]events.SQSMessageAttribute{},
		EventSource:       "aws:sqs", EventSourceARN: testARN, AWSRegion: "eu-west-1",
	}
	for name, value := range m.Attributes {
		want.Attributes[text(name)] = text(value)
	}
	for name, a := range m.MessageAttributes {
		attribute := events.SQSMessageAttribute{DataType: text(a.DataType), StringListValues: []string{},
			BinaryListValues: [][]byte{}}
		if strings.HasPrefix(a.DataType, "Binary") {
			attribute.BinaryValue = append([]byte{}, a.BinaryValue...)
		} else {
			value := text(a.StringValue)
			attribute.StringValue = &value
		}
		want.MessageAttributes[text(name)] = attribute
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryByteIsEncodedAtEveryOffsetOfAWord(t *testing.T) {
	for c := range 256 {
		for place := range 17 {
			body := strings.Repeat("x", place) + string([]byte{byte(c)}) + strings.Repeat("y", 17-place)
			m := Message{Body: body}
			event := decode(t, encode(t, m))
			sameAsMessage(t, event.Records[0], m)
		}
	}
}

func TestTheFirstSpecialByteOfAWordIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []byte("ax !#[]~\x7f\"\\\x00\x1f\x80\xff\xa2\xdc")
	for range 100_000 {
		s := []byte("xxxxxxxx")
		for i := range s {
			if random.IntN(3) == 0 {
				s[i] = alphabet[random.IntN(len(alphabet))]
			}
		}
		want := 0
		for want < len(s) && plainByte(s[want]) {
			want++
		}
		if got := bits.TrailingZeros64(specials(load8(string(s), 0))) / 8; got != want {
			t.Fatalf("%q: %d, want %d", s, got, want)
		}
	}
}

func FuzzPayload(f *testing.F) {
	f.Add("id", "handle", "body", "Binary", []byte{0, 255})
	f.Add("", "\x00\x1f\"\\", "\u2028\u2029é😀\xff\xc0\xed\xa0\x80", "String", []byte(nil))
	f.Add("a\nb\r\t\b\f", "</script>&", strings.Repeat("1234567\"", 9), "Number.int", []byte("x"))
	f.Fuzz(func(t *testing.T, id, handle, body, dataType string, binary []byte) {
		m := Message{
			MessageID: id, ReceiptHandle: handle, Body: body, MD5OfBody: id, MD5OfMessageAttributes: handle,
			Attributes:        map[string]string{body: id},
			MessageAttributes: map[string]MessageAttribute{handle: {DataType: dataType, StringValue: body, BinaryValue: binary}},
		}
		payload := encode(t, m, m)
		if !utf8.Valid(payload) {
			t.Error("the payload is not valid UTF-8")
		}
		event := decode(t, payload)
		if len(event.Records) != 2 {
			t.Fatalf("%d records of 2 messages", len(event.Records))
		}
		sameAsMessage(t, event.Records[0], m)
		sameAsMessage(t, event.Records[1], m)
	})
}

func TestAPayloadIsLimitedToTheByte(t *testing.T) {
	for _, body := range []string{"plain", `"quoted"`, "é", "\xff"} {
		m := Message{MessageID: "1", Body: body}
		size := len(encode(t, m, m))
		for _, c := range []struct {
			limit, fit int
		}{{size, 2}, {size - 1, 1}, {size + 1, 2}, {len(encode(t, m)), 1}, {len(encode(t, m)) - 1, 0}} {
			p := newPayload(nil, c.limit, recordTail(testARN, "eu-west-1"))
			fit := 0
			for p.add(&m) {
				fit++
			}
			payload := p.finish()
			if fit != c.fit || len(payload) > c.limit && c.fit > 0 {
				t.Errorf("%q, limit %d: %d fit into %d bytes, want %d", body, c.limit, fit, len(payload), c.fit)
			}
			if n := len(decode(t, payload).Records); n != fit {
				t.Errorf("%q, limit %d: %d records of %d", body, c.limit, n, fit)
			}
		}
	}
}

func TestAPayloadInAReusedBufferIsTheSame(t *testing.T) {
	m := Message{MessageID: "1", Body: "b"}
	want := string(encode(t, m))
	p := newPayload([]byte(strings.Repeat("old", 1000)), maxPayload, recordTail(testARN, "eu-west-1"))
	p.add(&m)
	if got := string(p.finish()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkPayloadOf50PackedMessages(b *testing.B) {
	raw := make([]byte, 118_000/4*3)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(raw)
	benchmarkPayload(b, 50, base64.StdEncoding.EncodeToString(raw))
}

func BenchmarkPayloadOf100JSONEvents(b *testing.B) {
	event := `{"type":"track","userId":"user-1","event":"Order Completed","properties":{"name":"a thing","price":12.5,"currency":"EUR"},`
	benchmarkPayload(b, 100, strings.Repeat(event, 8))
}

func benchmarkPayload(b *testing.B, n int, body string) {
	messages := make([]Message, n)
	for i := range messages {
		messages[i] = Message{MessageID: fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", i),
			ReceiptHandle: strings.Repeat("h", 120), Body: body, MD5OfBody: strings.Repeat("m", 32),
			Attributes: map[string]string{"SentTimestamp": "1545082649183", "ApproximateReceiveCount": "1"},
			MessageAttributes: map[string]MessageAttribute{"Content-Encoding": {DataType: "String", StringValue: "zstd"},
				"Event-Count": {DataType: "Number", StringValue: "250"}}}
	}
	tail := recordTail(testARN, "eu-west-1")
	var buf []byte
	b.SetBytes(int64(n * len(body)))
	b.ReportAllocs()
	for b.Loop() {
		p := newPayload(buf, maxPayload, tail)
		for i := range messages {
			if !p.add(&messages[i]) {
				b.Fatal("did not fit")
			}
		}
		buf = p.finish()
	}
}
