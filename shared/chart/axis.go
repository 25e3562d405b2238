package chart

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Clock is the time axis: its moments, and how they are written.
type Clock struct {
	Start time.Time
	Step  time.Duration // of a value; 0: a minute
	N     int           // values
	// Zone gives the axis a second row of labels, below those in UTC; nil: it has none.
	Zone *time.Location
}

func (c Clock) size() time.Duration {
	if c.Step == 0 {
		return time.Minute
	}
	return c.Step
}

// step is when a step begins.
func (c Clock) step(i int) time.Time { return c.Start.Add(time.Duration(i) * c.size()) }

// End is when the last step ends.
func (c Clock) End() time.Time { return c.step(c.N) }

// days reports whether moments need their day.
func (c Clock) days() bool { return c.End().Sub(c.Start) > 24*time.Hour }

// zone is the name of the second row's zone, at the end of the axis.
func (c Clock) zone() string {
	name, _ := c.End().In(c.Zone).Zone()
	return name
}

// At writes a moment in UTC: the time, and the day if there are several.
func (c Clock) At(t time.Time) string {
	layout := "15:04"
	if t.Second() != 0 {
		layout = "15:04:05"
	}
	if c.days() {
		layout = "2 Jan " + layout
	}
	return t.UTC().Format(layout)
}

// Span writes a time that may have no end.
func (c Clock) Span(from time.Time, to *time.Time) string {
	if to == nil {
		return "from " + c.At(from)
	}
	return c.At(from) + " to " + c.At(*to)
}

// Percent is where a moment is on the axis: 0 is the start. A moment outside is at the nearer end.
func (c Clock) Percent(t time.Time) float64 {
	whole := time.Duration(max(c.N, 1)) * c.size()
	return 100 * min(1, max(0, float64(t.Sub(c.Start))/float64(whole)))
}

// A Tick is a place on an axis that has a label.
type Tick struct {
	At     string // an SVG attribute
	Label  string
	Second string    // the label in the second row: the same time in the Clock's Zone
	Time   time.Time // of a tick of the time axis
	Odd    bool      // a small screen leaves it out
	Class  string
}

// Machine is the time of a tick for a script.
func (t Tick) Machine() string { return t.Time.UTC().Format(time.RFC3339) }

// timeSteps are distances of the time axis' ticks that people can count in.
var timeSteps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
	2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour,
	7 * 24 * time.Hour,
}

// maxTicks is how many labels of the time axis fit beside each other on a desktop screen.
const maxTicks = 8

// Ticks are the time axis' ticks, on whole hours or days of the clock in UTC.
func (c Clock) Ticks() []Tick {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if c.End().Sub(c.Start) <= maxTicks*s {
			step = s
			break
		}
	}
	var all []Tick
	for t := c.Start.Truncate(step); t.Before(c.End()); t = t.Add(step) {
		if t.Before(c.Start) {
			continue
		}
		tk := Tick{At: Percentage(c.Percent(t)), Label: c.label(t.UTC()), Odd: len(all)%2 == 1, Time: t}
		if c.Zone != nil {
			tk.Second = c.label(t.In(c.Zone))
		}
		switch at := c.Percent(t); { // a label must not reach over the edge
		case c.Zone != nil && at < 5:
			continue // the names of the rows are there
		case at > 96:
			tk.Class = "end"
		case at < 2:
			tk.Class = "start"
		}
		all = append(all, tk)
	}
	return all
}

func (c Clock) label(t time.Time) string {
	label := t.Format("15:04")
	if c.days() && label == "00:00" {
		label = t.Format("2 Jan")
	}
	return label
}

// secondSteps are distances that people count durations in.
var secondSteps = []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
	2 * 86400, 5 * 86400, 10 * 86400}

// A scale is a value axis from 0 on.
type scale struct {
	step, top float64
	unit      string
}

// newScale is the scale of values up to highest, with three to five steps.
func newScale(highest float64, unit string) scale {
	const steps = 4
	const most = 1e15 // beyond it a file is broken, and no label would fit
	highest = min(highest, most)
	if !(highest > 0) {
		highest = 1
		if unit == Seconds {
			highest = 1e-3
		}
	}
	raw := highest / steps
	step := math.Pow10(int(math.Floor(math.Log10(raw))))
	for _, factor := range []float64{1, 2, 5, 10} {
		if step*factor >= raw*0.999 {
			step *= factor
			break
		}
	}
	if i := slices.IndexFunc(secondSteps, func(s float64) bool { return s >= raw*0.999 }); unit == Seconds && raw > 1 &&
		i >= 0 {
		step = secondSteps[i]
	}
	if unit != Seconds {
		step = max(step, 1) // things are counted
	}
	return scale{step: step, top: step * math.Ceil(highest/step*0.999), unit: unit}
}

// y is a value's place from the top, in thousandths of the height.
func (s scale) y(v float64) int { return 1000 - int(math.Round(1000*min(1, max(0, v/s.top)))) }

// ticks are the scale's labels, for a plot that is so high and begins at top.
func (s scale) ticks(top, height float64) []Tick {
	var all []Tick
	for i := 0; float64(i)*s.step <= s.top*1.0001; i++ {
		v := float64(i) * s.step
		label := Value(v, s.unit)
		if strings.HasPrefix(s.unit, "/") {
			label = Amount(v)
		}
		if v == 0 {
			label = "0"
		}
		at := top + height*float64(s.y(v))/1000
		all = append(all, Tick{At: trim(at), Label: label})
	}
	return all
}

// Percentage writes a share of the axis for an SVG attribute.
func Percentage(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) + "%"
}
