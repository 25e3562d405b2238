package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/local/drill/old"
	"github.com/spillwayhq/spillway/shared/chart"
)

// maxBroken is how many broken promises the text has; the JSON has them all.
const maxBroken = 20

// WriteText writes the result for a terminal: what happened and who was told, minute by minute, and
// what it came to. An error is that of w.
func WriteText(w io.Writer, r *drill.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s; seed %d, usually %s events/s\n\n%s\n\n", r.Title, r.Scenario, r.Seed,
		digitsOf(r.EventsPerSecond), r.Story)
	writeStory(&b, r)
	writeAlarms(&b, r)
	writeSummary(&b, r)
	writeBroken(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

func digitsOf(v float64) string {
	if v == 0 {
		return "0"
	}
	return chart.Digits(v)
}

// A storyLine is one moment.
type storyLine struct {
	at         time.Time
	kind, text string
}

// writeStory writes what happened, and each notification, in the order of time.
func writeStory(b *strings.Builder, r *drill.Result) {
	var lines []storyLine
	for _, m := range r.Marks {
		text := m.Text
		if m.To != nil {
			text += ", for " + chart.Duration(m.To.Sub(m.From).Seconds())
		}
		lines = append(lines, storyLine{m.From, string(m.Kind), text})
	}
	for i := range r.Alarms {
		lines = append(lines, alarmLines(&r.Alarms[i])...)
	}
	slices.SortStableFunc(lines, func(a, b storyLine) int { return a.at.Compare(b.at) })
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", l.at.UTC().Format("Mon 15:04"), l.kind, l.text)
	}
	_ = table.Flush() // a strings.Builder takes everything
}

// flapping: an alarm that fires again within this time is told once.
const flapping = 15 * time.Minute

// alarmLines are when an alarm told somebody, and when it was over.
func alarmLines(a *drill.Alarm) (lines []storyLine) {
	told := slices.DeleteFunc(slices.Clone(a.Firings), func(f drill.Firing) bool { return !f.Notified })
	for i := 0; i < len(told); {
		first, last := told[i], told[i]
		again := 0
		for i++; i < len(told) && last.To != nil && told[i].From.Sub(*last.To) < flapping; i++ {
			last = told[i]
			again++
		}
		text := a.Name + " fires: " + sentence(a.Meaning)
		if again > 0 {
			text += " (and again, " + times(again) + ")"
		}
		lines = append(lines, storyLine{first.From, a.Severity, text})
		if last.To != nil {
			lines = append(lines, storyLine{*last.To, "", a.Name + " is over"})
		}
	}
	return lines
}

// sentence is the first of a text, without its full stop.
func sentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(first, ".")
}

// writeAlarms writes a line for each alarm that fired, or should have.
func writeAlarms(b *strings.Builder, r *drill.Result) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	silent, rows := 0, 0
	for _, a := range r.Alarms {
		if len(a.Firings) == 0 && a.MustFireBy == nil {
			silent++
			continue
		}
		if rows++; rows == 1 {
			fmt.Fprintln(table, "\nALARM\tSEVERITY\tFIRED\tCLEARED\tPROMISED BY\tTOLD")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", a.Name, a.Severity, strings.Join(alarmCells(&a), "\t"))
	}
	_ = table.Flush()
	switch {
	case rows == 0:
		fmt.Fprintf(b, "\nNo alarm fired.\n")
	case silent > 0:
		fmt.Fprintf(b, "Silent, as they must be: %d.\n", silent)
	}
}

// alarmCells are when an alarm fired and cleared, its promise, and how often somebody was told.
func alarmCells(a *drill.Alarm) []string {
	moment := func(t time.Time) string { return t.UTC().Format("Mon 15:04") }
	fired, cleared, promised, told := "never", "", "", 0
	if n := len(a.Firings); n > 0 {
		fired, cleared = moment(a.Firings[0].From), "not yet"
		if to := a.Firings[n-1].To; to != nil {
			cleared = moment(*to)
		}
		if n > 1 {
			fired += fmt.Sprintf(" (%d times)", n)
		}
	}
	for _, f := range a.Firings {
		if f.Notified {
			told++
		}
	}
	if a.MustFireBy != nil {
		promised = moment(*a.MustFireBy)
	}
	return []string{fired, cleared, promised, times(told)}
}

func times(n int) string {
	switch n {
	case 0:
		return "no"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// writeSummary writes what the drill came to.
func writeSummary(b *strings.Builder, r *drill.Result) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(table)
	a, e := r.API, r.Events
	if notice, ok := r.FirstNotice(); ok {
		row("First told", "by %s, %s after this began: %s", notice.Alarm, chart.Duration(notice.After.Seconds()),
			notice.Cause.Text)
	}
	row("The API", "%s calls, %s failed; publishing took %s in the median, %s at p99, %s at most", count(a.Calls),
		count(a.Failed), chart.Duration(a.P50Seconds), chart.Duration(a.P99Seconds), chart.Duration(a.MaxSeconds))
	if most, at := highest(r, drill.ChartBacklog); most > 0 {
		oldest, _ := highest(r, drill.ChartOldest)
		row("The backlog", "at most %s events, on %s; the oldest had waited %s", chart.Number(most), at.Format("Mon 15:04"),
			chart.Duration(oldest))
	}
	if r.Name != nil {
		row("The name", "%s", nameSentence(r))
	}
	if r.DrainSeconds != nil {
		row("Drained", "%s after the last fault", chart.Duration(*r.DrainSeconds))
	}
	row("Events", "%s accepted = %s delivered + %s dead letters + %s waiting; %s lost; %s sent twice", count(e.Accepted),
		count(e.Delivered), count(total(e.DeadLettered)), count(e.Waiting), count(e.Lost), count(e.Duplicates))
	if len(e.DeadLettered) > 0 {
		row("Dead letters", "%s", counted(e.DeadLettered))
	}
	if len(e.Refused) > 0 {
		row("Refused", "%s, before they were accepted", counted(e.Refused))
	}
	row("Cost", "%s for this time, usually %s, without what is paid by the month", dollars(r.Cost.Dollars),
		dollars(r.Cost.UsualDollars))
	if r.Old != nil {
		row("The old design", "%s", oldSentence(r.Old))
	}
	_ = table.Flush()
}

// nameSentence says when clients with the name only were led to the other region.
func nameSentence(r *drill.Result) string {
	cause, any := r.FirstCause()
	if len(r.Name.Left) == 0 || !any {
		return fmt.Sprintf("led to %s all the time", r.Name.Near)
	}
	text := fmt.Sprintf("led to %s %s after this began: %s", r.Name.Far,
		chart.Duration(r.Name.Left[0].From.Sub(cause.From).Seconds()), cause.Text)
	if first := r.Name.FirstElsewhere; first != nil {
		text += "; an SDK's request was accepted there after " + chart.Duration(first.Sub(cause.From).Seconds())
	}
	return text
}

// highest is the largest value of a chart, and when it was.
func highest(r *drill.Result, chart string) (most float64, at time.Time) {
	for _, s := range r.Series {
		if s.Chart != chart {
			continue
		}
		for n, v := range s.Values {
			if v != nil && *v > most {
				most, at = *v, r.Start.Add(time.Duration(n)*time.Minute).UTC()
			}
		}
	}
	return most, at
}

// counted lists counts, the largest first.
func counted(counts map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %s", count(counts[name]), name)
	}
	return strings.Join(names, ", ")
}

// oldSentence says how the same day was in the design that failed.
func oldSentence(d *old.Day) string {
	if d.FullAt == nil {
		return "its queue would not have been full"
	}
	text := "its queue would have been full on " + d.FullAt.UTC().Format("Mon 15:04")
	if len(d.Stops) > 0 {
		text += ", and the API down for " + chart.Duration(d.DownSeconds)
	}
	return text + fmt.Sprintf("; %s events refused", count(d.RefusedTotal))
}

// writeBroken writes which promises did not hold.
func writeBroken(b *strings.Builder, r *drill.Result) {
	if len(r.Broken) == 0 {
		fmt.Fprintf(b, "\nEvery promise was kept.\n")
		return
	}
	fmt.Fprintf(b, "\nPromises that were not kept:\n")
	for i, text := range r.Broken {
		if i == maxBroken {
			fmt.Fprintf(b, "  - and %d more\n", len(r.Broken)-i)
			break
		}
		fmt.Fprintf(b, "  - %s\n", text)
	}
}
