package virtual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// Endpoint is the URL under which clients in the bubble call the SQS emulator.
	Endpoint = "http://sqs.test"
	// SegmentURL is that of the Segment emulator, for its own transport.
	SegmentURL = "http://segment.test"
)

// ErrDown is the error of a call to SQS that no emulator answers.
var ErrDown = errors.New("SQS is down")

// A World is the emulators of one pipeline in one bubble, with the topology's numbers: SQS on a
// disk in memory, Segment, and Lambda once [World.Deliver] has been called. It is safe for
// concurrent use.
type World struct {
	Topology *topology.Topology
	Segment  *segmentd.Server
	Delivery *local.Delivery // nil before Deliver

	// OnInvocation is called after each invocation of deliver; nil: nothing is. It is set before
	// Deliver.
	OnInvocation func(lambda.Invoked)

	server  atomic.Pointer[sqs.Server]
	fs      *store.Mem
	options []func(*sqs.Options)
	life    sync.RWMutex // held for writing by a power cut, and for reading by requests without faults
	running sync.WaitGroup
	failed  atomic.Pointer[error]
	stop    context.CancelFunc
}

// New makes a world. It, and all that is done with the world, must be called in one bubble.
// options are those of the SQS emulator.
func New(t *topology.Topology, segment segmentd.Options, options ...func(*sqs.Options)) (*World, error) {
	w := &World{Topology: t, Segment: segmentd.New(segment), fs: new(store.Mem), options: options, stop: func() {}}
	if err := w.openSQS(); err != nil {
		return nil, err
	}
	return w, local.CreateQueues(w.server.Load(), t)
}

// openSQS starts the SQS emulator on the world's file system.
func (w *World) openSQS() error {
	o := sqs.Options{
		Dir: "data", FS: w.fs, Region: local.Region, AccountID: local.AccountID,
		CountAttribute: message.AttrEventCount, Logger: slog.New(slog.DiscardHandler),
	}
	for _, set := range w.options {
		set(&o)
	}
	server, err := sqs.Open(o)
	if err == nil {
		w.server.Store(server)
	}
	return err
}

// Deliver starts the deliver function and its event sources, which receive through feed: usually
// [World.Feed], with faults around it.
func (w *World) Deliver(feed func(queue string) lambda.Queue, environments lambda.EnvironmentFactory) error {
	var err error
	w.Delivery, err = local.NewDelivery(w.Topology, feed, environments, slog.New(slog.DiscardHandler), w.OnInvocation)
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.running.Go(func() {
		if err := w.Delivery.Run(ctx); err != nil {
			w.failed.Store(&err)
		}
	})
	return nil
}

// Live is the alias of deliver that the event sources invoke; Deliver has made it.
func (w *World) Live() *lambda.Alias {
	live, _ := w.Delivery.Function.Alias(topology.LiveAlias)
	return live
}

// StopDelivery stops the event sources, after the invocations under way.
func (w *World) StopDelivery() {
	w.stop()
	w.running.Wait()
}

// End stops what New and Deliver started, after the invocations under way.
func (w *World) End() error {
	w.StopDelivery()
	if w.Delivery != nil {
		w.Delivery.Function.Close()
	}
	err := w.server.Load().Close()
	if failed := w.failed.Load(); failed != nil {
		err = errors.Join(*failed, err)
	}
	return err
}

// QueueURL is the URL of the queue of that name.
func QueueURL(name string) string { return local.QueueURL(Endpoint, name) }

// Queue is the queue of that name, which the topology must have.
func (w *World) Queue(name string) *sqs.Queue {
	w.life.RLock()
	defer w.life.RUnlock()
	q, _ := w.server.Load().Queue(name)
	return q
}

// Events is the events queue.
func (w *World) Events() *sqs.Queue { return w.Queue(w.Topology.Names.EventsQueue) }

// Drained waits until the queues that deliver is fed from are empty, and reports whether that was
// within the time.
func (w *World) Drained(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(10 * time.Second) {
		left := int64(0)
		for _, source := range w.Topology.EventSources {
			s := w.Queue(source.Queue).Stats()
			left += s.Visible + s.InFlight + s.Delayed
		}
		if left == 0 {
			return true
		}
	}
	return false
}

// PowerCut ends the SQS emulator, and starts it on what was synced until then.
func (w *World) PowerCut() error {
	w.life.Lock()
	defer w.life.Unlock()
	old := w.server.Swap(nil) // from here on it answers nobody
	w.fs = w.fs.Crash(nil)
	return errors.Join(old.Close(), w.openSQS())
}

// AllowReceives sets after how many receives SQS moves a message to the dead-letter queue.
func (w *World) AllowReceives(ctx context.Context, most int) error {
	var errs []error
	for _, source := range w.Topology.EventSources {
		q, _ := w.Topology.Queue(source.Queue)
		q.MaxReceiveCount = most
		_, err := Client(w.Uninterrupted()).SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{
			QueueUrl: aws.String(QueueURL(q.Name)), Attributes: q.Attributes(local.QueueARN(q.Name)),
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Client is the AWS SDK in front of the SQS emulator, through a transport like [World.ToSQS].
func Client(through http.RoundTripper, options ...func(*awssqs.Options)) *awssqs.Client {
	via := func(o *awssqs.Options) { o.HTTPClient = &http.Client{Transport: through} }
	return local.Client(Endpoint, append(options, via, sqsclient.AvoidLostResponses)...)
}

// ToSQS passes requests to the SQS emulator that runs. A request that was under way at a power cut
// gets no answer.
func (w *World) ToSQS() http.RoundTripper { return toSQS{w} }

type toSQS struct{ *World }

func (w toSQS) RoundTrip(r *http.Request) (*http.Response, error) {
	server := w.server.Load()
	if server == nil {
		return nil, ErrDown
	}
	resp, err := server.HTTPClient().Transport.RoundTrip(r)
	if w.server.Load() != server {
		return nil, ErrDown
	}
	return resp, err
}

// Uninterrupted is ToSQS for requests that no power cut may interrupt.
func (w *World) Uninterrupted() http.RoundTripper { return uninterrupted{w} }

type uninterrupted struct{ *World }

func (w uninterrupted) RoundTrip(r *http.Request) (*http.Response, error) {
	w.life.RLock()
	defer w.life.RUnlock()
	return toSQS(w).RoundTrip(r)
}

// Feed is a queue for its event source, as ToSQS is for clients.
func (w *World) Feed(queue string) lambda.Queue { return feed{w, queue} }

type feed struct {
	*World
	queue string // its name
}

func (w feed) do(f func(lambda.Queue) error) error {
	server := w.server.Load()
	if server == nil {
		return ErrDown
	}
	q, ok := server.Queue(w.queue)
	if !ok {
		return fmt.Errorf("the queue %s does not exist any more", w.queue)
	}
	err := f(local.Feed(q))
	if w.server.Load() != server {
		return ErrDown
	}
	return err
}

// Receive implements lambda.Queue.
func (w feed) Receive(ctx context.Context, most int, wait time.Duration) (got []lambda.Message, err error) {
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
func (w feed) Delete(ctx context.Context, handles []string) error {
	return w.do(func(q lambda.Queue) error { return q.Delete(ctx, handles) })
}
