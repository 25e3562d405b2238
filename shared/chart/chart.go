// Package chart draws series over time as SVG inside a page: for the report of a drill, and for the
// operator's page.
//
// The charts are drawn here, and not by a library, for what a page without a script needs: text
// that can be selected, found and read aloud, lines that stretch to the screen while their text
// keeps its size, the reader's light or dark colours, and a policy that allows no style attribute.
// The library that was tried (go-analyze/charts 0.6.4) has none of these, writes ten times as much
// for a day's line, and brings a rasterizer for fonts into the command.
package chart

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// HTML defines the template "chart" of a [Chart], for a template of the page that shows it.
//
//go:embed chart.html
var HTML string

// CSS is the style of charts, and Theme has the colours that our pages share, light and dark.
var (
	//go:embed chart.css
	CSS string
	//go:embed theme.css
	Theme string
)

// The units that are written in a way of their own. One that begins with a slash is a rate; any
// other is of things that are counted.
const (
	Seconds   = "s"
	Bytes     = "bytes"
	PerMinute = "/min"
	PerSecond = "/s"
)

// A Series is a line of a chart: a value for each step of its Clock, NaN where there is none.
type Series struct {
	Name, Unit string
	Values     []float64
	Class      string // of the line's colour: s1 to s6; empty: by its place in the chart
}

// A Chart is what the template draws.
type Chart struct {
	ID, Title      string
	Summary        string // what it shows, for who can't see it
	Height, Top    int    // of the plot, in pixels; what is above is for the read-out
	Bottom, Labels int    // y of the plot's lower edge, and of the labels below it
	Full           int    // the height with the labels
	Width          int    // of the lines' own coordinates
	Lines          []Line
	Y, X           []Tick
	Zones          []Tick // the names of the time axis' rows, if it has several
	Bands          []Band
	Bounds         []Bound
	Moments        []Moment
	Readouts       []Readout
	Numbers        *Table
	Empty          bool // there is no value at all

	scale scale
}

// Half is half of the plot's height.
func (ch Chart) Half() int { return ch.Height / 2 }

// A Line is a series.
type Line struct {
	Name, Class, Path, Area string
	Dots                    string // the values with none beside them, of which the path alone shows hardly anything
}

// A Bound is a horizontal line that must not be crossed.
type Bound struct {
	Y, Label string
}

// A Band shades a part of the time.
type Band struct {
	Class, X, Width, Y, Height string
	Text                       string
}

// A Moment is something that happened and has no length.
type Moment struct{ X, Class, Text string }

// A Readout is what the pointer shows over a part of the time.
type Readout struct {
	X, Width, Mid, Text string
}

// A Table has the numbers behind a chart.
type Table struct {
	Columns []string
	Rows    []Row
}

// A Row is one part of the time.
type Row struct {
	Head  string
	Cells []string
}

const (
	plotHeight = 150
	plotTop    = 22 // for the read-out and the alarms' strip
	// The strip above the plot is so high, and ends where the plot begins.
	stripHeight = 4
	rowHeight   = 14 // of the labels of the time axis
	// readouts is how many parts of the time the pointer finds: a quarter of an hour of a day.
	readouts = 96
	// columns is how many parts a line has at most, each with its lowest and its highest value:
	// what a screen can show. The peaks of a longer time stay where they are.
	columns = 720
)

// New is the chart of these series, which have one unit. Its scale reaches up to their highest
// value, and at least to least.
func New(id, title string, series []Series, least float64, c Clock) Chart {
	highest := least
	for _, s := range series {
		highest = max(highest, highestIn(s.Values, 0, c.N))
	}
	unit := ""
	if len(series) > 0 {
		unit = series[0].Unit
	}
	s := newScale(highest, unit)
	const bottom = plotTop + plotHeight
	ch := Chart{ID: id, Title: title, Height: plotHeight, Top: plotTop, Bottom: bottom, Labels: bottom + 18,
		Full: bottom + 24, X: c.Ticks(), Y: s.ticks(plotTop, plotHeight), Width: 2 * max(c.N, 1), Empty: true, scale: s}
	if c.Zone != nil {
		ch.Full += rowHeight
		for i, name := range []string{"UTC", c.zone()} {
			ch.Zones = append(ch.Zones, Tick{At: strconv.Itoa(ch.Labels + i*rowHeight), Label: name})
		}
	}
	for i, one := range series {
		path := linePath(one.Values, c.N, s)
		l := Line{Name: one.Name, Class: one.Class, Path: path, Dots: dotsPath(path)}
		if l.Class == "" {
			l.Class = "s" + strconv.Itoa(i%6+1)
		}
		if i == 0 {
			l.Area = areaPath(path)
		}
		ch.Empty = ch.Empty && path == ""
		ch.Lines = append(ch.Lines, l)
	}
	if !ch.Empty {
		ch.Bands = gaps(series, c)
	}
	ch.Readouts = readoutsOf(series, c)
	ch.Numbers = tableOf(series, c)
	ch.Summary = summary(series, c)
	return ch
}

// Limit draws a line at a value that must not be crossed. One above the scale is left out.
func (ch *Chart) Limit(v float64, label string) {
	if v <= ch.scale.top {
		ch.Bounds = append(ch.Bounds, Bound{Y: trim(plotTop + plotHeight*float64(ch.scale.y(v))/1000), Label: label})
	}
}

// linePath draws the values. Its coordinates are two to a step and thousandths of the height. A
// value that is missing leaves a gap.
func linePath(values []float64, n int, s scale) string {
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
	each(values, n, columns, func(from, to int, low, high int) {
		switch {
		case low < 0:
			stop()
		case low == high:
			move(from+to, s.y(values[low]))
		default:
			move(2*min(low, high)+1, s.y(values[min(low, high)]))
			move(2*max(low, high)+1, s.y(values[max(low, high)]))
		}
	})
	stop()
	return b.String()
}

func isNumber(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// each calls do for each of at most so many parts of the n steps, with the indices of its lowest
// and highest value; −1: it has none.
func each(values []float64, n, parts int, do func(from, to, low, high int)) {
	size := max(1, (n+parts-1)/parts)
	for from := 0; from < n; from += size {
		to := min(from+size, n)
		low, high := -1, -1
		for i := from; i < min(to, len(values)); i++ {
			if !isNumber(values[i]) {
				continue
			}
			if low < 0 || values[i] < values[low] {
				low = i
			}
			if high < 0 || values[i] > values[high] {
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

// dotsPath has the parts of a line that are a single point.
func dotsPath(path string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(path, "M") {
		if strings.HasSuffix(part, "h0") && !strings.ContainsAny(part, "LH") {
			b.WriteString("M" + part)
		}
	}
	return b.String()
}

// gaps are the times in which no series has a value.
func gaps(series []Series, c Clock) []Band {
	var all []Band
	begin := -1
	for i := range c.N + 1 {
		missing := i < c.N && len(series) > 0
		for _, s := range series {
			missing = missing && (i >= len(s.Values) || math.IsNaN(s.Values[i]))
		}
		switch {
		case missing && begin < 0:
			begin = i
		case !missing && begin >= 0:
			from, to := c.step(begin), c.step(i)
			all = append(all, c.Shade("nodata", "No data, "+c.Span(from, &to), from, &to))
			begin = -1
		}
	}
	return all
}

// Shade is a time on a plot, over its whole height. One without an end reaches to the plot's.
func (c Clock) Shade(class, text string, from time.Time, to *time.Time) Band {
	return c.band(class, text, from, to, plotTop, plotHeight)
}

// Strip is a time as a thin strip above a plot.
func (c Clock) Strip(class, text string, from time.Time, to *time.Time) Band {
	return c.band(class, text, from, to, plotTop-stripHeight, stripHeight)
}

// Bar is a time on a row of its own, whose template knows its height.
func (c Clock) Bar(class, text string, from time.Time, to *time.Time) Band {
	return c.band(class, text, from, to, 0, 0)
}

func (c Clock) band(class, text string, from time.Time, to *time.Time, y, height float64) Band {
	end := c.End()
	if to != nil {
		end = *to
	}
	a, b := c.Percent(from), c.Percent(end)
	return Band{Class: class, Text: text, X: Percentage(a), Width: Percentage(max(b-a, 0)), Y: trim(y),
		Height: trim(height)}
}

func readoutsOf(series []Series, c Clock) []Readout {
	var all []Readout
	each(nil, c.N, readouts, func(from, to, _, _ int) {
		a, b := c.step(from), c.step(to)
		x := c.Percent(a)
		text := []string{c.At(a)}
		for _, s := range series {
			text = append(text, s.Name+" "+valueIn(s, from, to))
		}
		all = append(all, Readout{X: Percentage(x), Width: Percentage(c.Percent(b) - x),
			Mid: Percentage((c.Percent(b) + x) / 2), Text: strings.Join(text, " · ")})
	})
	return all
}

// highestIn is the highest value of these steps; 0: there is none.
func highestIn(values []float64, from, to int) float64 {
	var highest float64
	for _, v := range values[min(from, len(values)):min(to, len(values))] {
		if isNumber(v) && v > highest {
			highest = v
		}
	}
	return highest
}

// Highest writes the highest value of a series.
func (s Series) Highest() string { return valueIn(s, 0, len(s.Values)) }

// valueIn writes a series' highest value of these steps.
func valueIn(s Series, from, to int) string {
	for _, v := range s.Values[min(from, len(s.Values)):min(to, len(s.Values))] {
		if !math.IsNaN(v) {
			return Value(highestIn(s.Values, from, to), s.Unit)
		}
	}
	return "no data"
}

// tableOf has the highest values of at most 24 parts of the time.
func tableOf(series []Series, c Clock) *Table {
	t := &Table{Columns: []string{"from"}}
	for _, s := range series {
		t.Columns = append(t.Columns, s.Name)
	}
	const rows = 24
	each(nil, c.N, rows, func(from, to, _, _ int) {
		r := Row{Head: c.At(c.step(from))}
		for _, s := range series {
			r.Cells = append(r.Cells, valueIn(s, from, to))
		}
		t.Rows = append(t.Rows, r)
	})
	return t
}

// summary is what a chart shows, in words.
func summary(series []Series, c Clock) string {
	var parts []string
	for _, s := range series {
		at := -1
		each(s.Values, c.N, 1, func(_, _, _, high int) { at = high })
		if at < 0 {
			parts = append(parts, s.Name+" has no data.")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s is at most %s, at %s.", s.Name, Value(s.Values[at], s.Unit), c.At(c.step(at))))
	}
	return strings.Join(parts, " ")
}

// trim writes a number for an SVG attribute.
func trim(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
