package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/ssm"
)

var errWriteKey = errors.New("the value is not a write key: it must be the key of a Segment source, and nothing else")

// newWriteKey is the write key of messages that carry none.
func newWriteKey(source reload.Source, logger *slog.Logger) *reload.Value[string] {
	return reload.New(reload.Config[string]{
		What: "default write key", Without: "messages without a write key wait in the queue until it is",
		Source: source, Logger: logger,
		Parse: func(ctx context.Context, data []byte) (string, slog.Attr, error) {
			key := event.TrimWriteKey(string(data))
			if !event.ValidWriteKey(key) {
				return "", slog.Attr{}, errWriteKey
			}
			if key != string(data) {
				logger.WarnContext(ctx, "the default write key has white space around it, which is ignored", "source", source.Name)
			}
			return key, slog.String("key_id", event.KeyID(key)), nil
		},
	})
}

// newPausedKeys is the write keys that a person has paused. The parameter exists only while there are
// some. Delivery never waits for it; what can't be read is as it was.
func newPausedKeys(source reload.Source, logger *slog.Logger) *reload.Value[operator.Keys] {
	return reload.New(reload.Config[operator.Keys]{
		What: "list of paused write keys", Without: "none is paused", Source: source.Else(nil, ssm.NotFound),
		Logger: logger, Default: new(operator.Keys),
		Parse: func(_ context.Context, data []byte) (operator.Keys, slog.Attr, error) {
			keys, err := operator.ParseKeys(data)
			return keys, slog.Any("paused", slices.Sorted(maps.Keys(keys.Paused()))), err
		},
	})
}

// endpoint sends to the Segment whose URL was read last. Without one it sends nothing: a Segment of
// another region than the workspace's takes events without an error and drops them, so that a
// default would lose events.
type endpoint struct {
	*reload.Value[*segment.Client]
	name string
}

// newEndpoint makes clients by c of the URLs that the source has.
func newEndpoint(source reload.Source, c segment.Config, logger *slog.Logger) *endpoint {
	return &endpoint{name: source.Name, Value: reload.New(reload.Config[*segment.Client]{
		What: "endpoint of Segment", Without: "all messages wait in the queue until it is",
		Source: source, Logger: logger,
		Parse: func(_ context.Context, data []byte) (*segment.Client, slog.Attr, error) {
			c := c
			c.Endpoint = strings.TrimSpace(string(data))
			client, err := segment.NewClient(c)
			return client, slog.String("endpoint", c.Endpoint), err
		},
	})}
}

// Flush implements deliver.Flusher.
func (e *endpoint) Flush(ctx context.Context, b *event.Batch) error {
	if client, ok := e.Load(); ok {
		return client.Flush(ctx, b)
	}
	return fmt.Errorf("%w: the parameter %s has not been read yet", deliver.ErrNoEndpoint, e.name)
}
