package upsource

import (
	"cmp"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/traffic"
)

const (
	// manyKeys is how many write keys are looked for in what has been counted since the last lines;
	// a line of an earlier minute has the ten heaviest.
	manyKeys = 1000
	// maxUsed is how many write keys there are that no document has: anybody who sends makes up
	// more.
	maxUsed = 100
)

// A usage is what is known of the write keys that were used.
type usage struct {
	at     time.Time
	keys   []ingest.Key             // those that are accepted; none: any is
	names  map[string]string        // by fingerprint
	lines  []heavy.Line             // of the last console.RefusedOver
	pauses map[string]deliver.Pause // by fingerprint
	seen   map[string]time.Time     // the last event that deliver has sampled, by fingerprint
}

// A used is a write key in the lines.
type used struct {
	name    string
	last    time.Time
	refused int64
}

// writeKeys are those that are accepted, and then those that were used otherwise, the busiest
// first.
func (u *usage) writeKeys() []console.WriteKey {
	all, rates := u.used(), u.rates()
	row := func(id string) console.WriteKey {
		k := all[id]
		return console.WriteKey{Name: cmp.Or(u.names[id], k.name), ID: id, Rate: rates[id], Last: k.last, Refused: k.refused,
			Paused: u.pauses[id].Why}
	}
	var found []console.WriteKey
	for _, k := range u.keys {
		r := row(k.ID)
		r.Name, r.Disabled, r.Quota, r.Burst = k.Name, k.Disabled, k.Quota, k.Burst
		found = append(found, r)
		delete(all, k.ID)
	}
	var others []console.WriteKey
	for id := range all {
		others = append(others, row(id))
	}
	slices.SortFunc(others, func(a, b console.WriteKey) int {
		return cmp.Or(-cmp.Compare(a.Rate, b.Rate), b.Last.Compare(a.Last), cmp.Compare(a.ID, b.ID))
	})
	return append(found, others[:min(len(others), maxUsed)]...)
}

// used are the write keys in the lines, by their fingerprints. A line knows the minute of an event;
// a sample, if there is one, its second.
func (u *usage) used() map[string]used {
	all := map[string]used{}
	for i := range u.lines {
		l := &u.lines[i]
		for _, e := range l.Heaviest {
			if e.By != heavy.ByWriteKey || e.Name == heavy.Unknown {
				continue
			}
			id := cmp.Or(e.ID, e.Name)
			k := all[id]
			if e.ID != "" {
				k.name = e.Name
			}
			last := l.Time
			if seen := u.seen[id]; seen.After(l.From) && seen.Before(last) {
				last = seen
			}
			if last.After(k.last) {
				k.last = last
			}
			// What deliver counts as refused has been accepted: it is retried, or a dead letter.
			if e.Code != "" && l.Part != heavy.PartDeliver {
				k.refused += int64(e.Events)
			}
			all[id] = k
		}
	}
	return all
}

// rates are the events a second of the last console.RateOver, by fingerprint.
func (u *usage) rates() map[string]float64 {
	from := u.at.Add(-console.RateOver)
	first := u.at
	var lines []heavy.Line
	for _, l := range u.lines {
		if l.Time.Before(from) {
			continue
		}
		lines = append(lines, l)
		if l.From.Before(first) {
			first = l.From
		}
	}
	over := min(max(u.at.Sub(first), time.Second), console.RateOver).Seconds()
	rates := map[string]float64{}
	for _, s := range traffic.Senders(lines) {
		if s.By == heavy.ByWriteKey {
			rates[cmp.Or(s.ID, s.Name)] = float64(s.Events) / over
		}
	}
	return rates
}
