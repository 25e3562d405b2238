package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/shared/chart"
)

//go:embed chart.svg
var chartSVG string

// The geometry of the chart, in its own units.
const (
	rowHeight  = 34
	plotLeft   = 430
	plotWidth  = 480
	plotTop    = 58
	plotBottom = 34
)

// bar is a row of the chart.
type bar struct {
	Label, Value string
	Ours         bool
	Y            int     // of its middle
	Width, End   float64 // of the bar; its value begins at End
	rate         float64
}

// tick is a line of the axis.
type tick struct {
	X    float64
	Text string
}

// Chart writes the chart of events/s as SVG, which has its own light and dark colours. Its axis is
// logarithmic: between the slowest and the fastest lie five powers of ten.
func (r *Results) Chart(w io.Writer) error {
	var bars []bar
	for _, p := range r.Peers {
		if d := r.drain(p.Name, latency); d != nil {
			bars = append(bars, bar{Label: strings.ReplaceAll(p.What, "*", ""), rate: arrivedPerSecond(d), Value: rate(d),
				Ours: strings.HasPrefix(p.Name, "spillway")})
		}
	}
	slices.SortStableFunc(bars, func(a, b bar) int { return cmp.Compare(b.rate, a.rate) })
	decades := 1.0
	for _, b := range bars {
		decades = max(decades, math.Ceil(math.Log10(b.rate)))
	}
	for i := range bars {
		bars[i].Y = plotTop + rowHeight*i + rowHeight/2
		bars[i].Width = max(1, plotWidth*math.Log10(max(1, bars[i].rate))/decades)
		bars[i].End = plotLeft + bars[i].Width + 8
	}
	var ticks []tick
	for e := 0.0; e <= decades; e++ {
		ticks = append(ticks, tick{plotLeft + plotWidth*e/decades, chart.Number(math.Pow(10, e))})
	}
	t, err := template.New("chart").Parse(chartSVG)
	if err != nil {
		return err
	}
	if err := t.Execute(w, map[string]any{"Bars": bars, "Ticks": ticks, "Left": plotLeft, "Top": plotTop,
		"Height": plotTop + rowHeight*len(bars) + plotBottom, "Bottom": plotTop + rowHeight*len(bars),
		"Label": plotLeft - 12, "Middle": plotLeft + plotWidth/2,
		"Latency": fmt.Sprintf("%d ms", latency.Milliseconds())}); err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	return nil
}
