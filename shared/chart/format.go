package chart

import (
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// Duration writes seconds as people say them, with at most two units: "4 min 12 s".
func Duration(seconds float64) string {
	switch {
	case seconds < 0:
		return "−" + Duration(-seconds)
	case seconds == 0:
		return "0 s"
	case seconds < 0.9995e-3:
		return Digits(seconds*1e6) + " µs"
	case seconds < 0.9995:
		return Digits(seconds*1e3) + " ms"
	case seconds < 59.95:
		return Digits(seconds) + " s"
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
	text := Number(whole) + " " + unit
	if rest := small - whole*size/smallSize; rest > 0 {
		text += " " + Number(rest) + " " + smallUnit
	}
	return text
}

// Digits writes three significant digits.
func Digits(v float64) string {
	places := 2 - int(math.Floor(math.Log10(v)))
	scale := math.Pow10(max(places, 0))
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// Number writes a whole number with thousands separators.
func Number(v float64) string { return humanize.Comma(int64(math.Round(v))) }

// Value writes a series' value with its unit.
func Value(v float64, unit string) string {
	switch unit {
	case Seconds:
		return Duration(v)
	case Bytes:
		return humanize.Bytes(uint64(max(0, v)))
	}
	if strings.HasPrefix(unit, "/") { // a rate
		return Amount(v) + unit
	}
	return Amount(v)
}

// Amount writes a number whose fraction matters only if it is small.
func Amount(v float64) string {
	if a := math.Abs(v); a > 0 && a < 10 && a != math.Trunc(a) {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	}
	return Number(v)
}
