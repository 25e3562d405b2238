package oracle

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
)

// world is the deployed pipeline in one process without a socket: the SQS emulator, the Lambda
// emulator, the handler and the Segment emulator, with the topology's numbers.
type world struct {
	*virtual.World
	client *awssqs.Client // without faults
}

// parts are what a test puts between the parts of a world.
type parts struct {
	gzip         bool
	arrive       func(segmentd.Received)
	report       func(deliver.Report)                      // may be nil
	out          io.Writer                                 // gets the function's log and metrics; nil: they are discarded
	queue        func(w *world, name string) lambda.Queue  // for its event source
	transport    func(http.RoundTripper) http.RoundTripper // of the function's calls to SQS
	toSegment    func(http.RoundTripper) http.RoundTripper // of its calls to Segment; may be nil
	environments func(lambda.EnvironmentFactory) lambda.EnvironmentFactory
	handler      func(deliver.Config) (lambda.Handler, error)
	archive      archive.Appender // nil: there is none
}

var queueURL = virtual.QueueURL

// start builds a world and runs it. Start and end must be called in the same synctest bubble.
func start(t *testing.T, p parts) *world {
	t.Helper()
	production := topology.Default()
	emulators, err := virtual.New(&production, segmentd.Options{OnEvent: p.arrive, EventLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{emulators, virtual.Client(emulators.Uninterrupted())}

	options := local.PipelineOptions(&production, virtual.Endpoint)
	options.SegmentURL, options.Gzip, options.WriteKey = virtual.SegmentURL, p.gzip, local.WriteKey
	connected := appdeliver.Parts{
		SQS:       virtual.Client(p.transport(w.ToSQS())),
		Transport: w.Segment.HTTPClient().Transport, Metrics: io.Discard, Logger: quiet, Report: p.report,
		Archive: p.archive,
	}
	if p.toSegment != nil {
		connected.Transport = p.toSegment(connected.Transport)
	}
	if p.out != nil {
		connected.Metrics, connected.Logger = p.out, slog.New(slog.NewJSONHandler(p.out, nil))
	}
	newHandler := func() (lambda.Handler, error) {
		c, _, err := appdeliver.Configure(options.Deliver(), connected)
		if err != nil {
			return nil, err
		}
		return p.handler(c)
	}
	if err := w.Deliver(func(queue string) lambda.Queue { return p.queue(w, queue) },
		p.environments(lambda.InProcess(newHandler))); err != nil {
		t.Fatal(err)
	}
	return w
}

// feed is a queue without faults.
func (w *world) feed(queue string) lambda.Queue { return w.Feed(queue) }

// powerCut ends the SQS emulator, and starts it on what was synced until then.
func (w *world) powerCut(t *testing.T) {
	t.Helper()
	if err := w.PowerCut(); err != nil {
		t.Error(err)
	}
}

// allowReceives sets after how many receives SQS moves a message to the dead-letter queue.
func (w *world) allowReceives(t *testing.T, most int) {
	t.Helper()
	if err := w.AllowReceives(t.Context(), most); err != nil {
		t.Fatal(err)
	}
}

// end stops what start started.
func (w *world) end(t *testing.T) {
	t.Helper()
	if err := w.End(); err != nil {
		t.Error(err)
	}
}

func realHandler(c deliver.Config) (lambda.Handler, error) { return deliver.New(c) }

// readDeadLetters reads a dead-letter queue until it has seen all messages in it. When an answer of
// SQS is lost, its messages can be received again after their visibility timeout.
func readDeadLetters(t *testing.T, client *awssqs.Client, url string) (all []deadLetter) {
	t.Helper()
	const invisible = 10 * time.Second
	seen := map[string]bool{}
	for {
		out, err := client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			VisibilityTimeout:           int32(invisible.Seconds()),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			if id := aws.ToString(m.MessageId); !seen[id] {
				seen[id] = true
				text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
				d := deadLetter{id: text(message.AttrDeadLetterID), reason: text(message.AttrReason),
					detail: text(message.AttrDetail), firstSeen: text(message.AttrFirstSeen), body: aws.ToString(m.Body)}
				if m.Attributes["DeadLetterQueueSourceArn"] != "" {
					d = deadLetter{id: "moved/" + id, reason: message.ReasonMovedBySQS, detail: "received too often", body: d.body}
				}
				all = append(all, d)
			}
		}
		if len(out.Messages) > 0 {
			continue
		}
		if size(t, client, url) == len(all) {
			return all
		}
		time.Sleep(invisible / 10)
	}
}

// size is how many messages a queue holds.
func size(t *testing.T, client *awssqs.Client, url string) (n int) {
	t.Helper()
	const visible, inFlight = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
	out, err := client.GetQueueAttributes(t.Context(),
		&awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{visible, inFlight}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{visible, inFlight} {
		some, err := strconv.Atoi(out.Attributes[name])
		if err != nil {
			t.Fatal(err)
		}
		n += some
	}
	return n
}

var quiet = slog.New(slog.DiscardHandler)
