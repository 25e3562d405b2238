package publisher_test

import (
	"context"
	"expvar"
	"log"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
)

func Example() {
	ctx := context.Background()
	client, err := publisher.New(ctx, publisher.Config{
		QueueURL: "https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events", WriteKey: "YOUR_WRITE_KEY",
		Fallbacks: []string{"https://sqs.eu-central-1.amazonaws.com/123456789012/spillway-events"},
		Dir:       "/var/lib/api/events",
	})
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("publisher", client)

	if err := client.Enqueue(analytics.Track{UserId: "u1", Event: "Run Started"}); err != nil {
		log.Print(err)
	}
	if err := client.Publish(ctx, analytics.Track{UserId: "u1", Event: "Invoice Paid"}); err != nil {
		log.Print(err)
	}

	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := client.Shutdown(ctx); err != nil {
		log.Print(err)
	}
}
