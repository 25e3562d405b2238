package local_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/event"
)

// sendInBulk puts an event into the bulk queue.
func sendInBulk(t *testing.T, p *local.Pipeline, writeKey, id string) {
	t.Helper()
	_, err := localtest.Client(p.SQSURL).SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: aws.String(p.QueueURL(topology.DefaultNames().BulkQueue)),
		MessageBody: aws.String(`{"writeKey":"` + writeKey +
			`","batch":[{"type":"track","userId":"u","event":"e","messageId":"` + id + `"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheBulkQueueIsDeliveredBesideTheEventsQueue(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	sendTo(t, p, "wk", "fresh")
	sendInBulk(t, p, "wk", "redriven")
	arrivals.AwaitEvent(t, "fresh")
	arrivals.AwaitEvent(t, "redriven")
	arrivals.Await(t, "both queues to be empty", func() bool {
		s := p.Status()
		return s.Backlog == 0 && s.Bulk.Backlog == 0
	})
	if s := p.Status(); s.Accepted != 1 || s.Bulk.Sent != 1 || s.Delivered != 2 || s.Bulk.OldestAge != 0 {
		t.Errorf("%d events accepted, %d sent in bulk, %d delivered, the oldest in bulk is %v old", s.Accepted, s.Bulk.Sent,
			s.Delivered, s.Bulk.OldestAge)
	}
}

// A message that is retained is one of its own queue.
func TestWhatIsRetainedOfTheBulkQueueWaitsThere(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	key := `{"key":"` + event.KeyID("partner") + `","by":"ann"}`
	if _, status, text := toggle(t, p, local.PausePath, key); status != http.StatusOK {
		t.Fatal(text)
	}
	sendInBulk(t, p, "partner", "waits")
	arrivals.Await(t, "the event to be retained", func() bool {
		s := p.Status()
		return s.Retried > 0 && s.Bulk.InFlight == 1
	})
	if s := p.Status(); s.Bulk.BacklogEvents != 1 || s.Backlog != 0 || s.BacklogEvents != 0 {
		t.Errorf("the bulk queue holds %+v, the events queue %d messages", s.Bulk, s.Backlog)
	}
}

func TestAPauseStopsBothQueues(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	if _, status, text := toggle(t, p, local.PausePath, `{"by":"ann"}`); status != http.StatusOK {
		t.Fatal(text)
	}
	sendTo(t, p, "wk", "fresh")
	sendInBulk(t, p, "wk", "redriven")
	if s := p.Status(); s.Backlog != 1 || s.Bulk.Backlog != 1 || s.Invocations != 0 {
		t.Errorf("while it is paused the queues hold %d and %d messages, after %d invocations", s.Backlog, s.Bulk.Backlog,
			s.Invocations)
	}
	toggle(t, p, local.ResumePath, `{}`)
	arrivals.AwaitEvent(t, "fresh")
	arrivals.AwaitEvent(t, "redriven")
}

// A data directory of a version before the bulk queue, in which somebody has restored the dead-letter
// queue, has one that takes the dead letters of the events queue only.
func TestADeadLetterQueueThatTakesTheEventsQueuesOnlyIsCorrected(t *testing.T) {
	server, url := localtest.SQS(t)
	d := topology.Default()
	n := d.Names
	if _, err := server.CreateQueue(n.DeadLetterQueue, map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"byQueue","sourceQueueArns":["` + local.QueueARN(n.EventsQueue) + `"]}`}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := local.CreateQueues(server, &d); err != nil {
			t.Fatal(err)
		}
	}
	got, err := localtest.Client(url).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(local.QueueURL(url, n.DeadLetterQueue)), AttributeNames: []types.QueueAttributeName{"All"}})
	want := `{"redrivePermission":"byQueue","sourceQueueArns":["` + local.QueueARN(n.EventsQueue) + `","` +
		local.QueueARN(n.BulkQueue) + `"]}`
	if err != nil || got.Attributes["RedriveAllowPolicy"] != want {
		t.Errorf("%v: it takes those of %s, want %s", err, got.Attributes["RedriveAllowPolicy"], want)
	}
}
