package oracle

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
)

// world is the deployed pipeline in one process without a socket: the SQS emulator, the Lambda
// emulator, the handler and the Segment emulator, with the topology's numbers.
type world struct {
	sqs          *sqs.Server
	events, dead *sqs.Queue
	segment      *segmentd.Server
	function     *lambda.Function
	mapping      *lambda.EventSourceMapping
	client       *awssqs.Client // without faults
	running      sync.WaitGroup
	stop         context.CancelFunc
}

// parts are what a test puts between the parts of a world.
type parts struct {
	gzip         bool
	arrive       func(segmentd.Received)
	report       func(deliver.Report) // may be nil
	out          io.Writer            // gets the function's log and metrics; nil: they are discarded
	queue        func(w *world, q lambda.Queue) lambda.Queue
	transport    func(http.RoundTripper) http.RoundTripper // of the function's calls to SQS
	environments func(lambda.EnvironmentFactory) lambda.EnvironmentFactory
	handler      func(deliver.Config) (awslambda.Handler, error)
}

const endpoint = "http://sqs.test"

func queueURL(name string) string { return local.QueueURL(endpoint, name) }

// start builds a world and runs it. Start and end must be called in the same synctest bubble.
func start(t *testing.T, p parts) *world {
	t.Helper()
	production := topology.Default()
	w := &world{segment: segmentd.New(segmentd.Options{OnEvent: p.arrive, EventLimit: -1})}
	server, err := sqs.Open(sqs.Options{
		Dir: "data", FS: vfs.NewMem(), Region: local.Region, AccountID: local.AccountID,
		CountAttribute: message.AttrEventCount, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sqs = server
	if err := local.CreateQueues(server, &production); err != nil {
		t.Fatal(err)
	}
	w.events, _ = server.Queue(topology.DefaultNames().EventsQueue)
	w.dead, _ = server.Queue(topology.DefaultNames().DeadLetterQueue)
	w.client = localtest.Client(endpoint, localtest.Via(server.HTTPClient().Transport))

	options := local.PipelineOptions(&production, endpoint)
	options.SegmentURL, options.Gzip, options.WriteKey = "http://segment.test", p.gzip, local.WriteKey
	connected := appdeliver.Parts{
		SQS:       localtest.Client(endpoint, localtest.Via(p.transport(server.HTTPClient().Transport))),
		Transport: w.segment.HTTPClient().Transport, Metrics: io.Discard, Logger: quiet, Report: p.report,
	}
	if p.out != nil {
		connected.Metrics, connected.Logger = p.out, slog.New(slog.NewJSONHandler(p.out, nil))
	}
	newHandler := func() (awslambda.Handler, error) {
		c, _, err := appdeliver.Configure(options.Deliver(), connected)
		if err != nil {
			return nil, err
		}
		return p.handler(c)
	}
	w.function, w.mapping, err = local.NewDelivery(&production, p.queue(w, local.Feed(w.events)),
		p.environments(lambda.InProcess(newHandler)), quiet)
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.running.Go(func() {
		if err := w.mapping.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

func realHandler(c deliver.Config) (awslambda.Handler, error) { return deliver.New(c) }

// end stops what start started.
func (w *world) end(t *testing.T) {
	t.Helper()
	w.stop()
	w.running.Wait()
	w.function.Close()
	if err := w.sqs.Close(); err != nil {
		t.Error(err)
	}
}

// drained waits until the events queue is empty and reports whether that was within the time.
func (w *world) drained(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(10 * time.Second) {
		if s := w.events.Stats(); s.Visible+s.InFlight+s.Delayed == 0 {
			return true
		}
	}
	return false
}

// readDeadLetters reads a dead-letter queue until it has seen all messages in it. When an answer of
// SQS is lost, its messages can be received again after their visibility timeout.
func readDeadLetters(t *testing.T, client *awssqs.Client, url string) (all []deadLetter) {
	t.Helper()
	const invisible = 10 * time.Second
	seen := map[string]bool{}
	for {
		out, err := client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			VisibilityTimeout: int32(invisible.Seconds()),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			if id := aws.ToString(m.MessageId); !seen[id] {
				seen[id] = true
				text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
				all = append(all, deadLetter{text(message.AttrDeadLetterID), text(message.AttrReason), text(message.AttrDetail),
					aws.ToString(m.Body)})
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
