package events_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	lambda "github.com/aws/aws-lambda-go/events"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

var update = flag.Bool("update", false, "write the files of the SQS events")

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// read decodes a body and requires that Segment would take every event of it.
func read(t *testing.T, body string) *message.Content {
	t.Helper()
	d, err := message.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var m message.Content
	if err := d.Decode([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Events {
		if p := m.Events[i].Problem; p != nil {
			t.Errorf("event %d: %v", i, p)
		}
	}
	return &m
}

// kind is an event's type.
func kind(t *testing.T, e *event.Event) string {
	t.Helper()
	var fields struct{ Type string }
	if err := json.Unmarshal(e.Raw, &fields); err != nil {
		t.Fatal(err)
	}
	return fields.Type
}

func TestTheSingleEventsAreValidAndHaveNoIdentity(t *testing.T) {
	for name, want := range map[string]string{"track.json": "track", "identify.json": "identify"} {
		m := read(t, string(file(t, name)))
		if len(m.Events) != 1 || kind(t, &m.Events[0]) != want || m.WriteKey != "" {
			t.Errorf("%s: %d events, the first a %s, write key %q", name, len(m.Events), kind(t, &m.Events[0]), m.WriteKey)
		}
		if m.Events[0].Identified() {
			t.Errorf("%s has a messageId and a timestamp: what a person sends has none", name)
		}
	}
}

func TestTheBatchIsValidAndHasAHeader(t *testing.T) {
	m := read(t, string(file(t, "batch.json")))
	var kinds []string
	for i := range m.Events {
		kinds = append(kinds, kind(t, &m.Events[i]))
		if !m.Events[i].Identified() {
			t.Errorf("event %d has no messageId or no timestamp", i)
		}
	}
	if fmt.Sprint(kinds) != "[identify track page]" {
		t.Errorf("types %v", kinds)
	}
	if m.WriteKey == "" || !m.HasOrigin || m.Context == nil || m.Integrations == nil || m.ReceivedAt.IsZero() {
		t.Errorf("header %+v", m.Header)
	}
}

// sent is the time at which the messages of the SQS events were sent.
var sent = time.Date(2026, 11, 23, 10, 15, 30, 412_000_000, time.UTC)

func md5Of(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

func record(id, receipt string, m message.Message) map[string]any {
	attributes := map[string]any{}
	for name, a := range m.Attributes {
		attributes[name] = map[string]any{"stringValue": a.Text, "stringListValues": []string{},
			"binaryListValues": []string{}, "dataType": a.Type}
	}
	return map[string]any{
		"messageId":     id,
		"receiptHandle": receipt,
		"body":          m.Body,
		"attributes": map[string]string{
			"ApproximateReceiveCount": "1", "SentTimestamp": strconv.FormatInt(sent.UnixMilli(), 10),
			"SenderId": "AIDAIENQZJOLO23YVJ4VO", "ApproximateFirstReceiveTimestamp": strconv.FormatInt(sent.UnixMilli()+3, 10),
		},
		"messageAttributes": attributes,
		"md5OfBody":         md5Of(m.Body),
		"eventSource":       "aws:sqs",
		"eventSourceARN":    "arn:aws:sqs:us-east-1:123456789012:spillway-events",
		"awsRegion":         "us-east-1",
	}
}

func sqsEvent(t *testing.T, records ...map[string]any) []byte {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{"Records": records}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// checkFile compares a file with what it must be; -update writes it.
func checkFile(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(file(t, name), want) {
		t.Errorf("%s is not what the code makes: run go test ./events -update", name)
	}
}

// records reads a file as a handler written with aws-lambda-go does.
func records(t *testing.T, name string) []lambda.SQSMessage {
	t.Helper()
	var e lambda.SQSEvent
	if err := json.Unmarshal(file(t, name), &e); err != nil {
		t.Fatal(err)
	}
	for _, r := range e.Records {
		if r.MessageId == "" || r.ReceiptHandle == "" || r.EventSource != "aws:sqs" || r.EventSourceARN == "" ||
			r.Md5OfBody != md5Of(r.Body) ||
			r.Attributes["ApproximateReceiveCount"] != "1" ||
			r.Attributes["SentTimestamp"] != strconv.FormatInt(sent.UnixMilli(), 10) {
			t.Errorf("%s: record %+v", name, r)
		}
	}
	return e.Records
}

func TestTheSQSEventHoldsASingleEventAndABatch(t *testing.T) {
	compact := func(name string) message.Message {
		var out bytes.Buffer
		if err := json.Compact(&out, file(t, name)); err != nil {
			t.Fatal(err)
		}
		return message.Message{Body: out.String()}
	}
	checkFile(t, "sqs-event.json", sqsEvent(t,
		record("059f36b4-87a3-44ab-83d2-661975830a7d", "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", compact("track.json")),
		record("2e1424d4-f796-459a-8184-9c92662be6da", "AQEBzWwaftRI0KuVm4tP+/7q1rGgNqicHq", compact("batch.json")),
	))
	got := records(t, "sqs-event.json")
	if len(got) != 2 {
		t.Fatalf("%d records, want 2", len(got))
	}
	for i, want := range []int{1, 3} {
		if m := read(t, got[i].Body); len(m.Events) != want {
			t.Errorf("record %d holds %d events, want %d", i, len(m.Events), want)
		}
	}
}

func TestThePackedSQSEventIsWhatThePackerMakes(t *testing.T) {
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	header := message.Header{
		WriteKey: "YOUR_WRITE_KEY", Context: []byte(`{"library":{"name":"spillway","version":"1.0.0"}}`),
		ReceivedAt: sent.Add(-162 * time.Millisecond),
	}
	p := message.NewPacker(header, compressor)
	var want [][]byte
	for i := range 50 {
		at := sent.Add(time.Duration(i-60) * 20 * time.Millisecond).Format(event.TimeFormat)
		identity := fmt.Sprintf(`"messageId":"1b9d6bcd-bbfd-4b2d-9b5d-%012d","timestamp":"%s","userId":"user-%d"`, i, at,
			8000+i%7)
		event := fmt.Appendf(nil,
			`{"type":"track",%s,"event":"Product Viewed","properties":{"product_id":"sku-%d","price":%d.5,"position":%d}}`,
			identity, 100+i*13%17, 5+i%20, i)
		if i%10 == 0 {
			event = fmt.Appendf(nil, `{"type":"identify",%s,"traits":{"plan":"premium","logins":%d}}`, identity, i)
		}
		p.Add(event)
		want = append(want, event)
	}
	packed := p.Pack()
	checkFile(t, "sqs-event-packed.json",
		sqsEvent(t, record("c80e8021-a70a-42c7-a470-796e1186f753", "AQEBMJRLDYbo5ZyDfbXGMvdGEVzPjBA5aK", packed)))

	got := records(t, "sqs-event-packed.json")
	if len(got) != 1 {
		t.Fatalf("%d records, want 1", len(got))
	}
	for name, value := range map[string]string{
		message.AttrContentEncoding: "String zstd", message.AttrEventCount: "Number 50", message.AttrOrigin: "String server",
	} {
		if a := got[0].MessageAttributes[name]; a.StringValue == nil || a.DataType+" "+*a.StringValue != value {
			t.Errorf("attribute %s is %+v, want %s", name, a, value)
		}
	}
	m := read(t, got[0].Body)
	if m.WriteKey != header.WriteKey || !m.ReceivedAt.Equal(header.ReceivedAt) ||
		string(m.Context) != string(header.Context) || len(m.Events) != len(want) {
		t.Fatalf("%d events, header %+v", len(m.Events), m.Header)
	}
	for i := range want {
		if !bytes.Equal(m.Events[i].Raw, want[i]) || !m.Events[i].Identified() {
			t.Errorf("event %d is %s, want %s", i, m.Events[i].Raw, want[i])
		}
	}
}
