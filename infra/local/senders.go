package local

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// SendersPath answers GET, on the port of the SQS emulator, with the lines of who sends what as
// JSON, those of this minute included. The query parameters from and to (RFC 3339) bound when they
// were written.
const SendersPath = "/_spillway/senders"

const (
	// lineRetention is how long the lines of the parts are kept: `spillway top` compares with the
	// same hour of yesterday. A line has 1 to 4 KB, and there are two a minute.
	lineRetention = 26 * time.Hour
	// maxLines bounds their number: each answer of ServeHTTP makes lines too, and somebody may ask
	// every second. Then the oldest go earlier: it is twice as many as lineRetention needs.
	maxLines = 4 * int(lineRetention/time.Minute)
	// windowRetention is how long the comparisons are kept, a line for five minutes.
	windowRetention = 8 * 24 * time.Hour
)

// senders is what the logs of the functions are to a deployment: it keeps the lines of who sends
// what, and hands them and the metrics to the comparison. It is safe for concurrent use.
type senders struct {
	pipeline       string
	store          *cloudwatch.Store
	log            io.Writer
	ingest, events *heavy.Counter // events: those that deliver receives

	mu             sync.Mutex
	lines, windows []heavy.Line // in the order in which they were written
}

func newSenders(pipeline string, store *cloudwatch.Store, log io.Writer) *senders {
	s := &senders{pipeline: pipeline, store: store, log: log, ingest: heavy.NewCounter(pipeline, heavy.PartIngest),
		events: heavy.NewCounter(pipeline, heavy.PartDeliver)}
	// On this machine users may be named: nothing leaves it. All events come to deliver, so it is
	// enough to count their users there.
	s.events.Users = true
	for _, k := range s.keys() {
		store.Keep(k, windowRetention)
	}
	return s
}

// Write implements io.Writer for the log of all parts.
func (s *senders) Write(line []byte) (int, error) {
	l, ok := heavy.Parse(line)
	if ok {
		s.mu.Lock()
		if l.Part == heavy.PartAll {
			s.windows = keep(append(s.windows, l), l.Time.Add(-windowRetention))
		} else {
			s.lines = keep(append(s.lines, l), l.Time.Add(-lineRetention))
		}
		s.mu.Unlock()
		return len(line), s.logWithoutUsers(l)
	}
	return s.log.Write(line)
}

// logWithoutUsers writes a line to the log, where no personal data is.
func (s *senders) logWithoutUsers(l heavy.Line) error {
	entries := make([]heavy.Entry, 0, len(l.Heaviest))
	for _, e := range l.Heaviest {
		if e.By != heavy.ByUser {
			entries = append(entries, e)
		}
	}
	l.Heaviest = entries
	_, err := l.WriteTo(s.log)
	return err
}

// keep returns the lines that are not older, at most the latest maxLines.
func keep(lines []heavy.Line, oldest time.Time) []heavy.Line {
	n := max(0, len(lines)-maxLines)
	for n < len(lines) && lines[n].Time.Before(oldest) {
		n++
	}
	return slices.Delete(lines, 0, n)
}

// Lines implements traffic.Source.
func (s *senders) Lines(_ context.Context, from, to time.Time) ([]heavy.Line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return heavy.Between(s.lines, from, to), nil
}

// flush writes the lines that are due: a part writes its own when something happens, and what was
// counted before a quiet time must not look like part of it.
func (s *senders) flush(now time.Time) error {
	for _, c := range []*heavy.Counter{s.ingest, s.events} {
		if err := c.WriteDue(s, now); err != nil {
			return err
		}
	}
	return nil
}

// soFar returns the lines with what was counted since the last ones too, without writing it. n is
// how many names of each kind there are of that.
func (s *senders) soFar(from, to time.Time, n int) []heavy.Line {
	s.mu.Lock()
	lines := heavy.Between(s.lines, from, to)
	s.mu.Unlock()
	now := time.Now()
	for _, c := range []*heavy.Counter{s.ingest, s.events} {
		if l, ok := c.Peek(now, n); ok && !now.Before(from) && now.Before(to) {
			lines = append(lines, l)
		}
	}
	return lines
}

// Windows implements traffic.Source.
func (s *senders) Windows(_ context.Context, from, to time.Time) ([]heavy.Line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []heavy.Line
	for _, l := range s.windows {
		if !l.From.Before(from) && l.From.Before(to) {
			found = append(found, l)
		}
	}
	return found, nil
}

// keys are the metrics of what comes in. A publisher in another process writes none here: its
// events are counted when deliver receives them.
func (s *senders) keys() []cloudwatch.Key {
	return []cloudwatch.Key{
		{Own: "ingest", Pipeline: s.pipeline, Name: "EventsAccepted"},
		{Own: "publisher", Pipeline: s.pipeline, Name: "EventsPublished"},
	}
}

// Traffic implements traffic.Source.
func (s *senders) Traffic(_ context.Context, from, to time.Time) (map[time.Time]float64, error) {
	sums := map[time.Time]float64{}
	for _, k := range s.keys() {
		values, err := s.store.Values(k, "Sum", from, traffic.Interval, int(to.Sub(from)/traffic.Interval))
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			if !math.IsNaN(v) {
				sums[from.Add(time.Duration(i)*traffic.Interval)] += v
			}
		}
	}
	return sums, nil
}

// ServeHTTP answers at SendersPath.
func (s *senders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	from, to := time.Time{}, now.Add(time.Second)
	for name, into := range map[string]*time.Time{"from": &from, "to": &to} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			http.Error(w, name+" must be a time like 2026-11-27T12:00:00Z", http.StatusBadRequest)
			return
		}
		*into = at
	}
	for _, c := range []*heavy.Counter{s.ingest, s.events} {
		if err := c.Write(s, now); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	lines, _ := s.Lines(r.Context(), from, to)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(lines) // an error is the client's, who has gone
}
