package integration

import (
	"net/http/httptest"
	"strconv"
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
	"github.com/spillwayhq/spillway/shared/message"
)

// timeFactor is by how much the tests in this folder shorten production's times: what is 361 s
// there is 6 s here.
const timeFactor = 60

// deployment is the function as it is deployed: the built binary, a process for each environment,
// fed by an event source mapping.
type deployment struct {
	client   *sqs.Client
	queueURL string
	events   *localsqs.Queue
	segment  *segmentd.Server
	function *lambda.Function
	mapping  *lambda.EventSourceMapping

	mu   sync.Mutex
	pids []int
}

func deployed(t *testing.T, o *localtest.Arrivals, latency time.Duration) *deployment {
	t.Helper()
	binary := testutil.Build(t, "functions/deliver")
	d := &deployment{}
	var segmentURL string
	d.segment, segmentURL = localtest.Segment(t, segmentd.Options{Latency: latency, OnEvent: o.Add, EventLimit: -1})

	server, err := localsqs.Open(localsqs.Options{Dir: t.TempDir(), CountAttribute: message.AttrEventCount, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.Close(); server.Close() })
	production := topology.Default()
	q, _ := production.Queue(production.Names.EventsQueue)
	shortened := strconv.Itoa(int((q.VisibilityTimeout / timeFactor).Seconds()))
	if _, err := server.CreateQueue(production.Names.DeadLetterQueue, nil); err != nil {
		t.Fatal(err)
	}
	if d.events, err = server.CreateQueue(production.Names.EventsQueue,
		map[string]string{"VisibilityTimeout": shortened}); err != nil {
		t.Fatal(err)
	}
	d.client = localtest.Client(web.URL)
	d.queueURL = web.URL + "/" + local.AccountID + "/" + topology.DefaultNames().EventsQueue

	f, _ := production.Function(production.Names.DeliverFunction)
	d.function = lambda.NewFunction(lambda.FunctionConfig{
		Name: f.Name, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, MemoryMB: f.MemoryMB,
		NewEnvironment: lambda.Process(lambda.ProcessConfig{
			Path: binary,
			Env: []string{
				"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey,
				"AWS_ENDPOINT_URL_SQS=" + web.URL,
				"SPILLWAY_QUEUE_URL=" + d.queueURL,
				"SPILLWAY_DEAD_LETTER_QUEUE_URL=" + web.URL + "/" + local.AccountID + "/" + production.Names.DeadLetterQueue,
				"SPILLWAY_SEGMENT_ENDPOINT=" + segmentURL, "SPILLWAY_WRITE_KEY=test",
			},
			OnStart: func(pid int) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.pids = append(d.pids, pid)
			},
		}),
	})
	t.Cleanup(d.function.Close)
	source := production.EventSources[0]
	d.mapping, err = lambda.NewEventSourceMapping(lambda.MappingConfig{
		Queue: local.Feed(d.events), QueueARN: d.events.ARN(), Function: d.function,
		// Small batches, so that there are many to be killed in.
		BatchSize: 10, MaximumConcurrency: source.MaximumConcurrency, ReportBatchItemFailures: source.ReportBatchItemFailures,
		Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// processes is how many were started and not killed.
func (d *deployment) processes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pids)
}

// killOne kills (-9) the process of the oldest environment that is left.
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
