package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/spill/spilltest"
)

// cloud is the SQS of several regions, whose queues a test makes fail.
type cloud struct {
	mu   sync.Mutex
	away map[string]bool // by URL
	got  map[string]int  // messages by URL
}

func newCloud() *cloud { return &cloud{away: map[string]bool{}, got: map[string]int{}} }

var errAway = errors.New("the queue is away")

func (c *cloud) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	url := aws.ToString(in.QueueUrl)
	if c.away[url] {
		return nil, errAway
	}
	c.got[url] += len(in.Entries)
	return fakeSQS{}.SendMessageBatch(context.Background(), in)
}

func (c *cloud) set(away bool, urls ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, url := range urls {
		c.away[url] = away
	}
}

const (
	eventsA, deadA = "https://sqs.us-east-1.amazonaws.com/1/events", "https://sqs.us-east-1.amazonaws.com/1/dead"
	eventsB, deadB = "https://sqs.eu-west-1.amazonaws.com/1/events", "https://sqs.eu-west-1.amazonaws.com/1/dead"
)

func endpoint(t *testing.T, c *cloud, o Options) (e *Endpoint, log *testutil.Buffer) {
	t.Helper()
	log = new(testutil.Buffer)
	o.QueueURL, o.DeadLetterQueueURL = eventsA, deadA
	e, err := New(spill.WithFS(t.Context(), spilltest.New()), o, Parts{SQS: c, Metrics: log,
		Logger: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return e, log
}

// valid and mixed are batches; one event of mixed is invalid.
const (
	valid = `{"writeKey":"wk","batch":[{"type":"track","userId":"u","event":"e"}]}`
	mixed = `{"writeKey":"wk","batch":[{"type":"track","userId":"u","event":"e"},{"type":"track","userId":"u"}]}`
)

func answered(e *Endpoint, method, path, body string) int {
	w := httptest.NewRecorder()
	e.guarded.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code
}

func TestAMessageGoesToTheFirstRegionThatTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		e, _ := endpoint(t, c, Options{FallbackQueueURLs: []string{eventsB}, FallbackDeadLetterQueueURLs: []string{deadB}})
		post := func(want int) {
			t.Helper()
			if got := answered(e, "POST", "/v1/batch", mixed); got != want {
				t.Errorf("status %d, want %d", got, want)
			}
		}
		post(200)
		c.set(true, eventsA, deadA)
		for range 5 {
			post(200)
		}
		if want := map[string]int{eventsA: 1, deadA: 1, eventsB: 5, deadB: 5}; fmt.Sprint(c.got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", c.got, want)
		}
		if got := answered(e, "GET", "/health", ""); got != 200 {
			t.Errorf("health with a region: %d", got)
		}
		c.set(true, eventsB, deadB)
		time.Sleep(time.Minute)
		if got := answered(e, "POST", "/v1/batch", valid); got != 429 {
			t.Errorf("status %d without a region", got)
		}
		if got := answered(e, "GET", "/health", ""); got != 503 {
			t.Errorf("health without a region: %d", got)
		}
		time.Sleep(time.Minute)
		c.set(false, eventsA, deadA)
		post(200)
	})
}

func TestWithASpillDirectoryAQueueThatIsAwayIsA200UntilItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		e, log := endpoint(t, c, Options{Server: &Server{SpillDir: "/spill", SpillBytes: 64 << 10}})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.queues.run(ctx) })
		c.set(true, eventsA, deadA)
		accepted := 0
		for accepted < 10_000 && answered(e, "POST", "/v1/batch", valid) == 200 {
			accepted++
		}
		if accepted < 100 || accepted == 10_000 {
			t.Errorf("%d requests were accepted", accepted)
		}
		if got := answered(e, "GET", "/health", ""); got != 200 {
			t.Errorf("health with a directory that is full since a moment ago: %d", got)
		}
		time.Sleep(time.Minute)
		for range 10 { // the share of dead letters is not full; but without the valid event nothing is accepted
			if got := answered(e, "POST", "/v1/batch", mixed); got != 429 {
				t.Errorf("status %d", got)
			}
		}
		if got := answered(e, "GET", "/health", ""); got != 503 {
			t.Errorf("health with a full directory: %d", got)
		}
		e.writeMetrics(t.Context())
		c.set(false, eventsA, deadA)
		time.Sleep(time.Minute)
		c.mu.Lock()
		got := c.got[eventsA]
		c.mu.Unlock()
		if got != accepted {
			t.Errorf("the queue has %d of %d messages", got, accepted)
		}
		if answered(e, "POST", "/v1/batch", mixed) != 200 || answered(e, "GET", "/health", "") != 200 {
			t.Error("nothing is accepted when the queue is back")
		}
		cancel()
		running.Wait()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if spilled := metric(t, log.String(), "MessagesSpilled"); spilled < accepted {
			t.Errorf("%d messages are counted, want %d\n%s", spilled, accepted, log)
		}
	})
}

// metric is the first value of a metric in a log.
func metric(t *testing.T, log, name string) int {
	t.Helper()
	for line := range strings.Lines(log) {
		var values map[string]any
		if d := json.NewDecoder(bytes.NewReader([]byte(line))); d.Decode(&values) == nil {
			if v, ok := values[name].(float64); ok {
				return int(v)
			}
		}
	}
	return -1
}

func TestFurtherQueuesAndTheSpillDirectoryAreRead(t *testing.T) {
	o, err := readOptions(complete("SPILLWAY_FALLBACK_QUEUE_URLS="+eventsA+", "+eventsB,
		"SPILLWAY_FALLBACK_DEAD_LETTER_QUEUE_URLS="+deadA, "SPILLWAY_SPILL_DIR=/var/spill", "SPILLWAY_SPILL_BYTES=2GiB"), 0)
	if err != nil || !slices.Equal(o.FallbackQueueURLs, []string{eventsA, eventsB}) ||
		!slices.Equal(o.FallbackDeadLetterQueueURLs, []string{deadA}) || o.Server.SpillDir != "/var/spill" ||
		o.Server.SpillBytes != 2<<30 {
		t.Errorf("%+v, %v", o, err)
	}
	for variable, want := range map[string]string{
		"SPILLWAY_FALLBACK_QUEUE_URLS=events":               "must be the URLs of queues, with commas between them",
		"SPILLWAY_FALLBACK_DEAD_LETTER_QUEUE_URLS=" + deadA: "must have at most as many URLs as SPILLWAY_FALLBACK_QUEUE_URLS",
		"SPILLWAY_SPILL_BYTES=1MiB":                         "must be a number of bytes from 67108864 on",
		"SPILLWAY_SPILL_BYTES=9999999999GiB":                "must be a number of bytes",
		"SPILLWAY_SPILL_BYTES=much":                         "must be a number of bytes",
	} {
		if _, err := readOptions(complete(variable), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", variable, err)
		}
	}
	if _, err := readOptions(complete("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "SPILLWAY_SPILL_DIR=/tmp"), 0); err == nil {
		t.Error("a Lambda function takes a spill directory, which it loses with its environment")
	}
}

func TestASpillDirectoryInUseIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	first, err := FromEnvironment(t.Context(), complete("SPILLWAY_SPILL_DIR="+dir), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = FromEnvironment(t.Context(), complete("SPILLWAY_SPILL_DIR="+dir), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "SPILLWAY_SPILL_DIR") || !errors.Is(err, spill.ErrLocked) {
		t.Errorf("%v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}
