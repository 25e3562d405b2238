package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/report"
)

// columns says what the columns of all parts mean.
var columns = fmt.Sprintf("Each time is from when the call was due, whatever it returned; after %s the API's client "+
	"has left. "+
	"\"At once\" are the most calls under way at the same time. \"Memory\" is by how much the process grew at most, with "+
	"that of the ingest endpoint. \"Lost\" are events that the call accepted and that had not arrived when the queue had "+
	"been back for up to %s and the process had ended, and begun once more where it keeps events on disk. \"Twice\" are "+
	"events that arrived more than once.", patience, settle)

// table is the part's table of the page.
func (p part) table(rows []Row, missing string) report.Table {
	t := report.Table{Title: p.title, Head: []string{"queue", "way", "p50", "p99", "p99.9", "errors", "at once", "memory",
		"lost", "twice"}}
	for _, r := range rows {
		t.Rows = append(t.Rows, r.cells())
	}
	how := "all ways at the same time"
	if p.turns > 0 {
		how = fmt.Sprintf("one way at a time, the median of %d turns", p.turns)
	}
	t.Notes = []string{fmt.Sprintf("%d calls a second for %s, %s. ", p.load.Rate, p.load.For, how) + p.why}
	if missing != "" {
		t.Notes = append(t.Notes, missing)
	}
	return t
}

func (r *Row) cells() []string {
	return []string{r.Queue, r.What, r.P50.String(), r.P99.String(), r.P999.String(), r.failures(), strconv.Itoa(r.AtOnce),
		fmt.Sprintf("%.0f MB", float64(r.Grew+r.GrewIngest)/(1<<20)), strconv.Itoa(r.Lost),
		strconv.Itoa(r.Doubled)}
}

// failures says how many of the calls failed and with what most of them.
func (r *Row) failures() string {
	if r.Failed+r.NotReturned == 0 {
		return "0"
	}
	text := fmt.Sprintf("%d of %d", r.Failed+r.NotReturned, r.Calls)
	most, n := "no answer", r.NotReturned
	for _, name := range sortedKeys(r.Errors) {
		if r.Errors[name] > n {
			most, n = name, r.Errors[name]
		}
	}
	return text + ": " + strings.ReplaceAll(most, "|", "/")
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// String is for a table: two digits, and "over" where the time is a lower bound.
func (l Latency) String() string {
	text := short(l.Time)
	if l.AtLeast {
		return "over " + text
	}
	return text
}

// short writes a duration with two significant digits.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}
