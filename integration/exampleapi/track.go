package main

import (
	"context"
	"expvar"
	"fmt"
	"log/slog"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
)

// durabilities are the values of --track, except none.
var durabilities = map[string]publisher.Durability{"memory": publisher.Memory, "process": publisher.Process,
	"disk": publisher.Disk}

const modes = "none, memory, process or disk"

// config is how to track.
type config struct {
	track, queueURL, dir, writeKey string
}

// tracker makes the client. An API that has one mode only needs the call of publisher.New.
func (c config) tracker(ctx context.Context, log *slog.Logger) (analytics.Client, error) {
	if c.track == "none" {
		return untracked{}, nil
	}
	durability, ok := durabilities[c.track]
	if !ok {
		return nil, fmt.Errorf("--track must be %s, is %q", modes, c.track)
	}
	client, err := publisher.New(ctx, publisher.Config{
		QueueURL: c.queueURL, WriteKey: c.writeKey, Durability: durability, Dir: c.dir, Callback: losses{log}, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	expvar.Publish("publisher", client)
	return client, nil
}

// losses logs the events that are lost.
type losses struct{ log *slog.Logger }

func (losses) Success(analytics.Message) {}

func (l losses) Failure(m analytics.Message, err error) {
	track, _ := m.(analytics.Track)
	l.log.Error("event lost", "message_id", track.MessageId, "error", err)
}

// untracked is the API without tracking, to compare with.
type untracked struct{}

func (untracked) Enqueue(analytics.Message) error { return nil }
func (untracked) Close() error                    { return nil }
