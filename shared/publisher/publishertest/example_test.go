package publishertest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/publisher/publishertest"
)

// finishRun is the code under test. In production tracker is a *publisher.Client.
func finishRun(tracker analytics.Client, user string, km float64) error {
	return tracker.Enqueue(analytics.Track{
		UserId: user, Event: "Run Finished", Properties: analytics.Properties{"km": km},
	})
}

func Example() {
	events := publishertest.New()
	if err := finishRun(events, "u1", 10.5); err != nil {
		fmt.Println(err)
	}
	for _, track := range publishertest.Messages[analytics.Track](events) {
		fmt.Println(track.UserId, track.Event, track.Properties["km"])
	}
	// Output: u1 Run Finished 10.5
}

func ExampleClient_Fail() {
	events := publishertest.New()
	events.Fail(publisher.ErrFull) // as when SQS is down for too long
	err := finishRun(events, "u1", 10.5)
	fmt.Println(errors.Is(err, publisher.ErrFull), len(events.Events()))
	// Output: true 0
}

func ExampleClient_FailFunc() {
	events := publishertest.New()
	events.FailFunc(func(m analytics.Message) error {
		if track, ok := m.(analytics.Track); ok && track.UserId == "u2" {
			return &publisher.SendError{Unknown: true, Err: errors.New("no answer")}
		}
		return nil
	})
	err := events.Publish(context.Background(),
		analytics.Track{UserId: "u1", Event: "Invoice Paid"}, analytics.Track{UserId: "u2", Event: "Invoice Paid"})
	fmt.Println(err)
	// Output: publish: SQS may have the event, but did not confirm it: no answer
}

func ExampleClient_Events() {
	events := publishertest.New()
	if err := events.Enqueue(analytics.Identify{MessageId: "m1", UserId: "u1"}); err != nil {
		fmt.Println(err)
	}
	for _, event := range events.Events() {
		fmt.Printf("%T published=%v %.34s\n", event.Message, event.Published, event.JSON)
	}
	// Output: analytics.Identify published=false {"type":"identify","messageId":"m1
}
