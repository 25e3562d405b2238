package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var _ sqsclient.API = directClient{}

// What ingest meets on this machine must be what it meets with the SDK.
func TestTheDirectClientAnswersAsTheSDK(t *testing.T) {
	server, err := sqs.Open(sqs.Options{Dir: "data", FS: new(store.Mem), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sdk", "direct"} {
		if _, err := server.CreateQueue(name, map[string]string{"MaximumMessageSize": "2048"}); err != nil {
			t.Fatal(err)
		}
	}
	sdk := Client("http://sqs.local", func(o *awssqs.Options) {
		o.HTTPClient, o.RetryMaxAttempts = server.HTTPClient(), 1
	})
	direct := directClient{sdk, server}
	entry := func(id int, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(id)), MessageBody: &body}
	}
	with := func(e types.SendMessageBatchRequestEntry, group, name, kind,
		value string) types.SendMessageBatchRequestEntry {
		if group != "" {
			e.MessageGroupId = &group
		}
		if name != "" {
			e.MessageAttributes = map[string]types.MessageAttributeValue{name: {DataType: &kind, StringValue: &value}}
		}
		return e
	}
	many := make([]types.SendMessageBatchRequestEntry, 11)
	for i := range many {
		many[i] = entry(i, "x")
	}
	cases := map[string][]types.SendMessageBatchRequestEntry{
		"good":                 {entry(0, "a"), with(entry(1, "ü"), "group", "events", "Number", "3")},
		"an empty body":        {entry(0, ""), entry(1, "b")},
		"a forbidden body":     {entry(0, "\x01"), entry(1, "b")},
		"a body that is large": {entry(0, strings.Repeat("x", 2049)), entry(1, "b")},
		"all are refused":      {entry(0, "\x01")},
		"a wrong group":        {with(entry(0, "a"), "a group", "", "", "")},
		"a wrong attribute":    {with(entry(0, "a"), "", "AWS.x", "String", "v")},
		"an empty attribute":   {with(entry(0, "a"), "", "x", "String", "")},
		"an unknown type":      {with(entry(0, "a"), "", "x", "Thing", "v")},
		"none":                 {},
		"too many":             many,
		"an ID twice":          {entry(0, "a"), entry(0, "b")},
		"all are too large":    {entry(0, strings.Repeat("x", 600<<10)), entry(1, strings.Repeat("x", 600<<10))},
	}
	same := func(name string) {
		got, want := sendWith(t, direct, "direct", cases[name]), sendWith(t, sdk, "sdk", cases[name])
		if got != want {
			t.Errorf("%s: the direct client answers\n%s, the SDK\n%s", name, got, want)
		}
	}
	for name := range cases {
		same(name)
	}
	if got := sendWith(t, direct, "direct", []types.SendMessageBatchRequestEntry{entry(0, "\xff")}); !strings.Contains(got,
		"UTF-8") {
		t.Errorf("what is not UTF-8 is answered %s", got)
	}
	missing := cases["good"]
	var gone *types.QueueDoesNotExist
	_, err = direct.SendMessageBatch(t.Context(),
		&awssqs.SendMessageBatchInput{QueueUrl: aws.String("x/1/no"), Entries: missing})
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "the queue no") {
		t.Errorf("an unknown queue: %v", err)
	}
	a, _ := server.Queue("direct")
	b, _ := server.Queue("sdk")
	if a, b := a.Stats(), b.Stats(); a.Sent != b.Sent || a.Sent == 0 {
		t.Errorf("%d messages are in the queue, with the SDK %d", a.Sent, b.Sent)
	}
	received := func(q *sqs.Queue) (all []string) {
		messages, err := q.Receive(t.Context(), 10, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			all = append(all, fmt.Sprint(m.Body, m.MD5OfBody, m.MD5OfMessageAttributes, m.MessageAttributes,
				m.Attributes["MessageGroupId"]))
		}
		return all
	}
	if got, want := received(a), received(b); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("received are %q, with the SDK %q", got, want)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	same("good")
}

// sendWith sends entries to a queue and describes the answer, without what differs from send to send.
func sendWith(t *testing.T, api sqsclient.SendAPI, queue string, entries []types.SendMessageBatchRequestEntry) string {
	t.Helper()
	out, err := api.SendMessageBatch(context.WithoutCancel(t.Context()),
		&awssqs.SendMessageBatchInput{QueueUrl: aws.String("http://sqs.local/1/" + queue), Entries: entries})
	if err != nil {
		var refused smithy.APIError
		if !errors.As(err, &refused) {
			t.Fatalf("an error without a code: %v", err)
		}
		return fmt.Sprintf("%s: %s", refused.ErrorCode(), refused.ErrorMessage())
	}
	var text strings.Builder
	for _, s := range out.Successful {
		fmt.Fprintf(&text, "%s ok, ", *s.Id)
	}
	for _, f := range out.Failed {
		fmt.Fprintf(&text, "%s failed, %v %s %s, ", *f.Id, f.SenderFault, *f.Code, *f.Message)
	}
	return text.String()
}
