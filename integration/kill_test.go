package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// accepted sends n events, 20 in a message, and returns their ids when SQS has accepted them.
func accepted(t *testing.T, c *sqs.Client, queueURL, prefix string, n int) []string {
	t.Helper()
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	packer := message.NewPacker(message.Header{WriteKey: "test"}, compressor)
	var ids []string
	var messages []message.Message
	for i := range n {
		id := fmt.Sprint(prefix, "-", i)
		ids = append(ids, id)
		packer.Add(fmt.Appendf(nil,
			`{"type":"track","userId":"u%d","event":"E","messageId":%q,"timestamp":"2026-01-02T03:04:05.000Z","properties":{"n":%d}}`, i, id, i))
		if packer.Len() == 20 || i == n-1 {
			messages = append(messages, packer.Pack())
		}
	}
	if err := sqsclient.New(c, queueURL).Send(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	return ids
}

// allArrived checks that all accepted events have arrived, unchanged, and no others.
func allArrived(t *testing.T, o *localtest.Arrivals, ids []string) {
	t.Helper()
	for _, id := range ids {
		if len(o.Get(id)) == 0 {
			t.Fatalf("event %s was accepted and never arrived", id)
		}
	}
	noneElse(t, o, ids)
}

// noneElse checks that only events with these ids have arrived, and that duplicates are equal.
func noneElse(t *testing.T, o *localtest.Arrivals, ids []string) {
	t.Helper()
	arrived, duplicates := 0, 0
	for _, id := range ids {
		forms := o.Get(id)
		if len(forms) == 0 {
			continue
		}
		arrived++
		duplicates += len(forms) - 1
		for _, form := range forms {
			if !bytes.Equal(form.Raw, forms[0].Raw) || !json.Valid(form.Raw) {
				t.Fatalf("event %s arrived twice with different content: %s and %s", id, forms[0].Raw, form.Raw)
			}
		}
	}
	if o.Distinct() != arrived {
		t.Errorf("%d distinct events arrived, %d of them were sent", o.Distinct(), arrived)
	}
	t.Logf("%d events sent, %d arrived, %d duplicates", len(ids), arrived, duplicates)
}

var upKills = flag.Int("up-kills", 2, "how many times the local pipeline is killed")

func TestUpDeliversEveryAcceptedEventWhenKilled(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	_, segmentURL := localtest.Segment(t, segmentd.Options{Latency: 30 * time.Millisecond, OnEvent: o.Add, EventLimit: -1})
	dir := t.TempDir()
	args := []string{"--data-dir=" + dir, "--segment=" + segmentURL}
	const perRound = 5000
	var ids []string
	for round := range *upKills {
		p := spillwayUp(t, args...)
		before := o.Distinct()
		endpoint := strings.TrimSuffix(p.Address, local.QueueURL("", topology.DefaultNames().EventsQueue))
		ids = append(ids, accepted(t, localtest.Client(endpoint), p.Address, fmt.Sprint("round", round), perRound)...)
		// Kill it while some events have arrived, some are under way and some wait in the queue.
		o.Await(t, "the first arrivals", func() bool { return o.Distinct() > before+perRound/10*round })
		p.Kill()
	}
	spillwayUp(t, args...)
	o.Await(t, "all events", func() bool { return o.Distinct() >= len(ids) })
	allArrived(t, o, ids)
}

func TestAFunctionKilledInMidFlushLosesNoEvent(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	f := deployed(t, o, 100*time.Millisecond)
	ids := accepted(t, f.client, f.queueURL, "killed", 2000)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.delivery.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for range 5 {
		o.Await(t, "a flush under way", func() bool {
			return f.segment.Stats().InFlight > 0 && f.processes() > 0 || o.Distinct() >= len(ids)
		})
		if o.Distinct() < len(ids) {
			f.killOne(t)
		}
	}
	o.Await(t, "all events", func() bool { return o.Distinct() >= len(ids) })
	allArrived(t, o, ids)
	o.Await(t, "an empty queue", func() bool {
		s := f.events.Stats()
		return s.Visible+s.InFlight == 0
	})
	cancel()
	running.Wait()
	if f.delivery.Stats().Failed == 0 {
		t.Error("no invocation failed: nothing was killed in the middle of one")
	}
}

func TestTheBuiltFunctionDeliversTheSampleEvents(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	f := deployed(t, o, 0)
	for _, name := range []string{"sqs-event.json", "sqs-event-packed.json"} {
		before := o.Distinct()
		answer, err := f.delivery.Function.Invoke(t.Context(), []byte(sample(t, name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(answer) != `{"batchItemFailures":[]}` {
			t.Errorf("%s: answered %s", name, answer)
		}
		if o.Distinct() == before {
			t.Errorf("%s: no event arrived", name)
		}
	}
	if _, err := f.delivery.Function.Invoke(t.Context(), []byte(`{"hello":"world"}`)); err == nil {
		t.Error("a payload that is not an SQS event was accepted")
	}
}

func TestAFailedMessageIsReportedAndItsVisibilityTimeoutChanged(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	f := deployed(t, o, 0)
	if err := f.segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{{Status: 503}}}); err != nil {
		t.Fatal(err)
	}
	accepted(t, f.client, f.queueURL, "failing", 1)
	out, err := f.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(f.queueURL), MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		MessageAttributeNames: []string{"All"},
	})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("received %d messages: %v", len(out.Messages), err)
	}
	m := out.Messages[0]
	payload, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"messageId": m.MessageId, "receiptHandle": m.ReceiptHandle, "body": m.Body, "attributes": m.Attributes,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.delivery.Function.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q}]}`, *m.MessageId); string(answer) != want {
		t.Errorf("answered %s, want %s", answer, want)
	}
	// The function has set a visibility timeout of 27 s to 33 s. Otherwise the message would be
	// visible after the queue's timeout of 1 s.
	back, err := f.client.ReceiveMessage(t.Context(),
		&sqs.ReceiveMessageInput{QueueUrl: aws.String(f.queueURL), WaitTimeSeconds: 2})
	if err != nil || len(back.Messages) != 0 {
		t.Errorf("the message was received before its visibility timeout ended: %d messages, %v", len(back.Messages), err)
	}
}

var quiet = slog.New(slog.DiscardHandler)
