package oracle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	appdeliver "github.com/spillwayhq/spillway/shared/app/deliver"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
)

// world is the deployed pipeline in one process without a socket: the SQS emulator, the Lambda
// emulator, the handler and the Segment emulator, with the topology's numbers.
type world struct {
	server   atomic.Pointer[sqs.Server]
	fs       *store.Mem
	life     sync.RWMutex // held for writing by a power cut, and for reading by requests without faults
	segment  *segmentd.Server
	function *lambda.Function
	mapping  *lambda.EventSourceMapping
	client   *awssqs.Client // without faults
	running  sync.WaitGroup
	stop     context.CancelFunc
}

// parts are what a test puts between the parts of a world.
type parts struct {
	gzip         bool
	arrive       func(segmentd.Received)
	report       func(deliver.Report) // may be nil
	out          io.Writer            // gets the function's log and metrics; nil: they are discarded
	queue        func(w *world, q lambda.Queue) lambda.Queue
	transport    func(http.RoundTripper) http.RoundTripper // of the function's calls to SQS
	toSegment    func(http.RoundTripper) http.RoundTripper // of its calls to Segment; may be nil
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
	w.fs = new(store.Mem)
	w.openSQS(t)
	if err := local.CreateQueues(w.server.Load(), &production); err != nil {
		t.Fatal(err)
	}
	w.client = localtest.Client(endpoint, localtest.Via(uninterrupted{w}))

	options := local.PipelineOptions(&production, endpoint)
	options.SegmentURL, options.Gzip, options.WriteKey = "http://segment.test", p.gzip, local.WriteKey
	connected := appdeliver.Parts{
		SQS:       localtest.Client(endpoint, localtest.Via(p.transport(toSQS{w}))),
		Transport: w.segment.HTTPClient().Transport, Metrics: io.Discard, Logger: quiet, Report: p.report,
	}
	if p.toSegment != nil {
		connected.Transport = p.toSegment(connected.Transport)
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
	var err error
	w.function, w.mapping, err = local.NewDelivery(&production, p.queue(w, toQueue{w}),
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

// openSQS starts the SQS emulator on the world's file system.
func (w *world) openSQS(t *testing.T) {
	t.Helper()
	server, err := sqs.Open(sqs.Options{
		Dir: "data", FS: w.fs, Region: local.Region, AccountID: local.AccountID,
		CountAttribute: message.AttrEventCount, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server.Store(server)
}

// powerCut ends the SQS emulator, and starts it on what was synced until then.
func (w *world) powerCut(t *testing.T) {
	t.Helper()
	w.life.Lock()
	defer w.life.Unlock()
	old := w.server.Swap(nil) // from here on it answers nobody
	w.fs = w.fs.Crash(nil)
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	w.openSQS(t)
}

// allowReceives sets after how many receives SQS moves a message to the dead-letter queue.
func (w *world) allowReceives(t *testing.T, most int) {
	t.Helper()
	policy := fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:%s:%s","maxReceiveCount":%d}`,
		local.Region, local.AccountID, topology.DefaultNames().DeadLetterQueue, most)
	_, err := w.client.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{
		QueueUrl:   aws.String(queueURL(topology.DefaultNames().EventsQueue)),
		Attributes: map[string]string{"RedrivePolicy": policy},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// events is the events queue.
func (w *world) events() *sqs.Queue {
	w.life.RLock()
	defer w.life.RUnlock()
	q, _ := w.server.Load().Queue(topology.DefaultNames().EventsQueue)
	return q
}

// toSQS passes requests to the emulator that runs. A request that was under way at a power cut gets
// no answer.
type toSQS struct{ *world }

func (w toSQS) RoundTrip(r *http.Request) (*http.Response, error) {
	server := w.server.Load()
	if server == nil {
		return nil, errDown
	}
	resp, err := server.HTTPClient().Transport.RoundTrip(r)
	if w.server.Load() != server {
		return nil, errDown
	}
	return resp, err
}

// uninterrupted is toSQS for requests that no power cut may interrupt.
type uninterrupted struct{ *world }

func (w uninterrupted) RoundTrip(r *http.Request) (*http.Response, error) {
	w.life.RLock()
	defer w.life.RUnlock()
	return toSQS(w).RoundTrip(r)
}

// toQueue is the events queue for the event source mapping, as toSQS is for clients.
type toQueue struct{ *world }

func (w toQueue) do(f func(lambda.Queue) error) error {
	server := w.server.Load()
	if server == nil {
		return errDown
	}
	q, ok := server.Queue(topology.DefaultNames().EventsQueue)
	if !ok {
		return errors.New("the events queue does not exist any more")
	}
	err := f(local.Feed(q))
	if w.server.Load() != server {
		return errDown
	}
	return err
}

// Receive implements lambda.Queue.
func (w toQueue) Receive(ctx context.Context, most int, wait time.Duration) (got []lambda.Message, err error) {
	err = w.do(func(q lambda.Queue) (err error) {
		got, err = q.Receive(ctx, most, wait)
		return err
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// Delete implements lambda.Queue.
func (w toQueue) Delete(ctx context.Context, handles []string) error {
	return w.do(func(q lambda.Queue) error { return q.Delete(ctx, handles) })
}

func realHandler(c deliver.Config) (awslambda.Handler, error) { return deliver.New(c) }

// end stops what start started.
func (w *world) end(t *testing.T) {
	t.Helper()
	w.stop()
	w.running.Wait()
	w.function.Close()
	if err := w.server.Load().Close(); err != nil {
		t.Error(err)
	}
}

// drained waits until the events queue is empty and reports whether that was within the time.
func (w *world) drained(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(10 * time.Second) {
		if s := w.events().Stats(); s.Visible+s.InFlight+s.Delayed == 0 {
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
