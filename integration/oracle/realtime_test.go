package oracle

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
	"github.com/spillwayhq/spillway/shared/message"
)

var realTime = flag.Duration("real", time.Second, "how long the built binaries are killed in real time")

// timeFactor is by how much the visibility timeout of the events queue is shortened in real time.
// All other numbers are those of production.
const timeFactor = 60

// machine is the pipeline as processes that are killed and started again: `spillway up`, which has
// the queues and delivers; besides it the function's binary as Lambda runs it; and the Segment
// emulator.
type machine struct {
	t       *testing.T
	rng     *rand.Rand
	dir     string
	binary  string
	ledger  *ledger
	sqsPort string

	segmentPort string
	segmentURL  string
	front       *front
	up, segment *exec.Cmd
	client      *awssqs.Client
	delivery    *local.Delivery
	poison      []segmentd.Rule
	firehose    firehose // the archive of the function's binary; that of `up` is on disk

	mu    sync.Mutex
	pids  []int
	kills map[string]int

	onDisk int // records in the archive of `up`
}

func (m *machine) queueURL(name string) string {
	return local.QueueURL("http://localhost:"+m.sqsPort, name)
}

// front is a proxy in front of the Segment emulator. It records what the emulator accepted, because
// the emulator forgets it when it is killed.
type front struct {
	target string
	ledger *ledger
	mu     sync.RWMutex
	ready  bool // the emulator runs and has its script
}

func (f *front) setReady(is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = is
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.RLock()
	ready := f.ready
	f.mu.RUnlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || !ready {
		panic(http.ErrAbortHandler)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, f.target+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	out.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if resp.StatusCode/100 == 2 {
		if err := f.record(r, body); err != nil {
			panic(fmt.Sprintf("record what Segment accepted: %v", err))
		}
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}

// record records the events of a request.
func (f *front) record(r *http.Request, body []byte) error {
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	var batch struct {
		Batch                 []json.RawMessage
		Context, Integrations json.RawMessage
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return err
	}
	key, _, _ := r.BasicAuth()
	for _, raw := range batch.Batch {
		var e struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		merged, err := effectOf(raw, common{string(batch.Context), string(batch.Integrations)})
		if err != nil {
			return err
		}
		f.ledger.add(e.MessageID, arrival{raw: string(raw), key: key, path: r.URL.Path, effect: merged})
	}
	return nil
}

func TestMain(m *testing.M) { testutil.MainInVirtualTime(m) }

func newMachine(t *testing.T, seed uint64, l *ledger) *machine {
	t.Helper()
	m := &machine{t: t, rng: rand.New(rand.NewPCG(seed, 0x12ea1)), dir: t.TempDir(), ledger: l,
		sqsPort:     testutil.FreePort(t),
		segmentPort: testutil.FreePort(t), kills: map[string]int{}}
	m.binary = testutil.Build(t, "cmd/spillway")
	deliver := testutil.Build(t, "functions/deliver")
	m.front = &front{target: "http://127.0.0.1:" + m.segmentPort, ledger: l}
	web := httptest.NewServer(m.front)
	t.Cleanup(web.Close)
	endpoint := "http://localhost:" + m.sqsPort
	m.client = localtest.Client(endpoint, func(o *awssqs.Options) {
		o.HTTPClient = &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	})
	m.segmentURL = web.URL
	m.startSegment()
	m.startUp(false)
	t.Cleanup(func() { kill(m.up); kill(m.segment) })

	stream := httptest.NewServer(&m.firehose)
	t.Cleanup(stream.Close)
	l.archive = m.archived
	production := topology.Default()
	var err error
	feed := func(queue string) lambda.Queue { return remoteQueue{m, m.queueURL(queue)} }
	m.delivery, err = local.NewDelivery(&production, feed, lambda.Process(lambda.ProcessConfig{
		Path: deliver,
		Env: localtest.DeliverEnvironment(endpoint, "SPILLWAY_SEGMENT_ENDPOINT="+web.URL,
			"SPILLWAY_WRITE_KEY="+local.WriteKey,
			"SPILLWAY_ARCHIVE_STREAM=oracle", "AWS_ENDPOINT_URL_FIREHOSE="+stream.URL),
		OnStart: func(pid int) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.pids = append(m.pids, pid)
		},
	}), quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.delivery.Function.Close)
	return m
}

// archived are the records of both archives.
func (m *machine) archived() ([]archive.Record, error) {
	all, err := m.firehose.records()
	if err != nil {
		return nil, err
	}
	ctx, store := m.t.Context(), dirstore.Open(filepath.Join(m.dir, "data", "archive"))
	for o, err := range store.Objects(ctx, time.Time{}, time.Now().Add(time.Hour)) {
		if err != nil {
			return nil, err
		}
		file, err := store.Open(ctx, o, 0)
		if err != nil {
			return nil, err
		}
		records, err := readRecords(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
		m.onDisk += len(records)
		all = append(all, records...)
	}
	return all, nil
}

func kill(c *exec.Cmd) {
	_ = c.Process.Kill() // SIGKILL
	_ = c.Wait()
}

func (m *machine) spawn(args ...string) *exec.Cmd {
	m.t.Helper()
	c := exec.Command(m.binary, args...)
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	return c
}

// await calls f until it returns no error, for at most a minute.
func (m *machine) await(what string, f func() error) {
	m.t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	m.t.Fatalf("%s: %v", what, err)
}

func (m *machine) startSegment() {
	m.t.Helper()
	m.segment = m.spawn("segmentd", "--port="+m.segmentPort)
	m.await("start the Segment emulator", func() error { return m.script(nil) })
}

// script sets the faults of the Segment emulator. It rejects the poison events with any script.
func (m *machine) script(rules []segmentd.Rule) error {
	body, err := json.Marshal(segmentd.Script{Rules: append(slices.Clone(m.poison), rules...), Seed: m.rng.Uint64()})
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPut, m.front.target+"/_segmentd/script", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	m.front.setReady(true)
	return nil
}

// startUp starts the process that has the queues. Without deliver it leaves delivery to the
// function's binary.
func (m *machine) startUp(deliver bool) {
	m.t.Helper()
	m.up = m.spawn("up", "--data-dir="+filepath.Join(m.dir, "data"), "--sqs-port="+m.sqsPort, "--ingest-port=0",
		"--segment="+m.segmentURL,
		"--write-key="+local.WriteKey, "--canary=false", "--console=false", "--deliver="+strconv.FormatBool(deliver))
	production := topology.Default()
	q, _ := production.Queue(topology.DefaultNames().EventsQueue)
	m.await("start the pipeline", func() error {
		_, err := m.client.SetQueueAttributes(m.t.Context(), &awssqs.SetQueueAttributesInput{
			QueueUrl:   aws.String(m.queueURL(topology.DefaultNames().EventsQueue)),
			Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(int((q.VisibilityTimeout / timeFactor).Seconds()))},
		}, func(o *awssqs.Options) { o.RetryMaxAttempts = 1 })
		return err
	})
}

// restartUp kills the process that has the queues and starts it again. All messages are visible
// then.
func (m *machine) restartUp(deliver bool) {
	m.t.Helper()
	kill(m.up)
	m.startUp(deliver)
}

// killFunctions kills processes of the function's environments, one or all of them.
func (m *machine) killFunctions(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.pids) > 0 {
		// It may have ended by itself, after an error.
		if err := syscall.Kill(m.pids[0], syscall.SIGKILL); err == nil {
			m.kills["function"]++
		}
		m.pids = m.pids[1:]
		if !all {
			return
		}
	}
}

// remoteQueue is a queue in another process, over HTTP.
type remoteQueue struct {
	*machine
	url string
}

func (q remoteQueue) Receive(ctx context.Context, most int, wait time.Duration) ([]lambda.Message, error) {
	out, err := q.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(most),
		WaitTimeSeconds:             int32(wait / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		return nil, err
	}
	messages := make([]lambda.Message, len(out.Messages))
	for i, m := range out.Messages {
		messages[i] = lambda.Message{
			MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			Attributes: m.Attributes, MessageAttributes: map[string]lambda.MessageAttribute{},
		}
		for name, a := range m.MessageAttributes {
			messages[i].MessageAttributes[name] = lambda.MessageAttribute{DataType: aws.ToString(a.DataType),
				StringValue: aws.ToString(a.StringValue), BinaryValue: a.BinaryValue}
		}
	}
	return messages, nil
}

func (q remoteQueue) Delete(ctx context.Context, handles []string) error {
	var errs []error
	for part := range slices.Chunk(handles, 10) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(part))
		for i, h := range part {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(h)}
		}
		out, err := q.client.DeleteMessageBatch(ctx,
			&awssqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err == nil && len(out.Failed) > 0 {
			err = fmt.Errorf("%d messages were not deleted", len(out.Failed))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// drained waits until the events queue is empty.
func (m *machine) drained() {
	m.t.Helper()
	m.await("empty the queue", func() error {
		if n := size(m.t, m.client, m.queueURL(topology.DefaultNames().EventsQueue)); n > 0 {
			return fmt.Errorf("it holds %d messages", n)
		}
		return nil
	})
}

func TestTheBuiltBinariesLoseNoEventWhenKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a quarter of a minute: run it without -short")
	}
	t.Parallel()
	s := uint64(time.Now().UnixNano() % 1e6)
	if *seed >= 0 {
		s = uint64(*seed)
	}
	l := newLedger()
	m := newMachine(t, s, l)
	m.poison = poisonRules(30)
	m.await("set the script of the Segment emulator", func() error { return m.script(nil) })
	ctx, cancel := context.WithCancel(context.Background())
	var polling sync.WaitGroup
	polling.Go(func() {
		if err := m.delivery.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := func() { cancel(); polling.Wait() }
	defer stop()

	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{seed: s, lasts: 10 * time.Second, poison: 30, resent: 5}
	i := &issuer{client: m.client, queueURL: m.queueURL(topology.DefaultNames().EventsQueue), plan: p, ledger: l,
		rng:        m.rng,
		compressor: compressor, separate: true}
	for end := time.Now().Add(*realTime); time.Now().Before(end); {
		for range 1 + m.rng.IntN(20) {
			if err := i.message(ctx, ""); err != nil {
				t.Fatal(err)
			}
		}
		switch m.rng.IntN(6) {
		case 0:
			m.kills["up"]++
			m.restartUp(m.rng.IntN(2) == 0)
		case 1:
			m.kills["segment"]++
			m.front.setReady(false)
			kill(m.segment)
			time.Sleep(time.Duration(m.rng.IntN(2000)) * time.Millisecond)
			m.startSegment()
		case 2:
			m.killFunctions(false)
		case 3:
			upTo := func(d time.Duration) time.Duration {
				return time.Second + time.Duration(m.rng.Int64N(int64(d))).Truncate(time.Second)
			}
			m.await("set the script of the Segment emulator", func() error { return m.script(p.segmentFaults(m.rng, upTo)) })
		case 4:
			m.await("set the script of the Segment emulator", func() error { return m.script(nil) })
		}
		time.Sleep(time.Duration(m.rng.IntN(700)) * time.Millisecond)
	}

	// The faults stop. The queue starts again, so that all messages are visible at once, and so do
	// the functions, so that their breakers are closed.
	m.await("set the script of the Segment emulator", func() error { return m.script(nil) })
	m.killFunctions(true)
	m.restartUp(true)
	if err := i.fresh(ctx); err != nil {
		t.Fatal(err)
	}
	m.drained()
	stop()
	l.deadLetters = readDeadLetters(t, m.client, m.queueURL(topology.DefaultNames().DeadLetterQueue))
	c, err := l.check(false)
	if err != nil {
		t.Errorf("seed %d: %v", s, err)
	}
	t.Logf("seed %d, %v: %d events accepted = %d delivered + %d dead letters; %d duplicates; "+
		"%d records in the archives, %d of them on disk; killed: %v; invocations: %+v",
		s, *realTime, c.accepted, c.delivered, c.dead, c.duplicates, c.records, m.onDisk, m.kills, m.delivery.Stats())
}
