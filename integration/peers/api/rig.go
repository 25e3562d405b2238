package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/hibiken/asynq"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A rig is what all trials share: the backends, and a directory.
type rig struct {
	dir       string
	binary    string // of the ingest endpoint
	sqs       *machine.Process
	client    *sqs.Client
	redis     *machine.Process // nil: missing says why
	missing   string
	inspector *asynq.Inspector
	segment   *url.URL
	received  *received
	serving   sync.WaitGroup
	stopped   context.CancelFunc
}

// startRig starts the backends. SQS and Redis are processes of their own; the Segment emulator runs
// in this one, which asks it for each event.
func startRig(ctx context.Context, binary string) (_ *rig, err error) {
	if binary == "" {
		return nil, errors.New("--ingest must name the built ingest endpoint: go build ./functions/ingest")
	}
	dir, err := os.MkdirTemp("", "spillway-peers-api-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &rig{dir: dir, binary: binary, received: &received{byPrefix: map[string]map[string]int{}}, stopped: cancel}
	defer func() {
		if err != nil {
			r.stop()
		}
	}()
	if r.sqs, err = machine.StartQueue(ctx, filepath.Join(dir, "sqs")); err != nil {
		return nil, err
	}
	if r.client, err = sqsclient.NewClient(ctx, machine.QueueURL(r.sqs.URL), nil); err != nil {
		return nil, err
	}
	if r.redis, err = machine.StartRedis(ctx, dir); err == nil {
		r.inspector = asynq.NewInspector(asynq.RedisClientOpt{Addr: r.redis.URL})
	} else if r.missing = missingRedis(err); r.missing == "" {
		return nil, err
	}
	return r, r.serveSegment(ctx)
}

func (r *rig) serveSegment(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the Segment emulator: %w", err)
	}
	emulator := segmentd.New(segmentd.Options{EventLimit: -1,
		OnEvent: func(e segmentd.Received) { r.received.add(e.MessageID) }})
	r.segment = &url.URL{Scheme: "http", Host: l.Addr().String()}
	r.serving.Go(func() { _ = emulator.Serve(ctx, l) })
	return nil
}

func (r *rig) stop() {
	r.stopped() // kills the processes
	r.serving.Wait()
	if r.sqs != nil {
		r.sqs.Kill()
	}
	if r.redis != nil {
		r.redis.Kill()
	}
	_ = os.RemoveAll(r.dir)
}

// open opens a trial: the proxy that fails, the queue behind it, and the process that calls.
func (r *rig) open(ctx context.Context, w way, c condition) (_ *trial, err error) {
	t := &trial{way: w, condition: c, prefix: w.name + "-" + c.name, refused: map[int]bool{}}
	dir := filepath.Join(r.dir, t.prefix)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer func() {
		if err != nil {
			t.kill()
		}
	}()
	at, err := r.backend(ctx, t, w.to)
	if err != nil {
		return nil, err
	}
	t.start = func() error { return t.startProcesses(ctx, r.binary, at, dir) }
	return t, t.start()
}

// backend makes the trial's queue, with the proxy in front of it, and returns where it is through
// the proxy.
func (r *rig) backend(ctx context.Context, t *trial, to backend) (string, error) {
	switch to {
	case nothing:
		t.arrivals = nowhere{t}
		return "", nil
	case segment:
		t.arrivals = atSegment{r.received, t.prefix}
		return t.through(r.segment)
	case redis:
		t.arrivals = inRedis{r.inspector, t.prefix}
		return t.through(&url.URL{Host: r.redis.URL})
	}
	out, err := r.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(t.prefix)})
	if err != nil {
		return "", fmt.Errorf("make a queue: %w", err)
	}
	u, err := url.Parse(*out.QueueUrl)
	if err != nil {
		return "", fmt.Errorf("read the URL of a queue: %w", err)
	}
	t.arrivals = inSQS{r.client, r.sqs.URL, t.prefix, *out.QueueUrl, map[string]int{}}
	return t.through(u)
}

// through puts the proxy in front of a backend, unless the trial has no fault, and returns the URL
// with the proxy's host; for Redis, which has no scheme, the host alone.
func (t *trial) through(to *url.URL) (string, error) {
	host := to.Host
	if t.condition.fault != (Fault{}) {
		p, err := newProxy(to.Host)
		if err != nil {
			return "", err
		}
		t.proxy, host = p, p.addr
	}
	if to.Scheme == "" {
		return host, nil
	}
	there := *to
	there.Host = host
	return there.String(), nil
}
