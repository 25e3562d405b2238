package report

import (
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/shared/chart"
)

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

// drawn is a series as a chart draws it.
func drawn(s drill.Series) chart.Series {
	values := make([]float64, len(s.Values))
	for i, v := range s.Values {
		values[i] = math.NaN()
		if v != nil {
			values[i] = *v
		}
	}
	return chart.Series{Name: s.Name, Unit: s.Unit, Values: values}
}
