package publishertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/publisher/publishertest"
)

// queue takes messages and has the events in them.
type queue struct {
	mu     sync.Mutex
	events []string
}

func (q *queue) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (
	*sqs.SendMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.SendMessageBatchOutput{}
	for _, entry := range in.Entries {
		var body struct{ Batch []json.RawMessage }
		if err := json.Unmarshal([]byte(*entry.MessageBody), &body); err != nil {
			return nil, err
		}
		for _, event := range body.Batch {
			q.events = append(q.events, string(event))
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: entry.Id})
	}
	return out, nil
}

// client is what a program uses of both clients.
type publishing interface {
	analytics.Client
	Publish(context.Context, ...analytics.Message) error
	Shutdown(context.Context) error
}

func TestDoubleAcceptsAndRejectsAsThePublisherDoes(t *testing.T) {
	q := &queue{}
	client, err := publisher.New(t.Context(), publisher.Config{
		QueueURL: "http://localhost/000000000000/events", Logger: slog.New(slog.DiscardHandler),
		SQS: func(string) (publisher.SQS, error) { return q, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	double := publishertest.New()
	raw, err := publisher.NewRaw([]byte(`{"type":"page","messageId":"raw","timestamp":"t","category":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1, 0).UTC()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	calls := []func(publishing) error{
		func(c publishing) error {
			return c.Enqueue(analytics.Track{MessageId: "1", Timestamp: at, UserId: "u", Event: "E"})
		},
		func(c publishing) error {
			return c.Publish(t.Context(), &analytics.Alias{MessageId: "2", Timestamp: at, UserId: "u", PreviousId: "p"}, raw)
		},
		func(c publishing) error { return c.Publish(t.Context()) },
		func(c publishing) error { return c.Enqueue(analytics.Track{UserId: "u"}) },
		func(c publishing) error { return c.Enqueue(nil) },
		func(c publishing) error { return c.Enqueue(publisher.Raw{}) },
		func(c publishing) error {
			return c.Enqueue(analytics.Identify{UserId: "u", Traits: analytics.Traits{"x": math.NaN()}})
		},
		func(c publishing) error {
			return c.Enqueue(analytics.Track{UserId: "u", Event: strings.Repeat("x", 33<<10)})
		},
		func(c publishing) error {
			return c.Publish(t.Context(), analytics.Track{},
				analytics.Track{MessageId: "3", Timestamp: at, UserId: "u", Event: "E"})
		},
		func(c publishing) error { return c.Publish(over, analytics.Track{UserId: "u", Event: "E"}) },
		func(c publishing) error { return c.Close() },
		func(c publishing) error { return c.Enqueue(analytics.Track{UserId: "u", Event: "E"}) },
		func(c publishing) error { return c.Publish(t.Context(), analytics.Track{UserId: "u", Event: "E"}) },
		func(c publishing) error { return c.Shutdown(t.Context()) },
	}
	for i, call := range calls {
		want, got := call(client), call(double)
		if fmt.Sprintf("%T %[1]v", got) != fmt.Sprintf("%T %[1]v", want) {
			t.Errorf("call %d returned %T %[2]v, the publisher's %T %[3]v", i, got, want)
		}
	}
	sent := map[string]bool{}
	for _, event := range q.events {
		sent[event] = true
	}
	events := double.Events()
	for _, event := range events {
		if !sent[string(event.JSON)] {
			t.Errorf("recorded %s, which the publisher does not send", event.JSON)
		}
	}
	if len(events) != 4 || len(sent) != 4 || events[0].Published || !events[1].Published || !double.Closed() {
		t.Errorf("recorded %+v, sent %v", events, q.events)
	}
}

func TestRecordedMessagesAreDecodedAndDoNotChange(t *testing.T) {
	c := publishertest.New()
	properties := analytics.Properties{"km": 10}
	if err := c.Enqueue(&analytics.Track{UserId: "u", Event: "Run Finished", Properties: properties}); err != nil {
		t.Fatal(err)
	}
	properties["km"] = 11
	if err := c.Enqueue(analytics.Identify{UserId: "u"}); err != nil {
		t.Fatal(err)
	}
	tracks := publishertest.Messages[analytics.Track](c)
	if len(tracks) != 1 || tracks[0].MessageId == "" || tracks[0].Timestamp.IsZero() ||
		!reflect.DeepEqual(tracks[0].Properties, analytics.Properties{"km": 10.0}) {
		t.Errorf("tracks %+v", tracks)
	}
	if all := publishertest.Messages[analytics.Message](c); len(all) != 2 {
		t.Errorf("messages %+v", all)
	}
	c.Reset()
	if events := c.Events(); len(events) != 0 {
		t.Errorf("events %+v after Reset", events)
	}
}

func TestFailMakesCallsFail(t *testing.T) {
	c := publishertest.New()
	track := analytics.Track{UserId: "u", Event: "E"}
	c.Fail(publisher.ErrFull)
	if err := c.Enqueue(track); err != publisher.ErrFull {
		t.Errorf("Enqueue: %v", err)
	}
	if err := c.Publish(t.Context(), track); !errors.Is(err, publisher.ErrFull) {
		t.Errorf("Publish: %v", err)
	}
	c.FailFunc(func(m analytics.Message) error {
		if m.(analytics.Track).UserId == "bad" {
			return &publisher.SendError{Unknown: true, Err: errors.New("no answer")}
		}
		return nil
	})
	err := c.Publish(t.Context(), track, analytics.Track{UserId: "bad", Event: "E"}, track)
	var failures *publisher.PublishError
	var unknown *publisher.SendError
	if !errors.As(err, &failures) || len(failures.Failed) != 1 || !errors.As(failures.Failed[1], &unknown) ||
		!unknown.Unknown {
		t.Errorf("Publish: %v", err)
	}
	c.Fail(nil)
	if err := c.Enqueue(track); err != nil || len(c.Events()) != 3 {
		t.Errorf("Enqueue after Fail(nil): %v, recorded %+v", err, c.Events())
	}
}

func TestConcurrentCallsRecordEveryEvent(t *testing.T) {
	c := publishertest.New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if err := c.Enqueue(analytics.Track{UserId: "u", Event: "E"}); err != nil {
					t.Error(err)
				}
				c.FailFunc(nil)
				c.Events()
			}
		})
	}
	all.Wait()
	if n := len(c.Events()); n != 800 {
		t.Errorf("recorded %d of 800 events", n)
	}
}
