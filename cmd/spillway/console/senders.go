package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/shared/chart"
	"github.com/spillwayhq/spillway/shared/heavy"
)

const (
	sendersSince = time.Hour
	// shownSenders is how many rows a table of the overview has; the page of the senders has all.
	shownSenders = 5
)

// A sendersView is who sends what.
type sendersView struct {
	Known  bool
	Stale  string
	Price  string // what reading it would cost; empty: nothing
	At     time.Time
	Nobody bool // has sent anything
	Tables []senderTable
}

// A senderTable has the senders of one kind.
type senderTable struct {
	Name  string
	Rows  []senderRow
	Grown []string
}

// A senderRow is one sender. Share is its width in the picture, in percent.
type senderRow struct {
	Name, Events, Share, Bytes string
	Retried, Refused           string // how many, and why; what became dead letters counts as refused
	Width                      string
}

var senderNames = map[heavy.By]string{heavy.ByEvent: "Event", heavy.ByWriteKey: "Write key", heavy.ByUser: "User"}

// sendersOf prepares a report for a page, with at most n rows of a table.
func sendersOf(r seen[top.Report], n int) sendersView {
	v := sendersView{Known: r.Known(), Stale: stale(r.Err, r.At), At: r.At, Nobody: r.Value.Events+r.Value.Refused == 0}
	for _, t := range r.Value.Tables {
		table := senderTable{Name: cmp.Or(senderNames[t.By], short(string(t.By)))}
		for _, row := range t.Heaviest[:min(n, len(t.Heaviest))] {
			table.Rows = append(table.Rows, senderRow{Name: row.Name, Events: humanize.Comma(int64(row.Events)),
				Share: share(row.Share), Bytes: humanize.Bytes(row.Bytes),
				Retried: codes(row.Refused, true), Refused: codes(row.Refused, false),
				Width: chart.Percentage(100 * min(1, max(0, row.Share)))})
		}
		for _, g := range t.Grown[:min(3, len(t.Grown))] {
			times := "new"
			if g.Times > 0 {
				times = chart.Amount(g.Times) + " times as much as before"
			}
			table.Grown = append(table.Grown, fmt.Sprintf("%s: %s/s, %s", short(g.Name), chart.Amount(g.Rate), times))
		}
		v.Tables = append(v.Tables, table)
	}
	return v
}

func share(part float64) string {
	if part > 0 && part < 0.005 {
		return "< 1 %"
	}
	return fmt.Sprintf("%.0f %%", 100*part)
}

// shownCodes is how many codes of refusals a sender has.
const shownCodes = 4

// codes writes counts by code, the largest first: those of events that deliver retried, or the others.
func codes(counts map[string]uint64, ofRetried bool) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(-cmp.Compare(counts[a], counts[b]), cmp.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		if part, reason, ok := strings.Cut(name, "/"); len(parts) < shownCodes && ofRetried == (ok && part == "retried") {
			said := short(name)
			if ok {
				said = short(strings.ReplaceAll(part, "_", " ") + ": " + reason)
			}
			parts = append(parts, humanize.Comma(int64(counts[name]))+" "+said)
		}
	}
	return strings.Join(parts, ", ")
}

// readSenders reads who sends what, and what that costs. Of a source that is charged for each
// reading it is what somebody has read last.
func (c *Console) readSenders(ctx context.Context) (senders seen[top.Report], price seen[string]) {
	if c.priced == nil {
		return c.senders.get(ctx), price
	}
	return c.senders.last(), c.price.get(ctx)
}

// sendersNow is who sends what, as the overview shows it.
func (c *Console) sendersNow(senders seen[top.Report], price seen[string]) sendersView {
	v := sendersOf(senders, shownSenders)
	v.Price = price.Value
	if price.Err != nil {
		v.Stale = join(v.Stale, "what reading costs is not known: "+why(price.Err))
		v.Price = "not known"
	}
	return v
}

// senderRoutes lets somebody read what has a price.
func (c *Console) senderRoutes(mux *http.ServeMux) {
	if c.priced == nil {
		return
	}
	c.action(mux, "/senders", func(r *http.Request) (string, string, error) {
		read := c.senders.get(r.Context())
		c.keys.expire() // their rates follow from it
		return "Who sends what was read from the logs.", "/", read.Err
	})
}

// A keysView has the write keys.
type keysView struct {
	Known bool
	Stale string
	Rows  []keyRow
	More  int
}

// A keyRow is a write key as the page shows it.
type keyRow struct {
	WriteKey
	RateText, QuotaText, State, Class string
	Used                              string // the part of the quota that is used, as a width
}

// shownKeys is how many write keys the overview shows: those that send most.
const shownKeys = 20

func keysOf(k seen[[]WriteKey]) keysView {
	v := keysView{Known: k.Known(), Stale: stale(k.Err, k.At)}
	sorted := slices.SortedStableFunc(slices.Values(k.Value), func(a, b WriteKey) int {
		return cmp.Or(-cmp.Compare(a.Rate, b.Rate), -a.Last.Compare(b.Last), cmp.Compare(a.Name, b.Name))
	})
	v.More = max(0, len(sorted)-shownKeys)
	for _, k := range sorted[:len(sorted)-v.More] {
		row := keyRow{WriteKey: k, RateText: "–", QuotaText: "none", State: "accepted", Class: "good"}
		if k.Rate >= 0 {
			row.RateText = chart.Amount(k.Rate) + "/s"
		}
		if k.Quota > 0 {
			row.QuotaText = chart.Amount(k.Quota) + "/s"
			row.Used = chart.Percentage(100 * min(1, max(0, k.Rate/k.Quota)))
		}
		switch {
		case k.Disabled:
			row.State, row.Class = "disabled", "bad"
		case k.Paused != "":
			row.State, row.Class = "paused", "warn"
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}
