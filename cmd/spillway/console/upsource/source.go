// Package upsource is what the operator's page reads of a running `spillway up`, in whose process
// it is: all of it is in memory, so that nothing here waits.
package upsource

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/contents"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
)

const (
	// allSamples is more than there are.
	allSamples = 1 << 30
)

// A Source reads a pipeline of this process. It is safe for concurrent use.
type Source struct {
	pipeline *local.Pipeline
	reader   local.Reader
	topology topology.Topology
	switches *switches // nil: there is no Segment emulator
	contents *contents.Local
}

var _ console.Source = (*Source)(nil)

// New returns the Source of a pipeline.
func New(p *local.Pipeline) *Source {
	s := &Source{pipeline: p, reader: p.Reader()}
	s.topology = s.reader.Topology()
	if p.Segmentd() != nil {
		s.switches = newSwitches(p)
	}
	s.contents = newContents(s)
	return s
}

// newContents returns what the pipeline's queues hold.
func newContents(s *Source) *contents.Local {
	p, names := s.pipeline, s.topology.Names
	events, _ := p.SQS().Queue(names.EventsQueue) // the pipeline has made all
	bulk, _ := p.SQS().Queue(names.BulkQueue)
	dead, _ := p.SQS().Queue(names.DeadLetterQueue)
	var kept contents.Archive
	if dir := p.Status().ArchiveDir; dir != "" {
		kept.Store = dirstore.Open(dir)
	}
	return contents.NewLocal(contents.LocalConfig{Events: events, Bulk: bulk, Dead: dead, Segment: p.Segmentd(),
		Archive: kept, Actions: contents.Actions{
			API:       local.Client(p.SQSURL, func(o *sqs.Options) { o.HTTPClient = p.SQS().HTTPClient() }),
			EventsURL: p.QueueURL(names.EventsQueue), DeadLetterURL: p.QueueURL(names.DeadLetterQueue),
			Check: func(context.Context) error { return p.Status().Segment.Failing(time.Now()) },
			Name: func(writeKey string) string {
				id := event.KeyID(writeKey)
				return cmp.Or(s.keyNames()[id], id)
			},
			Dir: filepath.Dir(p.LogPath), // the data directory
		}})
}

// Close ends what the Source does besides.
func (s *Source) Close() { s.contents.Close() }

// About implements console.Source.
func (s *Source) About() console.About {
	names := s.topology.Names
	events, flags := s.pipeline.QueueURL(names.EventsQueue), ""
	if events != queues.DefaultURL {
		flags = " --queue-url " + events
	}
	return console.About{
		Pipeline: names.Pipeline, Version: s.pipeline.Status().Version, Local: true, Topology: s.topology,
		IngestURL: s.pipeline.IngestURL, EventsURL: events,
		DeadLetterURL: s.pipeline.QueueURL(names.DeadLetterQueue), SegmentURL: s.pipeline.SegmentURL,
		Command: "spillway", Flags: flags,
	}
}

// Metrics implements console.Source.
func (s *Source) Metrics(_ context.Context, metrics []topology.Metric, from time.Time, period time.Duration,
	n int) ([][]float64, error) {
	return s.reader.Metrics(metrics, from, period, n)
}

// Now implements console.Source.
func (s *Source) Now(context.Context) (console.Now, error) {
	return now(s.pipeline.Status()), nil
}

// now is what the page shows of a status.
func now(s local.Status) console.Now {
	n := console.Now{
		At: s.At, Messages: s.Backlog, Events: s.BacklogEvents, InFlight: s.InFlight, OldestAge: s.OldestAge,
		Bulk: s.Bulk.BacklogEvents, DeadLetters: s.DeadLetters, Paused: s.Paused.String(), Degraded: s.Degraded,
		Store: s.Store, Canary: s.Canary.Failure,
		// An environment whose breaker has opened keeps it open until its next message: without a
		// backlog that says nothing of Segment.
		BreakerOpen: s.Segment.BreakerOpen && s.Backlog+s.Bulk.Backlog > 0,
		CanaryAge:   console.Unknown, CanaryLatency: console.Unknown,
		Totals: &console.Totals{Accepted: s.Accepted, Refused: s.Refused + s.Shed, Retried: s.Retried,
			DeadLettered: s.DeadLettered, Delivered: s.Delivered},
	}
	if s.Canary.On && !s.Canary.At.IsZero() {
		n.CanaryAge, n.CanaryLatency = max(0, s.At.Sub(s.Canary.At)), s.Canary.Latency
	}
	return n
}

var errHeld = errors.New("alarms are evaluated while events are delivered: start `spillway up` without --deliver=false")

// Alarms implements console.Source.
func (s *Source) Alarms(_ context.Context, since time.Time) ([]console.Alarm, error) {
	status := s.pipeline.Status()
	if len(status.Alarms) == 0 {
		return nil, errHeld
	}
	alarms := make([]console.Alarm, len(status.Alarms))
	for i := range status.Alarms {
		a := &status.Alarms[i]
		alarms[i] = console.Alarm{Name: a.Name, Severity: a.Severity, Composite: a.Composite, State: string(a.State),
			Since: a.Since, Reason: a.Reason, Notified: a.Notified, SuppressedBy: a.SuppressedBy,
			Coming: a.Coming}
		for _, f := range s.reader.Firings(a.Name, since) {
			alarms[i].Firings = append(alarms[i].Firings, console.Span(f))
		}
	}
	return alarms, nil
}

// Refusals implements console.Source.
func (s *Source) Refusals(_ context.Context, from, to time.Time) (r console.Refusals, err error) {
	r.Requests, r.Events, err = s.reader.Refusals(from, to)
	return r, err
}

// Senders implements console.Source.
func (s *Source) Senders(_ context.Context, since time.Duration) (top.Report, error) {
	at := time.Now().Add(time.Second) // what is written while the lines are read counts too
	var lines []heavy.Line
	for _, span := range top.Spans(at, since) {
		lines = append(lines, s.reader.Senders(span.From, span.To, console.SenderRows)...)
	}
	by := []heavy.By{heavy.ByEvent, heavy.ByWriteKey, heavy.ByUser}
	report := top.New(s.topology.Names.Pipeline, at, since, lines, by, console.SenderRows)
	nameKeys(&report, s.keyNames())
	return report, nil
}

// nameKeys names the write keys that the lines have by their fingerprints only, as deliver's do.
func nameKeys(r *top.Report, names map[string]string) {
	name := func(text, id *string) {
		if known := names[*text]; *id == "" && known != "" {
			*text, *id = known, *text
		}
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		if t.By != heavy.ByWriteKey {
			continue
		}
		for j := range t.Heaviest {
			name(&t.Heaviest[j].Name, &t.Heaviest[j].ID)
		}
		for j := range t.Grown {
			name(&t.Grown[j].Name, &t.Grown[j].ID)
		}
	}
}

// Samples implements console.Source.
func (s *Source) Samples(_ context.Context, q console.SampleQuery) ([]console.Sample, error) {
	found := s.reader.Samples(q.Limit, func(o *local.Outcome) bool {
		return (q.Outcome == "" || q.Outcome == o.Outcome) && (q.Reason == "" || q.Reason == o.Reason)
	})
	names := s.keyNames()
	samples := make([]console.Sample, len(found))
	for i := range found {
		o := &found[i]
		samples[i] = console.Sample{At: o.At, Outcome: o.Outcome, Reason: o.Reason, Answer: o.Detail, Type: o.Type,
			Event: o.Event, User: o.User, MessageID: o.MessageID, WriteKey: cmp.Or(names[o.WriteKey], o.WriteKey), Age: o.Age,
			Receives: o.Receives}
		if o.Outcome == console.OutcomeRefused {
			samples[i].Age = console.Unknown
		}
	}
	return samples, nil
}

// keyNames are the names of write keys by their fingerprints.
func (s *Source) keyNames() map[string]string {
	names := map[string]string{}
	keys, _ := s.reader.WriteKeys()
	for _, k := range keys {
		names[k.ID] = k.Name
	}
	if s.switches != nil {
		names[madeUpKeyID] = madeUpName
	}
	return names
}

// WriteKeys implements console.Source.
func (s *Source) WriteKeys(context.Context) ([]console.WriteKey, error) {
	at := time.Now()
	u := usage{at: at, lines: s.reader.Senders(at.Add(-console.RefusedOver), at.Add(time.Second), manyKeys),
		names:  s.keyNames(),
		pauses: s.reader.Pauses(at), seen: map[string]time.Time{}}
	notRefused := func(o *local.Outcome) bool { return o.Outcome != console.OutcomeRefused }
	for _, o := range s.reader.Samples(allSamples, notRefused) {
		if o.At.After(u.seen[o.WriteKey]) {
			u.seen[o.WriteKey] = o.At
		}
	}
	u.keys, _ = s.reader.WriteKeys()
	return console.WithPaused(u.writeKeys(), s.pipeline.Status().PausedKeys), nil
}

// Switches implements console.Source.
func (s *Source) Switches() console.Switches {
	if s.switches == nil {
		return nil
	}
	return s.switches
}

// Cost implements console.Source.
func (s *Source) Cost() string { return "" }

// DeadLetters implements console.Source.
func (s *Source) DeadLetters() console.DeadLetters { return s.contents }

// Find implements console.Source.
func (s *Source) Find(ctx context.Context, query string, most int) (console.Story, error) {
	samples, err := s.Samples(ctx, console.SampleQuery{Limit: allSamples})
	if err != nil {
		return console.Story{}, err
	}
	return s.contents.Find(ctx, query, most, samples)
}
