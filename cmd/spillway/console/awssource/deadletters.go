package awssource

import (
	"context"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/contents"
	"github.com/spillwayhq/spillway/shared/segment"
)

// newDeadLetters returns the dead-letter queue, which is read and changed as `spillway dlq` does
// it. dir is where the files of deleted dead letters are written.
func newDeadLetters(p *pipeline, senders *senderReader, dir string) *contents.Deployed {
	return contents.NewDeployed(contents.Actions{API: p.Queues, EventsURL: p.about.EventsURL,
		DeadLetterURL: p.about.DeadLetterURL, Name: senders.keyName, Dir: dir,
		Check: func(ctx context.Context) error {
			p.meter.metrics(1 + len(segment.Classes())) // the breaker, and the answers by class
			return p.Health(ctx, p.about.EventsURL)
		}})
}

// DeadLetters implements console.Source.
func (s *Source) DeadLetters() console.DeadLetters { return s.dead }

// Find implements console.Source: among the dead letters that have been read. No log has events.
func (s *Source) Find(_ context.Context, query string, most int) (console.Story, error) {
	return s.dead.Find(query, most, console.Place{Name: "Logs",
		Says: "no log on AWS has events: they are personal data, and many"}), nil
}

// Close ends a reading of the dead letters, and returns when they are visible again.
func (s *Source) Close() { s.dead.Close() }
