package report

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/shared/chart"
)

// A share is a part of the bar that shows what became of the events.
type share struct{ X, Width, Class, Text string }

// account is what became of the events: the parts of those accepted, what was refused by its code,
// and the parts as a bar.
func account(e drill.Events) (parts, refused []fact, bar []share) {
	parts = []fact{{Name: "delivered", Value: count(e.Delivered), Class: "delivered",
		Note: fmt.Sprintf("%s of them sent again with the same messageId, which Segment counts once", count(e.Duplicates))}}
	if e.Duplicates == 0 {
		parts[0].Note = ""
	}
	for _, reason := range slices.Sorted(maps.Keys(e.DeadLettered)) {
		parts = append(parts, fact{Name: "dead letter: " + reason, Value: count(e.DeadLettered[reason]), Class: "dead",
			Note: "in the dead-letter queue, can be sent again"})
	}
	parts = append(parts,
		fact{Name: "waiting at the end", Value: count(e.Waiting), Class: "waiting", Note: "in the queue"},
		fact{Name: "lost", Value: count(e.Lost), Class: "lost"})
	for _, code := range slices.Sorted(maps.Keys(e.Refused)) {
		refused = append(refused, fact{Name: code, Value: count(e.Refused[code])})
	}
	return parts, refused, shares(e)
}

// shares are the parts of the accepted events as a bar.
func shares(e drill.Events) []share {
	parts := []struct {
		class, text string
		n           int64
	}{
		{"delivered", "delivered", e.Delivered}, {"dead", "dead letters", total(e.DeadLettered)},
		{"waiting", "waiting", e.Waiting}, {"lost", "lost", e.Lost},
	}
	whole, x := 0.0, 0.0
	for _, p := range parts {
		whole += float64(max(0, p.n))
	}
	var bar []share
	for _, p := range parts {
		if p.n > 0 {
			w := 100 * float64(p.n) / whole
			bar = append(bar, share{X: chart.Percentage(x), Width: chart.Percentage(w), Class: p.class,
				Text: count(p.n) + " " + p.text})
			x += w
		}
	}
	return bar
}

// costs are the lines of the cost, what it is in all, and how much more than usual.
func costs(c drill.Cost) []fact {
	var lines []fact
	for _, l := range c.Lines {
		lines = append(lines, fact{Name: l.What, Value: dollars(l.Dollars)})
	}
	return append(lines,
		fact{Name: "in all", Value: dollars(c.Dollars), Class: "sum"},
		fact{Name: "the same time without a fault, with usual traffic", Value: dollars(c.UsualDollars)},
		fact{Name: "more than usual", Value: dollars(c.Dollars - c.UsualDollars), Class: "sum"})
}
