package publisher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
)

func Example() {
	// in production: the queue of the pipeline,
	// https://sqs.REGION.amazonaws.com/ACCOUNT/spillway-events
	local := startSQS()
	defer local.Close()

	ctx := context.Background()
	client, err := publisher.New(ctx, publisher.Config{QueueURL: local.queueURL, WriteKey: "YOURWRITEKEY"})
	if err != nil {
		log.Fatal(err)
	}
	// Enqueue returns at once.
	if err := client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}
	// Shutdown sends what waits.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := client.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	local.print()
	// Output: SQS has: u1 Run Started
}

// A program that used analytics-go changes the line that makes its client, and no other.
func ExampleNew() {
	local := startSQS()
	defer local.Close()

	var client analytics.Client // before: client = analytics.New("YOURWRITEKEY")
	client, err := publisher.New(context.Background(),
		publisher.Config{QueueURL: local.queueURL, WriteKey: "YOURWRITEKEY"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Close())
	// Output: <nil>
}

// A ConfigError says which field is wrong. New does not fail because SQS is down.
func ExampleNew_wrongConfig() {
	_, err := publisher.New(context.Background(), publisher.Config{
		QueueURL: "https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events", Durability: publisher.Disk,
	})
	if wrong, ok := errors.AsType[*publisher.ConfigError](err); ok {
		fmt.Println(wrong.Field)
	}
	_, err = publisher.New(context.Background(), publisher.Config{QueueURL: "spillway-events"})
	fmt.Println(errors.Is(err, publisher.ErrNotAQueueURL))
	// Output:
	// Dir
	// true
}

func ExampleClient_Enqueue() {
	local := startSQS()
	defer local.Close()
	client, err := publisher.New(context.Background(), publisher.Config{QueueURL: local.queueURL})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	err = client.Enqueue(analytics.Track{
		UserId: "u1", Event: "Run Finished",
		Properties: analytics.NewProperties().Set("route", func() {}), // a function is not JSON
	})
	var wrong *publisher.EventError
	switch {
	case err == nil:
	case errors.As(err, &wrong):
		fmt.Println("a bug of ours:", wrong.Reason)
	case errors.Is(err, publisher.ErrFull):
		fmt.Println("SQS has been down for too long")
	default:
		fmt.Println("invalid, or the client is closed:", err)
	}
	// Output: a bug of ours: unencodable
}

// Publish returns when SQS has the events: in a Lambda function, which does not run between two
// invocations, or for an event whose loss the program must know of.
func ExampleClient_Publish() {
	local := startSQS()
	defer local.Close()
	client, err := publisher.New(context.Background(), publisher.Config{QueueURL: local.queueURL})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	err = client.Publish(context.Background(),
		analytics.Track{UserId: "u1", Event: "Invoice Paid"},
		analytics.Track{UserId: "u2"}, // invalid: it has no Event
	)
	if failures, ok := errors.AsType[*publisher.PublishError](err); ok {
		for i, err := range failures.Failed {
			fmt.Printf("message %d: %v\n", i, err)
		}
	}
	local.print()
	// Output:
	// message 1: analytics.Track.Event: invalid field value: ""
	// SQS has: u1 Invoice Paid
}

// A Raw is sent byte for byte: here with a member that analytics.Page does not have.
func ExampleNewRaw() {
	local := startSQS()
	defer local.Close()
	client, err := publisher.New(context.Background(), publisher.Config{QueueURL: local.queueURL})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	raw, err := publisher.NewRaw([]byte(
		`{"type":"page","category":"runs","userId":"u1","messageId":"m1","timestamp":"2026-11-26T08:00:00Z"}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Publish(context.Background(), raw))
	fmt.Printf("%s\n", raw.JSON())
	// Output: <nil>
	// {"type":"page","category":"runs","userId":"u1","messageId":"m1","timestamp":"2026-11-26T08:00:00Z"}
}

// While no queue takes events, those that memory can't hold, and those of a Shutdown, go to Dir.
// The next client that has it sends them.
func ExampleConfig_dir() {
	local := startSQS()
	defer local.Close()
	dir, err := os.MkdirTemp("", "events") // in production: a directory that outlives the process
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	config := publisher.Config{QueueURL: local.queueURL, Dir: dir, Logger: slog.New(slog.DiscardHandler)}

	local.setDown(true)
	client, err := publisher.New(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}))
	fmt.Println(client.Close())
	fmt.Println("spilled:", client.Stats().Spilled)

	local.setDown(false)
	client, err = publisher.New(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Close())
	local.print()
	// Output:
	// <nil>
	// <nil>
	// spilled: 1
	// <nil>
	// SQS has: u1 Run Started
}

// With Process an event is safe against kill -9 when Enqueue returns, with Disk also against a
// power cut. Every event then passes through Dir.
func ExampleDurability() {
	local := startSQS()
	defer local.Close()
	dir, err := os.MkdirTemp("", "events")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for _, durability := range []publisher.Durability{publisher.Process, publisher.Disk} {
		client, err := publisher.New(context.Background(),
			publisher.Config{QueueURL: local.queueURL, Durability: durability, Dir: dir})
		if err != nil {
			log.Fatal(err)
		}
		if err := client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
			log.Print(err)
		}
		if err := client.Close(); err != nil {
			log.Print(err)
		}
		fmt.Println("sent from disk:", client.Stats().Replayed)
	}
	// Output:
	// sent from disk: 1
	// sent from disk: 1
}

// Events go to the first region whose queue takes them.
func ExampleConfig_fallbacks() {
	ireland, frankfurt := startSQS(), startSQS()
	defer ireland.Close()
	defer frankfurt.Close()
	ireland.setDown(true)

	client, err := publisher.New(context.Background(), publisher.Config{
		QueueURL: ireland.queueURL, Fallbacks: []string{frankfurt.queueURL}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Publish(context.Background(), analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}
	frankfurt.print()
	// Output: SQS has: u1 Run Started
}

// The callback is told each event that SQS has, or will not get.
func ExampleConfig_callback() {
	local := startSQS()
	defer local.Close()
	client, err := publisher.New(context.Background(), publisher.Config{QueueURL: local.queueURL, Callback: printer{}})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}
	if err := client.Close(); err != nil {
		log.Print(err)
	}
	// Output: sent: Run Started
}

// printer is an analytics.Callback.
type printer struct{}

func (printer) Success(m analytics.Message) { fmt.Println("sent:", m.(analytics.Track).Event) }

func (printer) Failure(m analytics.Message, err error) {
	fmt.Println("lost:", m.(analytics.Track).Event, err)
}

// A Shutdown whose time is over says how many events are lost. With Config.Dir they would be on
// disk.
func ExampleClient_Shutdown() {
	local := startSQS()
	defer local.Close()
	local.setDown(true)
	client, err := publisher.New(context.Background(),
		publisher.Config{QueueURL: local.queueURL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fmt.Println(client.Shutdown(ctx))
	fmt.Println(errors.Is(client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Ended"}), publisher.ErrClosed))
	// Output:
	// 1 events are neither in SQS nor on disk: context deadline exceeded
	// true
}

// In a Lambda function Metrics is os.Stdout, and CloudWatch makes metrics of the lines.
func ExampleConfig_metrics() {
	local := startSQS()
	defer local.Close()
	var lines bytes.Buffer
	client, err := publisher.New(context.Background(),
		publisher.Config{QueueURL: local.queueURL, Metrics: &lines, Pipeline: "spillway-staging"})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}
	if err := client.Close(); err != nil { // writes the metrics for the last time
		log.Print(err)
	}

	var line struct {
		Pipeline                       string
		EventsPublished, EventsDropped int
	}
	if err := json.NewDecoder(&lines).Decode(&line); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", line)
	// Output: {Pipeline:spillway-staging EventsPublished:1 EventsDropped:0}
}

// A Client is an expvar.Var: GET /debug/vars shows its Stats.
func ExampleClient_Stats() {
	local := startSQS()
	defer local.Close()
	client, err := publisher.New(context.Background(), publisher.Config{QueueURL: local.queueURL})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	expvar.Publish("publisher", client)

	if err := client.Publish(context.Background(), analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}
	stats := client.Stats()
	fmt.Println(stats.Published, stats.Messages, stats.Queue == local.queueURL)
	// Output: 1 1 true
}
