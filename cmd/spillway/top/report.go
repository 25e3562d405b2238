// Package top makes of the lines of package heavy a report for people: who sends most, what of it
// is refused, and who has grown.
package top

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/traffic"
)

const (
	// Recent is the time whose rates are compared with earlier ones: short, so that who begins to
	// send ten times as much stands out after two minutes.
	Recent = 5 * time.Minute
	// before is how long a time Recent is compared with.
	before = time.Hour
	day    = 24 * time.Hour
	// leastCovered is how much of a time there must be lines of to compare with it.
	leastCovered = 5 * time.Minute

	// Who sends at least twice as much as before, and at least 1 % of everything, has grown.
	leastTimes = 2
	leastShare = 0.01
)

// A Report is who sent what from a time on and before another one.
type Report struct {
	Pipeline string    `json:"pipeline"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Events   uint64    `json:"events"` // that came in
	Bytes    uint64    `json:"bytes"`
	Refused  uint64    `json:"refused"` // events that ingest refused
	// Missed is how many events the numbers of a name may lack at most, because counters are
	// bounded; names beyond the heaviest of a minute lack more.
	Missed uint64  `json:"missed"`
	Tables []Table `json:"tables"`
}

// A Table has the senders of one kind.
type Table struct {
	By       heavy.By `json:"by"`
	Heaviest []Row    `json:"heaviest"`
	Grown    []Grown  `json:"grown"` // in the last Recent, against the hour before it and the same hour yesterday
	// Compared says whether there is an earlier hour to compare with.
	Compared bool `json:"compared"`
}

// A Row is one sender.
type Row struct {
	Name   string  `json:"name"`
	ID     string  `json:"id,omitempty"` // the fingerprint of a write key with a name
	Events uint64  `json:"events"`       // that came in
	Share  float64 `json:"share"`        // of all events
	Bytes  uint64  `json:"bytes"`
	// events, by code: of ingest; retried/… and dead_letter/… of deliver
	Refused map[string]uint64 `json:"refused,omitempty"`
}

// A Grown sends more than before. Rates are events a second.
type Grown struct {
	Name      string   `json:"name"`
	ID        string   `json:"id,omitempty"`
	Rate      float64  `json:"rate"`
	Before    *float64 `json:"hourBefore,omitempty"` // nil: not known
	Yesterday *float64 `json:"yesterday,omitempty"`
	Times     float64  `json:"times"` // Rate by the larger of the others; 0: it sent nothing then
}

// A Span is a time from one point on and before another.
type Span struct{ From, To time.Time }

// Spans are the times whose lines a report until now needs.
func Spans(now time.Time, since time.Duration) [2]Span {
	return [2]Span{
		{now.Add(-max(since, Recent+before)), now},
		{now.Add(-day - before), now.Add(-day)},
	}
}

// A Log has the lines of a pipeline's parts, as traffic.Source has them.
type Log interface {
	Lines(ctx context.Context, from, to time.Time) ([]heavy.Line, error)
}

// Read reads the lines that a report until now needs.
func Read(ctx context.Context, log Log, now time.Time, since time.Duration) ([]heavy.Line, error) {
	var all []heavy.Line
	for _, span := range Spans(now, since) {
		lines, err := log.Lines(ctx, span.From, span.To)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return all, nil
}

// New makes a report of the lines of the Spans, with at most n rows of each kind.
func New(pipeline string, now time.Time, since time.Duration, lines []heavy.Line, by []heavy.By, n int) Report {
	whole := within(lines, Span{now.Add(-since), now})
	r := Report{Pipeline: pipeline, From: now.Add(-since).UTC(), To: now.UTC()}
	sums := traffic.Sum(pipeline, r.From, whole)
	r.Events, r.Bytes, r.Refused, r.Missed = sums.Events, sums.Bytes, sums.Refused, sums.Missed
	senders := traffic.Senders(whole)
	recent := newRates(lines, Span{now.Add(-Recent), now})
	earlier := newRates(lines, Span{now.Add(-Recent - before), now.Add(-Recent)})
	yesterday := newRates(lines, Span{now.Add(-day - before), now.Add(-day)})
	for _, kind := range by {
		t := Table{By: kind, Compared: earlier.known || yesterday.known}
		t.Heaviest = rows(kind, senders, whole, r.Events, n)
		if t.Compared {
			t.Grown = grown(kind, &recent, &earlier, &yesterday)
			t.Grown = t.Grown[:min(n, len(t.Grown))]
		}
		r.Tables = append(r.Tables, t)
	}
	return r
}

func within(lines []heavy.Line, s Span) []heavy.Line {
	var found []heavy.Line
	for _, l := range lines {
		if !l.Time.Before(s.From) && l.Time.Before(s.To) {
			found = append(found, l)
		}
	}
	return found
}

// rows are the heaviest senders of a kind, with what was refused of them, and those of whom
// everything was refused.
func rows(by heavy.By, senders []traffic.Sender, lines []heavy.Line, total uint64, n int) []Row {
	refused := map[string]map[string]uint64{}
	var rows []Row
	known := map[string]bool{}
	outside := map[string]uint64{} // events that did not come in: those that deliver retries did
	names := map[string]heavy.Entry{}
	for _, l := range lines {
		for _, e := range l.Heaviest {
			if e.By != by || e.Code == "" {
				continue
			}
			id := cmp.Or(e.ID, e.Name)
			if refused[id] == nil {
				refused[id] = map[string]uint64{}
			}
			refused[id][e.Code] += e.Events
			if l.Part != heavy.PartDeliver {
				outside[id] += e.Events
			}
			names[id] = e
		}
	}
	for _, s := range senders {
		if s.By != by {
			continue
		}
		id := cmp.Or(s.ID, s.Name)
		known[id] = true
		row := Row{Name: s.Name, ID: s.ID, Events: s.Events, Bytes: s.Bytes, Refused: refused[id]}
		if total > 0 {
			row.Share = float64(s.Events) / float64(total)
		}
		rows = append(rows, row)
	}
	for id, e := range names {
		if !known[id] {
			rows = append(rows, Row{Name: e.Name, ID: e.ID, Refused: refused[id]})
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		x, y := outside[cmp.Or(a.ID, a.Name)], outside[cmp.Or(b.ID, b.Name)]
		return cmp.Or(-cmp.Compare(a.Events+x, b.Events+y), cmp.Compare(a.Name, b.Name))
	})
	return rows[:min(n, len(rows))]
}

// rates are what each sender sent in a time, in events a second.
type rates struct {
	known   bool // there are lines of enough of the time
	of      map[key]float64
	total   float64
	senders []traffic.Sender
}

type key struct {
	by heavy.By
	id string
}

func keyOf(s *traffic.Sender) key { return key{s.By, cmp.Or(s.ID, s.Name)} }

func newRates(lines []heavy.Line, s Span) rates {
	lines = within(lines, s)
	r := rates{of: map[key]float64{}}
	if len(lines) == 0 {
		return r
	}
	first := lines[0].From
	for _, l := range lines {
		if l.From.Before(first) {
			first = l.From
		}
	}
	if first.Before(s.From) {
		first = s.From
	}
	covered := s.To.Sub(first)
	r.known = covered >= leastCovered
	r.senders = traffic.Senders(lines)
	for i := range r.senders {
		rate := float64(r.senders[i].Events) / covered.Seconds()
		r.of[keyOf(&r.senders[i])] = rate
		if r.senders[i].By == heavy.ByEvent {
			r.total += rate
		}
	}
	return r
}

// grown are the senders of a kind that have grown, those with the most additional events first.
func grown(by heavy.By, recent, earlier, yesterday *rates) []Grown {
	var all []Grown
	more := func(g *Grown) float64 { return g.Rate - usual(g) }
	for i := range recent.senders {
		s := &recent.senders[i]
		if s.By != by {
			continue
		}
		g := Grown{Name: s.Name, ID: s.ID, Rate: recent.of[keyOf(s)], Before: earlier.rate(s), Yesterday: yesterday.rate(s)}
		if u := usual(&g); u > 0 {
			g.Times = g.Rate / u
		}
		if (g.Times == 0 || g.Times >= leastTimes) && g.Rate >= leastShare*recent.total {
			all = append(all, g)
		}
	}
	slices.SortStableFunc(all, func(a, b Grown) int { return -cmp.Compare(more(&a), more(&b)) })
	return all
}

func (r *rates) rate(s *traffic.Sender) *float64 {
	if !r.known {
		return nil
	}
	rate := r.of[keyOf(s)]
	return &rate
}

// usual is the larger one of the earlier rates.
func usual(g *Grown) float64 {
	most := 0.0
	for _, rate := range []*float64{g.Before, g.Yesterday} {
		if rate != nil {
			most = max(most, *rate)
		}
	}
	return most
}
