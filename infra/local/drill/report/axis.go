package report

import (
	"math"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
)

// A tick is a place on an axis that has a label.
type tick struct {
	At    string // an SVG attribute
	Label string
	Odd   bool // a small screen leaves it out
	Class string
}

// timeSteps are distances of the time axis' ticks that people can count in.
var timeSteps = []time.Duration{
	5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour,
	4 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour,
}

// maxTicks is how many labels of the time axis fit beside each other on a desktop screen.
const maxTicks = 8

// timeTicks are the time axis' ticks, on whole hours or days of the clock.
func (c clock) timeTicks() []tick {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if c.end().Sub(c.start) <= maxTicks*s {
			step = s
			break
		}
	}
	var all []tick
	for t := c.start.Truncate(step); t.Before(c.end()); t = t.Add(step) {
		if t.Before(c.start) {
			continue
		}
		label := t.UTC().Format("15:04")
		if c.days() && label == "00:00" {
			label = t.UTC().Format("2 Jan")
		}
		tk := tick{At: percentage(c.percent(t)), Label: label, Odd: len(all)%2 == 1}
		switch at := c.percent(t); { // a label must not reach over the edge
		case at > 96:
			tk.Class = "end"
		case at < 2:
			tk.Class = "start"
		}
		all = append(all, tk)
	}
	return all
}

// secondSteps are distances that people count durations in.
var secondSteps = []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
	2 * 86400, 5 * 86400, 10 * 86400}

// A scale is a value axis from 0 to Top.
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
		if unit == drill.Seconds {
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
	if i := slices.IndexFunc(secondSteps, func(s float64) bool { return s >= raw*0.999 }); unit == drill.Seconds &&
		raw > 1 && i >= 0 {
		step = secondSteps[i]
	}
	if unit != drill.Seconds {
		step = max(step, 1) // things are counted
	}
	return scale{step: step, top: step * math.Ceil(highest/step*0.999), unit: unit}
}

// y is a value's place from the top, in thousandths of the height.
func (s scale) y(v float64) int { return 1000 - int(math.Round(1000*min(1, max(0, v/s.top)))) }

// ticks are the scale's labels, for a plot that is so high and begins at top.
func (s scale) ticks(top, height float64) []tick {
	var all []tick
	for i := 0; float64(i)*s.step <= s.top*1.0001; i++ {
		v := float64(i) * s.step
		label := value(v, s.unit)
		if s.unit == drill.PerMinute {
			label = amount(v)
		}
		if v == 0 {
			label = "0"
		}
		at := top + height*float64(s.y(v))/1000
		all = append(all, tick{At: trim(at), Label: label})
	}
	return all
}
