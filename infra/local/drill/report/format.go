package report

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/infra/local/drill"
)

// duration writes seconds as people say them, with at most two units: "4 min 12 s".
func duration(seconds float64) string {
	switch {
	case seconds < 0:
		return "−" + duration(-seconds)
	case seconds == 0:
		return "0 s"
	case seconds < 0.9995e-3:
		return digits(seconds*1e6) + " µs"
	case seconds < 0.9995:
		return digits(seconds*1e3) + " ms"
	case seconds < 59.95:
		return digits(seconds) + " s"
	case seconds < 3599.5:
		return two(seconds, 60, "min", 1, "s")
	case seconds < 48*3600-30:
		return two(seconds, 3600, "h", 60, "min")
	}
	return two(seconds, 24*3600, "d", 3600, "h")
}

// two writes seconds in a unit and a smaller one, which is left out if it is zero.
func two(seconds, size float64, unit string, smallSize float64, smallUnit string) string {
	small := math.Round(seconds / smallSize)
	whole := math.Floor(small * smallSize / size)
	text := number(whole) + " " + unit
	if rest := small - whole*size/smallSize; rest > 0 {
		text += " " + number(rest) + " " + smallUnit
	}
	return text
}

// digits writes three significant digits.
func digits(v float64) string {
	places := 2 - int(math.Floor(math.Log10(v)))
	scale := math.Pow10(max(places, 0))
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// number writes a whole number with thousands separators.
func number(v float64) string { return humanize.Comma(int64(math.Round(v))) }

// capital begins a sentence with a capital.
func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

func count(v int64) string { return humanize.Comma(v) }

// dollars writes a sum to the cent, and a smaller one to the first digits that say something.
func dollars(v float64) string {
	sign := ""
	if v < 0 {
		sign, v = "−", -v
	}
	if v > 0 && v < 0.095 {
		return sign + "$" + strconv.FormatFloat(v, 'g', 2, 64)
	}
	return sign + "$" + humanize.FormatFloat("#,###.##", v)
}

// value writes a series' value with its unit.
func value(v float64, unit string) string {
	switch unit {
	case drill.Seconds:
		return duration(v)
	case drill.Bytes:
		return humanize.Bytes(uint64(max(0, v)))
	case drill.PerMinute:
		return amount(v) + unit
	}
	return amount(v)
}

// amount writes a number whose fraction matters only if it is small.
func amount(v float64) string {
	if a := math.Abs(v); a > 0 && a < 10 && a != math.Trunc(a) {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	}
	return number(v)
}

// A clock writes the moments of one result: the time, and the day if the result has several.
type clock struct {
	start   time.Time
	minutes int
}

func (c clock) days() bool { return c.minutes > 24*60 }

func (c clock) at(t time.Time) string {
	layout := "15:04"
	if t.Second() != 0 {
		layout = "15:04:05"
	}
	if c.days() {
		layout = "2 Jan " + layout
	}
	return t.UTC().Format(layout)
}

// span writes a time that may have no end.
func (c clock) span(from time.Time, to *time.Time) string {
	if to == nil {
		return "from " + c.at(from)
	}
	return c.at(from) + " to " + c.at(*to)
}

// percent is where a moment is on the axis, as an SVG attribute: 0% is the start. A moment outside
// is at the nearer end.
func (c clock) percent(t time.Time) float64 {
	whole := time.Duration(max(c.minutes, 1)) * time.Minute
	return 100 * min(1, max(0, float64(t.Sub(c.start))/float64(whole)))
}

func (c clock) end() time.Time { return c.start.Add(time.Duration(c.minutes) * time.Minute) }

// percentage writes a share of the axis for an SVG attribute.
func percentage(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) + "%"
}
