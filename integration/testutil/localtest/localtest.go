// Package localtest starts the local pipeline, or one of its emulators alone, for a test, and waits
// for the events that arrive.
package localtest

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	localsqs "github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// patience is how long a test waits for what must come. It ends a test that would hang, and asserts
// no speed.
const patience = 2 * time.Minute

// KeepConnections gives http.DefaultClient connections that httptest.Server.Close leaves alone. It closes
// the idle ones of the default transport, and at the wrong moment one from which a parallel test is
// about to read an answer without a body: "http: CloseIdleConnections called". A package with such
// tests calls it before they run.
func KeepConnections() {
	http.DefaultClient.Transport = http.DefaultTransport.(*http.Transport).Clone()
}

// Start starts a local pipeline in this process, on free ports and, unless c names one, in a
// directory of the test. It stops in good order at the end of the test.
func Start(t testing.TB, c local.Config) *local.Pipeline {
	t.Helper()
	p, _ := StartStoppable(t, c)
	return p
}

// StartEager is Start of a pipeline that delivers each message alone, and so at once: a batch of several
// waits a second for more.
func StartEager(t testing.TB, c local.Config) *local.Pipeline {
	t.Helper()
	c.BatchSize = 1
	return Start(t, c)
}

// StartStoppable is Start for a test that stops the pipeline earlier.
func StartStoppable(t testing.TB, c local.Config) (p *local.Pipeline, stop func()) {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.SQSAddr, c.SegmentAddr = "127.0.0.1:0", "127.0.0.1:0"
	p, err := local.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("run the pipeline: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return p, stop
}

// Segment starts a Segment emulator of this process, which outlives the pipelines that a test
// kills, and returns its URL.
func Segment(t testing.TB, o segmentd.Options) (*segmentd.Server, string) {
	t.Helper()
	o.Bound = httpserver.Bound // as in the pipeline: it ends without waiting for unused connections
	s := segmentd.New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return s, "http://" + l.Addr().String()
}

// SQS starts an SQS emulator alone, without queues, and returns its URL.
func SQS(t testing.TB) (*localsqs.Server, string) {
	t.Helper()
	return sqsIn(t, t.TempDir(), store.Disk{})
}

// SQSInMemory is SQS for a test that no busy disk may slow down.
func SQSInMemory(t testing.TB) (*localsqs.Server, string) {
	t.Helper()
	return sqsIn(t, "data", new(store.Mem))
}

func sqsIn(t testing.TB, dir string, fs store.FS) (*localsqs.Server, string) {
	t.Helper()
	server, err := localsqs.Open(localsqs.Options{Dir: dir, FS: fs, Region: local.Region, AccountID: local.AccountID,
		CountAttribute: message.AttrEventCount, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() {
		err := server.Close() // first: it ends the long polls that endpoint.Close waits for
		endpoint.Close()
		if err != nil {
			t.Errorf("close the SQS emulator: %v", err)
		}
	})
	return server, endpoint.URL
}

// Client is the AWS SDK in front of an SQS emulator, by default over HTTP.
func Client(endpoint string, options ...func(*sqs.Options)) *sqs.Client {
	return local.Client(endpoint, append(options, sqsclient.AvoidLostResponses)...)
}

// Via makes a [Client] send its requests through a transport, in which a test makes them fail.
func Via(transport http.RoundTripper) func(*sqs.Options) {
	return func(o *sqs.Options) { o.HTTPClient = &http.Client{Transport: transport} }
}

// Environment is the environment of a built function whose queues are in an SQS emulator.
func Environment(sqsURL string, more ...string) []string {
	names := topology.DefaultNames()
	return append([]string{
		"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey, "AWS_REGION=" + local.Region,
		"AWS_ENDPOINT_URL_SQS=" + sqsURL, "SPILLWAY_QUEUE_URL=" + local.QueueURL(sqsURL, names.EventsQueue),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=" + local.QueueURL(sqsURL, names.DeadLetterQueue),
	}, more...)
}

// DeliverEnvironment is Environment for the deliver function.
func DeliverEnvironment(sqsURL string, more ...string) []string {
	return Environment(sqsURL,
		append(more, "SPILLWAY_BULK_QUEUE_URL="+local.QueueURL(sqsURL, topology.DefaultNames().BulkQueue))...)
}

// Arrivals are the events that have come to a Segment emulator. It is safe for concurrent use.
type Arrivals struct {
	mu     sync.Mutex
	events map[string][]segmentd.Received
	all    []segmentd.Received
	change chan struct{} // closed and renewed at each arrival
}

// NewArrivals makes Arrivals for the OnEvent of a local.Config or of segmentd.Options: their method
// Add.
func NewArrivals() *Arrivals {
	return &Arrivals{events: map[string][]segmentd.Received{}, change: make(chan struct{})}
}

// Add notes an event.
func (a *Arrivals) Add(e segmentd.Received) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.Raw = bytes.Clone(e.Raw)
	a.events[e.MessageID] = append(a.events[e.MessageID], e)
	a.all = append(a.all, e)
	close(a.change)
	a.change = make(chan struct{})
}

// Distinct is how many different messageIds have arrived.
func (a *Arrivals) Distinct() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.events)
}

// All are the events in the order in which they arrived, duplicates included.
func (a *Arrivals) All() []segmentd.Received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// Get is every form in which a messageId has arrived.
func (a *Arrivals) Get(messageID string) []segmentd.Received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.events[messageID]
}

// Await waits until done says so, which is asked whenever an event arrives, and now and then: it
// may look at something else.
func (a *Arrivals) Await(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		a.mu.Lock()
		change := a.change
		a.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-change:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("gave up waiting for %s: %d distinct events arrived", what, a.Distinct())
		}
	}
}

// AwaitEvent waits for a messageId and returns the event as it first arrived.
func (a *Arrivals) AwaitEvent(t testing.TB, messageID string) segmentd.Received {
	t.Helper()
	a.Await(t, messageID, func() bool { return len(a.Get(messageID)) > 0 })
	return a.Get(messageID)[0]
}
