// Package eventbridge puts events on the default event bus of EventBridge, where rules of the
// account's own can pick them up.
package eventbridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/signed"
)

// Source is the source of every event.
const Source = "spillway"

// MaxEvents is how many events one call takes (EventBridge API reference, PutEvents).
const MaxEvents = 10

// An Event is what a rule sees.
type Event struct {
	At     time.Time
	Type   string // the detail type
	Detail any    // becomes a JSON object, of at most some 200 KB
}

// A Bus is the default event bus of a region. It is safe for concurrent use.
type Bus struct{ client *signed.Client }

// New returns the bus of the configuration's region.
func New(c aws.Config) *Bus { return &Bus{signed.EventBridge(c)} }

type entry struct {
	Source, DetailType, Detail string
	Time                       int64 // in seconds
}

// Put puts events on the bus, once. It needs the permission events:PutEvents. An error says how many
// are not on the bus.
func (b *Bus) Put(ctx context.Context, events []Event) error {
	for len(events) > 0 {
		n := min(len(events), MaxEvents)
		if err := b.put(ctx, events[:n]); err != nil {
			return fmt.Errorf("put %d events on the event bus: %w", len(events), err)
		}
		events = events[n:]
	}
	return nil
}

func (b *Bus) put(ctx context.Context, events []Event) error {
	var in struct{ Entries []entry }
	for _, e := range events {
		detail, err := json.Marshal(e.Detail)
		if err != nil {
			return err
		}
		in.Entries = append(in.Entries, entry{Source, e.Type, string(detail), e.At.Unix()})
	}
	var answer struct {
		FailedEntryCount int
		Entries          []struct{ ErrorCode, ErrorMessage string }
	}
	if err := b.client.Call(ctx, "AWSEvents.PutEvents", in, &answer); err != nil {
		return err
	}
	for _, e := range answer.Entries {
		if e.ErrorCode != "" {
			return fmt.Errorf("%d of %d failed, the first with %s: %s", answer.FailedEntryCount, len(events), e.ErrorCode,
				e.ErrorMessage)
		}
	}
	return nil
}
