package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/outbox"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// deadLetterShare: one byte in so many of SpillBytes is for dead letters.
const deadLetterShare = 8

// A region has the clients of one region's queues.
type region struct {
	events, deadLetters SQS
	eventsURL, deadURL  string // deadURL may be empty, except in the first region
}

// queues are where the endpoint sends messages to: the events queue and the dead-letter queue, each
// with those of further regions, and with a server's place on disk.
type queues struct {
	events, deadLetters ingest.Queue
	onDisk              []*outbox.Outbox // of the events, and of the dead letters; empty: there is none

	mu       sync.Mutex
	reported outbox.Stats // by metrics
}

func newQueues(ctx context.Context, o *Options, p *Parts) (*queues, error) {
	q := new(queues)
	regions := []region{{p.SQS, p.SQS, o.QueueURL, o.DeadLetterQueueURL}}
	for i, url := range o.FallbackQueueURLs {
		r := region{events: p.SQS, deadLetters: p.SQS, eventsURL: url}
		if i < len(o.FallbackDeadLetterQueueURLs) {
			r.deadURL = o.FallbackDeadLetterQueueURLs[i]
		}
		if p.NewSQS != nil {
			api, err := p.NewSQS(ctx, url)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", envFallbacks, err)
			}
			r.events, r.deadLetters = api, api
		}
		regions = append(regions, r)
	}
	var events, deadLetters []sqsclient.Target
	for _, r := range regions {
		events = append(events, sqsclient.Target{URL: r.eventsURL, Sender: sqsclient.NewSender(r.events, r.eventsURL)})
		if r.deadURL != "" {
			deadLetters = append(deadLetters,
				sqsclient.Target{URL: r.deadURL, Sender: sqsclient.NewSender(r.deadLetters, r.deadURL)})
		}
	}
	q.events = sqsclient.NewFailover(p.Logger, nil, events...)
	q.deadLetters = sqsclient.NewFailover(p.Logger, nil, deadLetters...)
	if o.Server == nil || o.Server.SpillDir == "" {
		return q, nil
	}
	return q, q.openDisk(ctx, o.Server, p)
}

// openDisk puts a place on disk behind each of the two.
func (q *queues) openDisk(ctx context.Context, s *Server, p *Parts) error {
	bytes := cmp.Or(s.SpillBytes, spill.DefaultMaxBytes)
	for _, d := range []struct {
		queue *ingest.Queue
		dir   string
		bytes int64
	}{
		{&q.events, "events", bytes - bytes/deadLetterShare},
		{&q.deadLetters, "dead-letters", bytes / deadLetterShare},
	} {
		b, err := outbox.Open(ctx, outbox.Options{Dir: filepath.Join(s.SpillDir, d.dir), MaxBytes: d.bytes, Queue: *d.queue,
			Logger: p.Logger})
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", envSpillDir, err), q.close())
		}
		q.onDisk = append(q.onDisk, b)
		*d.queue = b
	}
	return nil
}

// waiting reports whether messages are on disk.
func (q *queues) waiting() bool {
	return slices.ContainsFunc(q.onDisk, func(b *outbox.Outbox) bool { return b.Stats().Unsent })
}

// metrics are what was written to disk since the last call, and what was dropped there: SQS refused
// it, or it can't be read. What did not happen is not written. It is safe for concurrent use.
func (q *queues) metrics() []emf.Metric {
	q.mu.Lock()
	defer q.mu.Unlock()
	var now outbox.Stats
	for _, b := range q.onDisk {
		s := b.Stats()
		now.Spilled += s.Spilled
		now.Dropped += s.Dropped
	}
	before := q.reported
	q.reported = now
	var metrics []emf.Metric
	for _, m := range []struct {
		name string
		n    int64
	}{
		{"MessagesSpilled", now.Spilled - before.Spilled},
		{"SpilledMessagesDropped", now.Dropped - before.Dropped},
	} {
		if m.n > 0 {
			metrics = append(metrics, emf.Metric{Name: m.name, Unit: emf.Count, Values: []float64{float64(m.n)}})
		}
	}
	return metrics
}

// run sends what is on disk until ctx ends.
func (q *queues) run(ctx context.Context) {
	var running sync.WaitGroup
	for _, b := range q.onDisk {
		running.Go(func() { b.Run(ctx) })
	}
	running.Wait()
}

// close unlocks the directory; run must have returned. What is on disk is for the next process.
func (q *queues) close() error {
	var errs []error
	for _, b := range q.onDisk {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}
