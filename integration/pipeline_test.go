package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/message"
)

func sample(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnEventFromTheSDKArrivesAtSegmentWithEveryFieldIntact(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	p := localtest.Start(t, local.Config{OnEvent: o.Add})
	c := localtest.Client(p.SQSURL)
	queueURL := aws.String(p.QueueURL(topology.DefaultNames().EventsQueue))
	sent, err := c.SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: queueURL, MessageBody: aws.String(sample(t, "track.json"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: queueURL, MessageBody: aws.String(sample(t, "batch.json"))}); err != nil {
		t.Fatal(err)
	}
	o.Await(t, "the event and the batch", func() bool { return o.Distinct() == 4 })

	got := o.Get(aws.ToString(sent.MessageId) + "-0")
	if len(got) != 1 {
		t.Fatalf("the single event arrived %d times under its message's id", len(got))
	}
	var arrived, want map[string]any
	if err := json.Unmarshal(got[0].Raw, &arrived); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(sample(t, "track.json")), &want); err != nil {
		t.Fatal(err)
	}
	if arrived["timestamp"] == nil {
		t.Error("the event has no timestamp")
	}
	delete(arrived, "timestamp")
	delete(arrived, "messageId")
	if fmt.Sprint(arrived) != fmt.Sprint(want) {
		t.Errorf("arrived: %v\nsent:    %v", arrived, want)
	}
}

// deadLetters reads all dead letters, by their reason.
func deadLetters(t *testing.T, p *local.Pipeline) map[string][]types.Message {
	t.Helper()
	found := map[string][]types.Message{}
	for {
		out, err := localtest.Client(p.SQSURL).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(p.QueueURL(topology.DefaultNames().DeadLetterQueue)), MaxNumberOfMessages: 10,
			MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return found
		}
		for _, m := range out.Messages {
			reason := aws.ToString(m.MessageAttributes[message.AttrReason].StringValue)
			found[reason] = append(found[reason], m)
		}
	}
}

func TestBadEventsBecomeDeadLettersAndTheOthersAreDelivered(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	p := localtest.Start(t, local.Config{OnEvent: o.Add})
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	event := func(id, more string) string {
		return fmt.Sprintf(`{"type":"track","userId":"u1","event":"E","messageId":%q,"timestamp":"2026-01-02T03:04:05Z"%s}`,
			id, more)
	}
	var good []string
	batch := func(prefix string, n int, bad ...string) string {
		var events []string
		for i := range n {
			id := fmt.Sprint(prefix, i)
			good = append(good, id)
			events = append(events, event(id, ""))
		}
		return `{"batch":[` + strings.Join(append(events, bad...), ",") + `]}`
	}
	large := func(n int) string { return `,"properties":{"x":"` + strings.Repeat("x", n) + `"}` }
	var big []string // 501 KB of good events
	for i := range 20 {
		id := fmt.Sprint("big", i)
		good = append(good, id)
		big = append(big, event(id, large(25_000)))
	}
	packed := compressor.Compress([]byte(batch("packed", 1)))
	good = append(good, "null-user", "wrong-attributes", "dup")
	expected, sum := map[string]int{}, 0
	for _, body := range []struct {
		text   string
		reason string // of the one dead letter that it becomes; empty: none
	}{
		{"not JSON", "undecodable"},
		{"   ", "undecodable"},
		{`{"batch":[]}`, "undecodable"},
		{`[1,2]`, "undecodable"},
		{batch("with-bad", 249, `{"type":"track","event":"no user","messageId":"bad"}`), "invalid"},
		{`{"batch":[` + event("33kb", large(33<<10)) + `]}`, "too_large"},
		{`{"batch":[` + strings.Join(big, ",") + `]}`, ""},
		{batch("many", 2501), ""},
		{`{"type":"x","type":"track","userId":"u1","event":"E","messageId":"first","messageId":"dup","timestamp":"2026-01-02T03:04:05Z"}`, ""},
		{event("deep", `,"properties":`+strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000)), "invalid"},
		{event("deep2", `,"properties":`+strings.Repeat(`[`, 10_000)+strings.Repeat("]", 10_000)), "invalid"},
		{"KLUv/!!!!", "undecodable"},
		{packed[:len(packed)/2/4*4], "undecodable"},
		{packed, ""},
		{compressor.Compress([]byte(`{"batch":[` + strings.Repeat(" ", 64<<20) + `]}`)), "too_large"},
		{compressor.Compress([]byte(batch("utf8-", 3, event("not-utf8", ",\"x\":\"\xff\"")))), "invalid"},
		{event("null-user", `,"userId":null,"anonymousId":"a1"`), ""},
	} {
		_, err := localtest.Client(p.SQSURL).SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: aws.String(p.QueueURL(topology.DefaultNames().EventsQueue)), MessageBody: aws.String(body.text),
		})
		if err != nil {
			t.Fatalf("send %.60q: %v", body.text, err)
		}
		if body.reason != "" {
			expected[body.reason]++
			sum++
		}
	}
	_, err = localtest.Client(p.SQSURL).SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl:    aws.String(p.QueueURL(topology.DefaultNames().EventsQueue)),
		MessageBody: aws.String(event("wrong-attributes", "")),
		MessageAttributes: map[string]types.MessageAttributeValue{
			message.AttrEventCount:      {DataType: aws.String("Number"), StringValue: aws.String("2000")},
			message.AttrContentEncoding: {DataType: aws.String("String"), StringValue: aws.String("zstd")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Await(t, "an empty queue", func() bool { return p.Status().Backlog == 0 })

	for _, id := range good {
		if n := len(o.Get(id)); n != 1 {
			t.Errorf("good event %s arrived %d times", id, n)
		}
	}
	if extra := o.Distinct() - len(good); extra != 0 {
		t.Errorf("%d events arrived that are not among the good ones", extra)
	}
	found := deadLetters(t, p)
	for reason, want := range expected {
		if len(found[reason]) != want {
			t.Errorf("%d dead letters say %s, want %d", len(found[reason]), reason, want)
		}
		for _, m := range found[reason] {
			if detail := aws.ToString(m.MessageAttributes[message.AttrDetail].StringValue); len(detail) < 10 {
				t.Errorf("the detail %q of %.50q is too short to explain anything", detail, aws.ToString(m.Body))
			}
		}
	}
	if s := p.Status(); s.Delivered != int64(len(good)) || s.DeadLettered != int64(sum) || s.Retried != 0 {
		t.Errorf("delivered %d of %d, dead letters %d of %d, retried %d of 0", s.Delivered, len(good), s.DeadLettered, sum,
			s.Retried)
	}
}
