package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// archiveTimeout bounds how long a request with invalid events waits for the bulk queue. SQS
	// answers within tens of milliseconds. It is above a second, so that one call without an answer
	// opens the circuit breaker.
	archiveTimeout = 1200 * time.Millisecond
	// maxArchived bounds the records of one call in bytes: a request of 512 KiB may have 5,000
	// events of a few bytes and a context of half a megabyte, which each of their records would
	// repeat.
	maxArchived = 16 << 20
)

// An archiver sends the records of the endpoint's own dead letters to the bulk queue, in
// archive-only messages, because they never pass the deliver function, which archives all others.
// It is safe for concurrent use.
//
// A dead letter is written first, and counts: no record must say that an event is a dead letter
// that is none. What the bulk queue does not take is counted and logged, and its request is
// accepted nevertheless. The archive has its events once the dead letter is redriven.
type archiver struct {
	bulk   *sqsclient.Failover // of one queue, for its circuit breaker
	canary string              // write key whose events are not archived
	logger *slog.Logger

	mu     sync.Mutex
	packer *archive.Packer

	notArchived atomic.Int64 // events, since metrics was called
}

func newArchiver(o *Options, p *Parts) (*archiver, error) {
	packer, err := archive.NewPacker()
	if err != nil {
		return nil, fmt.Errorf("set up the archive: %w", err)
	}
	// It logs itself what the queue does not take.
	bulk := sqsclient.NewFailover(slog.New(slog.DiscardHandler), nil,
		sqsclient.Target{URL: o.ArchiveQueueURL, Sender: sqsclient.NewSender(p.SQS, o.ArchiveQueueURL)})
	return &archiver{bulk: bulk, canary: o.CanaryWriteKey, logger: p.Logger, packer: packer}, nil
}

// archive sends the records of dead letters that are written; it is an ingest.Config's Archive.
func (a *archiver) archive(ctx context.Context, written []*message.DeadLetter) {
	frames, tooLarge := a.pack(written, time.Now())
	if tooLarge > 0 {
		a.notArchived.Add(int64(tooLarge))
		a.logger.ErrorContext(ctx, "invalid events are dead letters, but not in the archive until they are redriven: "+
			"with the context of their batch in each record they are too large", "events", tooLarge)
	}
	if len(frames) == 0 {
		return
	}
	messages := make([]message.Message, len(frames))
	for i, f := range frames {
		var err error
		if messages[i], err = message.NewArchiveOnly(f.Data, f.Records); err != nil {
			panic(err) // can't happen: a frame is smaller than a message
		}
	}
	ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
	defer cancel()
	err := a.bulk.Send(ctx, messages)
	if err == nil {
		return
	}
	events := 0
	for i := range sqsclient.Failures(err, len(messages)) {
		events += frames[i].Records
	}
	a.notArchived.Add(int64(events))
	a.logger.ErrorContext(ctx, "invalid events are dead letters, but not in the archive until they are redriven: "+
		"the bulk queue did not take their records", "events", events, "error", err)
}

// pack makes frames of the records of dead letters. tooLarge are the events of which it makes none.
func (a *archiver) pack(written []*message.DeadLetter, now time.Time) (frames []archive.Frame, tooLarge int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	room := maxArchived
	for _, l := range written {
		if l.Header.WriteKey == a.canary && a.canary != "" {
			continue
		}
		size := len(l.Events) * (len(l.Header.Context) + len(l.Header.Integrations))
		for _, e := range l.Events {
			size += len(e)
		}
		if size > room {
			tooLarge += len(l.Events)
			continue
		}
		room -= size
		r := archive.Record{Time: now, Outcome: archive.DeadLettered, Reason: l.Reason, Detail: message.LegalDetail(l.Detail),
			WriteKey: l.Header.WriteKey, ReceivedAt: l.Header.ReceivedAt, Origin: l.Header.Origin,
			Context: l.Header.Context, Integrations: l.Header.Integrations}
		for _, r.Event = range l.Events {
			a.packer.Add(&r, 0)
		}
	}
	return a.packer.Frames(), tooLarge
}

// metrics are the events that were not archived since the last call; none: no metric.
func (a *archiver) metrics() []emf.Metric {
	n := a.notArchived.Swap(0)
	if n == 0 {
		return nil
	}
	return []emf.Metric{{Name: "EventsNotArchived", Unit: emf.Count, Values: []float64{float64(n)}}}
}
