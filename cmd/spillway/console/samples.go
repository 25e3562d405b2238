package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/chart"
)

const (
	// shownSamples is how many events a page of samples has.
	shownSamples = 50
	// maxSampleReadings bounds how many queries are remembered, for the moment that a value is
	// fresh.
	maxSampleReadings = 32
	maxReason         = 100 // characters of a reason that is asked for
)

// outcomes are those that samples can be chosen by, with their names for people.
var outcomes = []struct{ ID, Name string }{
	{"", "all"}, {OutcomeDelivered, "delivered"}, {OutcomeRetried, "retried"}, {OutcomeDeadLettered, "dead letters"},
	{OutcomeRefused, "refused at ingest"},
}

// A samplesPage has the last samples of a kind.
type samplesPage struct {
	Query   SampleQuery
	Name    string // of the outcome
	Kinds   []kind
	Rows    []sampleRow
	Stale   string
	Known   bool
	Refused bool // the rows are of requests
}

// A kind is an outcome that can be chosen.
type kind struct {
	Name, Path string
	Chosen     bool
}

// A sampleRow is a sample as the page shows it.
type sampleRow struct {
	Sample
	OutcomeName, Class string
}

// sampleRows prepares samples for a page.
func sampleRows(samples []Sample) []sampleRow {
	rows := make([]sampleRow, len(samples))
	for i, s := range samples {
		rows[i] = sampleRow{s, outcomeName(s.Outcome), outcomeClass(s.Outcome)}
	}
	return rows
}

func outcomeName(outcome string) string {
	switch outcome {
	case OutcomeDeadLettered:
		return "dead letter"
	case OutcomeRefused:
		return "refused"
	}
	return short(outcome)
}

func outcomeClass(outcome string) string {
	switch outcome {
	case OutcomeDelivered:
		return "good"
	case OutcomeRetried:
		return "warn"
	case OutcomeDeadLettered, OutcomeRefused:
		return "bad"
	}
	return ""
}

// storyPath leads to what is known of a messageId or userId; empty: it is too long to be asked for.
func storyPath(query string) string {
	if len(query) > maxQuery {
		return ""
	}
	return findPath + "?" + url.Values{"q": {query}}.Encode()
}

// Took is how long the event was on its way; empty: it is not known.
func (s Sample) Took() string {
	if s.Age < 0 {
		return ""
	}
	return chart.Duration(s.Age.Round(time.Millisecond).Seconds())
}

func (c *Console) sampleRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /samples", func(w http.ResponseWriter, r *http.Request) {
		q, err := sampleQuery(r)
		if err != nil {
			c.fail(w, r, http.StatusBadRequest, err)
			return
		}
		read := c.samples.get(r.Context(), q)
		p := samplesPage{Query: q, Rows: sampleRows(read.Value), Stale: stale(read.Err, read.At), Known: read.Known(),
			Refused: q.Outcome == OutcomeRefused}
		for _, o := range outcomes {
			p.Kinds = append(p.Kinds, kind{o.Name, samplesPath(o.ID, ""), o.ID == q.Outcome})
			if o.ID == q.Outcome {
				p.Name = o.Name
			}
		}
		title := "Last events"
		if q.Outcome != "" {
			title += ": " + p.Name
		}
		c.render(w, r, http.StatusOK, "samples", title, p)
	})
}

func sampleQuery(r *http.Request) (SampleQuery, error) {
	q := SampleQuery{Outcome: r.URL.Query().Get("outcome"), Reason: r.URL.Query().Get("reason"), Limit: shownSamples}
	if !slices.ContainsFunc(outcomes, func(o struct{ ID, Name string }) bool { return o.ID == q.Outcome }) {
		var known []string
		for _, o := range outcomes[1:] {
			known = append(known, o.ID)
		}
		return q, fmt.Errorf("unknown outcome %q (known: %s)", short(q.Outcome), strings.Join(known, ", "))
	}
	if len(q.Reason) > maxReason {
		return q, errors.New("the reason is too long")
	}
	return q, nil
}

// sampleReadings are the readings of samples, by what was asked for.
type sampleReadings struct {
	read            func(ctx context.Context, q SampleQuery) ([]Sample, error)
	fresh, deadline time.Duration

	mu    sync.Mutex
	all   map[SampleQuery]*reading[[]Sample]
	order []SampleQuery // oldest first
}

func (s *sampleReadings) get(ctx context.Context, q SampleQuery) seen[[]Sample] {
	s.mu.Lock()
	one := s.all[q]
	if one == nil {
		if s.all == nil {
			s.all = map[SampleQuery]*reading[[]Sample]{}
		}
		if len(s.order) == maxSampleReadings {
			delete(s.all, s.order[0])
			s.order = s.order[1:]
		}
		one = &reading[[]Sample]{fresh: s.fresh, deadline: s.deadline,
			read: func(ctx context.Context) ([]Sample, error) { return s.read(ctx, q) }}
		s.all[q] = one
		s.order = append(s.order, q)
	}
	s.mu.Unlock()
	return one.get(ctx)
}
