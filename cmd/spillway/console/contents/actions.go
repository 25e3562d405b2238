package contents

import (
	"cmp"
	"context"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Actions are what sending dead letters again and deleting them needs.
type Actions struct {
	API                      deadletter.API
	EventsURL, DeadLetterURL string
	// Check returns an error if Segment does not take events, or if that is unknown.
	Check func(context.Context) error
	// Name returns what may be shown of a write key. It is not asked for the empty one, which means
	// the deliver function's default.
	Name func(writeKey string) string
	// Dir is where the files of deleted dead letters are written.
	Dir string
}

// KeyName implements console.DeadLetters.
func (a *Actions) KeyName(writeKey string) string {
	if writeKey == "" {
		return dlq.DefaultKey
	}
	return a.Name(writeKey)
}

// DropDir implements console.DeadLetters.
func (a *Actions) DropDir() string { return a.Dir }

func (a *Actions) queue() *deadletter.Queue { return deadletter.New(a.API, a.DeadLetterURL) }

// Redrive implements console.DeadLetters.
func (a *Actions) Redrive(ctx context.Context, o deadletter.RedriveOptions, force bool) (deadletter.RedriveResult,
	error) {
	if !force && !o.DryRun {
		o.Check = a.Check
	}
	to := a.EventsURL
	if !o.DryRun {
		bulk, err := queues.BulkURL(ctx, a.API, a.EventsURL)
		if err != nil {
			return deadletter.RedriveResult{}, err
		}
		to = cmp.Or(bulk, to)
	}
	return a.queue().Redrive(ctx, sqsclient.New(a.API, to), o)
}

// Drop implements console.DeadLetters.
func (a *Actions) Drop(ctx context.Context, f deadletter.Filter,
	write func(lines []byte) error) (deadletter.ExportResult, error) {
	return a.queue().Drop(ctx, f, write)
}
