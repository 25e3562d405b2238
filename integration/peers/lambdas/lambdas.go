// Package lambdas are the peers that are Lambda functions fed by SQS: the handlers that people
// write around analytics-go, and Spillway's deliver as it is built and deployed.
package lambdas

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// usual is what most handlers are deployed with: Lambda's default batch, and a timeout that was
// raised once the default of 3 s had been met.
var usual = peer.Source{BatchSize: 10, Timeout: 30 * time.Second, MemoryMB: 512}

// The environment variables of the handlers.
const (
	NameEnv    = "PEERS_FUNCTION" // name of the peer
	segmentEnv = "PEERS_SEGMENT"  // URL of the Segment emulator
)

// Handler makes the handler of the peer of that name, as aws-lambda-go takes it.
func Handler(name string) (any, error) {
	switch name {
	case "lambda-client-per-record":
		return perRecord, nil
	case "lambda-client-per-batch":
		return perBatch, nil
	case "lambda-no-wait":
		return noWait()
	}
	return nil, fmt.Errorf("%s=%q names no handler", NameEnv, name)
}

// Peers are the handlers around analytics-go.
func Peers() []peer.Peer {
	naive := func(name, what string, sample int) peer.Peer {
		return peer.Peer{Name: name, What: what, Queue: peer.SQS, Backlog: peer.BacklogJSON, Fill: FillJSON,
			Function: &peer.Function{Binary: "handler", Source: usual, Env: func(w peer.Working) []string {
				return []string{NameEnv + "=" + name, segmentEnv + "=" + w.Segment}
			}}, Sample: sample}
	}
	return []peer.Peer{
		naive("lambda-client-per-record", "Lambda, analytics-go: a client for each record", 2_000),
		naive("lambda-client-per-batch", "Lambda, analytics-go: a client for each batch", 20_000),
		naive("lambda-no-wait", "Lambda, analytics-go: one client, not awaited", 0),
	}
}

// Spillway is deliver, fed with both kinds of messages.
func Spillway() []peer.Peer {
	return []peer.Peer{
		{Name: "spillway-single", What: "Spillway, one event a message", Queue: peer.SQS, Backlog: "spillway-single",
			Fill: fillSingle, Function: spillway(), Lossless: true},
		{Name: "spillway-packed", What: "**Spillway, packed messages**", Queue: peer.SQS, Backlog: "spillway-packed",
			Fill: fillPacked, Function: spillway(), Lossless: true},
	}
}

// spillway is deliver as the topology deploys it.
func spillway() *peer.Function {
	t := topology.Default()
	source := t.EventSources[0]
	function, _ := t.Function(t.Names.DeliverFunction)
	return &peer.Function{Binary: "deliver",
		Source: peer.Source{BatchSize: source.BatchSize, Window: source.BatchingWindow,
			ReportBatchItemFailures: source.ReportBatchItemFailures, Timeout: function.Timeout, MemoryMB: function.MemoryMB},
		Env: func(w peer.Working) []string { return deliverEnv(t.Names, w) },
	}
}

func deliverEnv(n topology.Names, w peer.Working) []string {
	endpoint := peer.Endpoint(w.QueueURL)
	return []string{
		"SPILLWAY_QUEUE_URL=" + w.QueueURL,
		"SPILLWAY_BULK_QUEUE_URL=" + local.QueueURL(endpoint, n.BulkQueue),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=" + local.QueueURL(endpoint, n.DeadLetterQueue),
		"SPILLWAY_SEGMENT_ENDPOINT=" + w.Segment,
		"SPILLWAY_WRITE_KEY=" + peer.WriteKey,
		"AWS_ENDPOINT_URL_SQS=" + endpoint,
		"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey,
	}
}

// newClient makes an analytics-go client with its defaults.
func newClient() (analytics.Client, error) {
	return analytics.NewWithConfig(peer.WriteKey, analytics.Config{Endpoint: os.Getenv(segmentEnv)})
}

// enqueue gives a record's event to a client.
func enqueue(client analytics.Client, record events.SQSMessage) error {
	var track analytics.Track
	if err := json.Unmarshal([]byte(record.Body), &track); err != nil {
		return fmt.Errorf("read message %s: %w", record.MessageId, err)
	}
	return client.Enqueue(track)
}

// perRecord is a handler with a client for each record: the client is closed to be sure that it has
// sent the event before Lambda freezes the process.
func perRecord(_ context.Context, e events.SQSEvent) error {
	for _, record := range e.Records {
		client, err := newClient()
		if err != nil {
			return err
		}
		if err := enqueue(client, record); err != nil {
			return err
		}
		if err := client.Close(); err != nil {
			return err
		}
	}
	return nil
}

// perBatch is the same handler with a client for each batch.
func perBatch(_ context.Context, e events.SQSEvent) error {
	client, err := newClient()
	if err != nil {
		return err
	}
	for _, record := range e.Records {
		if err := enqueue(client, record); err != nil {
			return err
		}
	}
	return client.Close()
}

// noWait is a handler with one client for all invocations, which it never waits for: what the
// client has not sent when the handler returns is frozen with it.
func noWait() (any, error) {
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, e events.SQSEvent) error {
		for _, record := range e.Records {
			if err := enqueue(client, record); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
