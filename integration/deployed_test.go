package integration

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	localsqs "github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// timeFactor is by how much the tests in this folder shorten production's times: 361 s become 1 s.
const timeFactor = 360

// deployment is the function as it is deployed: the built binary, a process for each environment,
// fed by event source mappings.
type deployment struct {
	client   *sqs.Client
	queueURL string
	events   *localsqs.Queue
	segment  *segmentd.Server
	delivery *local.Delivery

	mu   sync.Mutex
	pids []int
}

// deployed starts the function. A test runs its delivery.
func deployed(t *testing.T, o *localtest.Arrivals, latency time.Duration) *deployment {
	t.Helper()
	binary := testutil.Build(t, "functions/deliver")
	d := &deployment{}
	var segmentURL string
	d.segment, segmentURL = localtest.Segment(t, segmentd.Options{Latency: latency, OnEvent: o.Add, EventLimit: -1})

	server, endpoint := localtest.SQS(t)
	quick := topology.Default()
	for i := range quick.Queues {
		quick.Queues[i].VisibilityTimeout /= timeFactor
	}
	// Small batches at once, so that there are many to be killed in.
	for i := range quick.EventSources {
		quick.EventSources[i].BatchSize, quick.EventSources[i].BatchingWindow = 10, 0
	}
	if err := local.CreateQueues(server, &quick); err != nil {
		t.Fatal(err)
	}
	d.events, _ = server.Queue(quick.Names.EventsQueue)
	d.client = localtest.Client(endpoint)
	d.queueURL = local.QueueURL(endpoint, quick.Names.EventsQueue)

	var err error
	d.delivery, err = local.NewDelivery(&quick, local.FeedFrom(server), lambda.Process(lambda.ProcessConfig{
		Path: binary,
		Env:  localtest.DeliverEnvironment(endpoint, "SPILLWAY_SEGMENT_ENDPOINT="+segmentURL, "SPILLWAY_WRITE_KEY=test"),
		OnStart: func(pid int) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.pids = append(d.pids, pid)
		},
	}), quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.delivery.Function.Close)
	return d
}

// processes is how many processes were started and not killed.
func (d *deployment) processes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pids)
}

// killOne kills the oldest process with SIGKILL.
func (d *deployment) killOne(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pids) == 0 {
		t.Fatal("there is no process to kill")
	}
	if err := syscall.Kill(d.pids[0], syscall.SIGKILL); err != nil {
		t.Fatalf("kill process %d: %v", d.pids[0], err)
	}
	d.pids = d.pids[1:]
}
