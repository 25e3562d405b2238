package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
)

// The charts are drawn here, and not by a library, for what a page without a script needs: text
// that can be selected, found and read aloud, lines that stretch to the screen while their text
// keeps its size, the reader's light or dark colours, and a policy that allows no style attribute.
// The library that was tried (go-analyze/charts 0.6.4) has none of these, writes ten times as much
// for a day's line, and brings a rasterizer for fonts into the command.

// A chart is what the page's template draws.
type chart struct {
	ID, Title      string
	Summary        string // what it shows, for who can't see it
	Height, Top    int    // of the plot, in pixels; what is above is for the read-out
	Bottom, Labels int    // y of the plot's lower edge, and of the labels below it
	Full           int    // the height with the labels
	Width          int    // of the lines' own coordinates
	Lines          []line
	Y, X           []tick
	Bands          []band
	Bound          *bound
	Moments        []moment
	Readouts       []readout
	Hours          *table
}

// A line is a series.
type line struct {
	Name, Class, Path, Area string
}

// A bound is a horizontal line that must not be crossed.
type bound struct {
	Y, Label string
}

// A band shades a part of the time.
type band struct {
	Class, X, Width, Y, Height string
	Text                       string
}

// A moment is something that happened and has no length.
type moment struct{ X, Class, Text string }

// A readout is what the pointer shows over a part of the time.
type readout struct {
	X, Width, Mid, Text string
}

// A table has the numbers behind a chart.
type table struct {
	Columns []string
	Rows    []row
}

type row struct {
	Head  string
	Cells []string
}

const (
	plotHeight = 150
	plotTop    = 22 // for the read-out and the alarms' strip
	// readouts is how many parts of the time the pointer finds: a quarter of an hour of a day.
	readouts = 96
	// columns is how many parts a line has at most, each with its lowest and its highest value:
	// what a screen can show. A longer drill's peaks stay where they are.
	columns = 720
)

// newChart is the chart of these series, which have one unit.
func newChart(id, title string, series []drill.Series, c clock) chart {
	var highest float64
	for _, s := range series {
		highest = max(highest, highestIn(s.Values, 0, c.minutes))
	}
	return draw(id, title, series, newScale(highest, series[0].Unit), c)
}

func draw(id, title string, series []drill.Series, s scale, c clock) chart {
	const bottom = plotTop + plotHeight
	ch := chart{ID: id, Title: title, Height: plotHeight, Top: plotTop, Bottom: bottom, Labels: bottom + 18,
		Full: bottom + 24, X: c.timeTicks(), Y: s.ticks(plotTop, plotHeight), Width: 2 * max(c.minutes, 1)}
	for i, one := range series {
		path := linePath(one.Values, c.minutes, s)
		l := line{Name: one.Name, Class: "s" + strconv.Itoa(i%6+1), Path: path}
		if i == 0 {
			l.Area = areaPath(path)
		}
		ch.Lines = append(ch.Lines, l)
	}
	ch.Bands = append(ch.Bands, gaps(series, c)...)
	ch.Readouts = readoutsOf(series, c)
	ch.Hours = tableOf(series, c)
	ch.Summary = summary(series, c)
	return ch
}

// linePath draws the values. Its coordinates are two to a minute and thousandths of the height. A
// value that is missing leaves a gap.
func linePath(values []*float64, minutes int, s scale) string {
	var b strings.Builder
	open := false // a part of the line has begun
	lastX, lastY := 0, 0
	flat := false // the points since the last written one have its height
	move := func(x, y int) {
		switch {
		case !open:
			fmt.Fprintf(&b, "M%d %d", x, y)
		case y == lastY:
			flat = true
			lastX = x
			return
		default:
			if flat {
				fmt.Fprintf(&b, "H%d", lastX)
			}
			fmt.Fprintf(&b, "L%d %d", x, y)
		}
		open, flat, lastX, lastY = true, false, x, y
	}
	stop := func() {
		if open && flat {
			fmt.Fprintf(&b, "H%d", lastX)
		} else if open {
			b.WriteString("h0") // a single point is a dot
		}
		open, flat = false, false
	}
	each(values, minutes, columns, func(from, to int, low, high int) {
		switch {
		case low < 0:
			stop()
		case low == high:
			move(from+to, s.y(*values[low]))
		default:
			move(2*min(low, high)+1, s.y(*values[min(low, high)]))
			move(2*max(low, high)+1, s.y(*values[max(low, high)]))
		}
	})
	stop()
	return b.String()
}

// each calls do for each of at most so many parts of the minutes, with the indices of its lowest
// and highest value; −1: it has none.
func each(values []*float64, minutes, parts int, do func(from, to, low, high int)) {
	size := max(1, (minutes+parts-1)/parts)
	for from := 0; from < minutes; from += size {
		to := min(from+size, minutes)
		low, high := -1, -1
		for i := from; i < min(to, len(values)); i++ {
			v := values[i]
			if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
				continue
			}
			if low < 0 || *v < *values[low] {
				low = i
			}
			if high < 0 || *v > *values[high] {
				high = i
			}
		}
		do(from, to, low, high)
	}
}

// areaPath closes each part of a line down to the axis.
func areaPath(path string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(path, "M") {
		if x, _, ok := strings.Cut(part, " "); ok {
			fmt.Fprintf(&b, "M%sV1000H%sZ", part, x)
		}
	}
	return b.String()
}

// gaps are the times in which no series has a value.
func gaps(series []drill.Series, c clock) []band {
	var all []band
	begin := -1
	for i := range c.minutes + 1 {
		missing := i < c.minutes && len(series) > 0
		for _, s := range series {
			missing = missing && (i >= len(s.Values) || s.Values[i] == nil)
		}
		switch {
		case missing && begin < 0:
			begin = i
		case !missing && begin >= 0:
			from, to := c.start.Add(time.Duration(begin)*time.Minute), c.start.Add(time.Duration(i)*time.Minute)
			all = append(all, c.band("nodata", "No data, "+c.span(from, &to), from, &to, plotTop, plotHeight))
			begin = -1
		}
	}
	return all
}

// band is a time on a plot. One without an end reaches to the plot's.
func (c clock) band(class, text string, from time.Time, to *time.Time, y, height float64) band {
	end := c.end()
	if to != nil {
		end = *to
	}
	a, b := c.percent(from), c.percent(end)
	return band{Class: class, Text: text, X: percentage(a), Width: percentage(max(b-a, 0)), Y: trim(y),
		Height: trim(height)}
}

func readoutsOf(series []drill.Series, c clock) []readout {
	var all []readout
	each(nil, c.minutes, readouts, func(from, to, _, _ int) {
		a := c.start.Add(time.Duration(from) * time.Minute)
		b := c.start.Add(time.Duration(to) * time.Minute)
		x := c.percent(a)
		text := []string{c.at(a)}
		for _, s := range series {
			text = append(text, s.Name+" "+valueIn(s, from, to))
		}
		all = append(all, readout{X: percentage(x), Width: percentage(c.percent(b) - x),
			Mid: percentage((c.percent(b) + x) / 2), Text: strings.Join(text, " · ")})
	})
	return all
}

// highestIn is the highest value of these minutes; 0: there is none.
func highestIn(values []*float64, from, to int) float64 {
	var highest float64
	for _, v := range values[min(from, len(values)):min(to, len(values))] {
		if v != nil && !math.IsInf(*v, 0) && *v > highest {
			highest = *v
		}
	}
	return highest
}

// valueIn writes a series' highest value of these minutes.
func valueIn(s drill.Series, from, to int) string {
	for _, v := range s.Values[min(from, len(s.Values)):min(to, len(s.Values))] {
		if v != nil {
			return value(highestIn(s.Values, from, to), s.Unit)
		}
	}
	return "no data"
}

// tableOf has the highest values of at most 24 parts of the time.
func tableOf(series []drill.Series, c clock) *table {
	t := &table{Columns: []string{"from"}}
	for _, s := range series {
		t.Columns = append(t.Columns, s.Name)
	}
	const rows = 24
	each(nil, c.minutes, rows, func(from, to, _, _ int) {
		r := row{Head: c.at(c.start.Add(time.Duration(from) * time.Minute))}
		for _, s := range series {
			r.Cells = append(r.Cells, valueIn(s, from, to))
		}
		t.Rows = append(t.Rows, r)
	})
	return t
}

// summary is what a chart shows, in words.
func summary(series []drill.Series, c clock) string {
	var parts []string
	for _, s := range series {
		at := -1
		each(s.Values, c.minutes, 1, func(_, _, _, high int) { at = high })
		if at < 0 {
			parts = append(parts, s.Name+" has no data.")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s is at most %s, at %s.", s.Name, value(*s.Values[at], s.Unit),
			c.at(c.start.Add(time.Duration(at)*time.Minute))))
	}
	return strings.Join(parts, " ")
}

// trim writes a number for an SVG attribute.
func trim(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
