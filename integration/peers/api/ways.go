package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/hibiken/asynq"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/shared/publisher"
)

// A way is one way in which an API hands over an event.
type way struct {
	name string // its key in the results
	what string // its row in the tables
	to   backend
	// keeps says that events that can't be sent are kept on disk: the next process sends them.
	keeps bool
	// ours says that it is Spillway's, which must not lose an event that it has accepted.
	ours bool
	open func(target) (caller, error)
}

// A caller hands over events. Call is safe for concurrent use. Close sends what waits.
type caller struct {
	call  func(ctx context.Context, event analytics.Track) error
	close func() error
}

// A backend is what a way depends on, and what a fault is put in front of.
type backend string

const (
	nothing backend = ""
	segment backend = "segment"
	redis   backend = "redis"
	queue   backend = "sqs"
	ingest  backend = "ingest" // the ingest endpoint, whose queue has the fault
)

// A target is where a caller hands its events over.
type target struct {
	URL  string // of Segment, of an SQS queue or of the ingest endpoint; host:port of Redis
	Name string // of the queue of tasks in Redis
	Dir  string // for the caller's files; it need not exist
}

// ways are all of them, in the order of the tables. Each is configured as its documentation shows
// it.
func ways() []way {
	return []way{
		{name: "generator", what: "nothing: the generator itself", to: nothing, open: openNothing},
		{name: "analytics-go", what: "analytics-go, `Enqueue`: straight to Segment", to: segment, open: openAnalytics},
		{name: "asynq", what: "asynq, `Enqueue`: Redis", to: redis, open: openAsynq},
		{name: "sqs", what: "AWS SDK, `SendMessage`: SQS", to: queue, open: openSQS},
		{name: "publisher-memory", what: "Spillway's publisher, `Memory`", to: queue, ours: true,
			open: openPublisher(publisher.Memory)},
		{name: "publisher-process", what: "Spillway's publisher, `Process`", to: queue, keeps: true, ours: true,
			open: openPublisher(publisher.Process)},
		{name: "publisher-disk", what: "Spillway's publisher, `Disk`", to: queue, keeps: true, ours: true,
			open: openPublisher(publisher.Disk)},
		{name: "ingest", what: "Spillway's ingest endpoint, HTTP", to: ingest, ours: true, open: openIngest},
		{name: "ingest-spill", what: "… with a spill directory", to: ingest, keeps: true, ours: true, open: openIngest},
	}
}

// wayNamed finds a way.
func wayNamed(name string) (way, error) {
	for _, w := range ways() {
		if w.name == name {
			return w, nil
		}
	}
	return way{}, fmt.Errorf("unknown way %q of handing over events", name)
}

func openNothing(target) (caller, error) {
	return caller{func(context.Context, analytics.Track) error { return nil }, func() error { return nil }}, nil
}

func openAnalytics(t target) (caller, error) {
	client, err := analytics.NewWithConfig(peer.WriteKey, analytics.Config{Endpoint: t.URL,
		Logger: analytics.StdLogger(log.New(io.Discard, "", 0))})
	if err != nil {
		return caller{}, fmt.Errorf("make a client of analytics-go: %w", err)
	}
	return caller{func(_ context.Context, event analytics.Track) error { return client.Enqueue(event) }, client.Close}, nil
}

func openAsynq(t target) (caller, error) {
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: t.URL})
	return caller{func(ctx context.Context, event analytics.Track) error {
		payload, err := json.Marshal(event)
		if err != nil {
			return err
		}
		_, err = client.EnqueueContext(ctx, asynq.NewTask("track", payload), asynq.Queue(t.Name))
		return err
	}, client.Close}, nil
}

// sqsClient is a client of the SDK with its defaults: three attempts, and no limit to the time of
// an answer but that of the call's context.
func sqsClient(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
}

func openSQS(t target) (caller, error) {
	endpoint, err := endpointOf(t.URL)
	if err != nil {
		return caller{}, err
	}
	client := sqsClient(endpoint)
	return caller{func(ctx context.Context, event analytics.Track) error {
		body, err := json.Marshal(event)
		if err != nil {
			return err
		}
		_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &t.URL, MessageBody: aws.String(string(body))})
		return err
	}, func() error { return nil }}, nil
}

func openPublisher(d publisher.Durability) func(target) (caller, error) {
	return func(t target) (caller, error) {
		config := publisher.Config{QueueURL: t.URL, WriteKey: peer.WriteKey, Durability: d,
			Logger: slog.New(slog.DiscardHandler)}
		if d != publisher.Memory {
			config.Dir = filepath.Join(t.Dir, "publisher")
			if err := os.MkdirAll(config.Dir, 0o700); err != nil {
				return caller{}, fmt.Errorf("make a directory for the publisher: %w", err)
			}
		}
		client, err := publisher.New(context.Background(), config)
		if err != nil {
			return caller{}, err
		}
		return caller{func(_ context.Context, event analytics.Track) error { return client.Enqueue(event) }, client.Close},
			nil
	}
}

func openIngest(t target) (caller, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	client := &http.Client{Transport: transport}
	return caller{func(ctx context.Context, event analytics.Track) error {
		body, err := json.Marshal(event)
		if err != nil {
			return err
		}
		return peer.Post(ctx, client, t.URL+"/v1/track", body, "")
	}, func() error { transport.CloseIdleConnections(); return nil }}, nil
}

// endpointOf is the scheme and host of a queue's URL.
func endpointOf(queueURL string) (string, error) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return "", fmt.Errorf("read the URL of the queue: %w", err)
	}
	return u.Scheme + "://" + u.Host, nil
}
