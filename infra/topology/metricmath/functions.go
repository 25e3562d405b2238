package metricmath

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// A function of metric math.
type function struct {
	name  string
	takes string // what it takes, for people
	// result is the kind that it returns for arguments of these kinds; ok is false if it does not
	// take them.
	result func(args []kind) (result kind, ok bool)
	eval   func(d *Data, kinds []kind, args []value, words []word) value
}

// functions are those that a pipeline's alarms and dashboard use, and their nearest relatives.
var functions = byName(
	function{"IF", "a condition and one or two results: time series or numbers", ifKind, evalIf},
	function{"FILL", "a time series or an array, and a number, a time series, REPEAT or LINEAR", fillKind, evalFill},
	ofArray("MAX", func(s []float64) float64 { return slices.Max(s) }),
	ofArray("MIN", func(s []float64) float64 { return slices.Min(s) }),
	ofArray("SUM", total),
	function{"AVG", arrayOnly, arrayKind, evalAvg},
	ofEach("ABS", math.Abs),
	ofEach("CEIL", math.Ceil),
	ofEach("FLOOR", math.Floor),
	function{"PERIOD", "a metric", periodKind, func(d *Data, _ []kind, _ []value, _ []word) value {
		return value{scalar: d.Period.Seconds()}
	}},
	function{"TIME_SERIES", "a number", timeSeriesKind, func(d *Data, _ []kind, args []value, _ []word) value {
		return value{series: slices.Repeat([]float64{args[0].scalar}, d.Periods)}
	}},
)

func byName(all ...function) map[string]function {
	m := make(map[string]function, len(all))
	for _, f := range all {
		m[f.name] = f
	}
	return m
}

// others are the functions that CloudWatch has and this package has not.
var others = strings.Fields("ANOMALY_DETECTION_BAND DATAPOINT_COUNT DATE DAY DB_PERF_INSIGHTS DIFF DIFF_TIME EPOCH " +
	"FIRST HOUR INSIGHT_RULE_METRIC LAMBDA LAST LOG LOG10 METRIC_COUNT METRICS MINUTE MONTH RATE REMOVE_EMPTY " +
	"RUNNING_SUM SEARCH SERVICE_QUOTA SLICE SORT STDDEV YEAR")

func unknownFunction(t token) error {
	if slices.Contains(others, t.text) {
		return mistake(t.at, "%s is a function of CloudWatch that is not evaluated here; these are: %s", t.text,
			strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
	}
	return mistake(t.at, "%q is neither a function nor the ID of a metric, which begins with a lower-case letter", t.text)
}

// A call is a function with its arguments.
type call struct {
	f      function
	args   []node
	kinds  []kind
	words  []word // by argument; empty for one that is no word
	result kind
}

func (f function) call(at int, args []node) (node, error) {
	c := &call{f: f, args: args}
	for _, a := range args {
		w, _ := a.(word)
		c.kinds, c.words = append(c.kinds, a.kind()), append(c.words, w)
	}
	var ok bool
	if c.result, ok = f.result(c.kinds); !ok {
		return nil, mistake(at, "%s takes %s", f.name, f.takes)
	}
	if _, isMetric := args[0].(*metric); f.name == "PERIOD" && !isMetric {
		return nil, mistake(at, "%s takes %s", f.name, f.takes)
	}
	return c, nil
}

func (c *call) kind() kind { return c.result }

func (c *call) eval(d *Data) value {
	args := make([]value, len(c.args))
	for i, a := range c.args {
		args[i] = a.eval(d)
	}
	return c.f.eval(d, c.kinds, args, c.words)
}

// arrayOnly: of a single time series these functions return one number for all the data that
// CloudWatch reads, which for an alarm is more than it evaluates, by an amount that AWS does not
// document; AWS advises against it.
const arrayOnly = "an array of time series like [m1, m2]; of a single one its result would depend on how much data " +
	"CloudWatch reads, so AWS advises against it in alarms"

func arrayKind(args []kind) (kind, bool) { return series, len(args) == 1 && args[0] == array }

// ofArray is a function that makes one value of those that the time series have for a period.
func ofArray(name string, f func([]float64) float64) function {
	return function{name, arrayOnly, arrayKind, func(d *Data, _ []kind, args []value, _ []word) value {
		out := make([]float64, d.Periods)
		for i := range out {
			if present := column(args[0].array, i); len(present) > 0 {
				out[i] = finite(f(present))
			} else {
				out[i] = missing
			}
		}
		return value{series: out}
	}}
}

// column returns the values of all time series for one period.
func column(a [][]float64, period int) []float64 {
	var present []float64
	for _, s := range a {
		if !math.IsNaN(s[period]) {
			present = append(present, s[period])
		}
	}
	return present
}

func total(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// evalAvg takes missing values for 0.
func evalAvg(d *Data, _ []kind, args []value, _ []word) value {
	out := make([]float64, d.Periods)
	for i := range out {
		if present := column(args[0].array, i); len(present) > 0 {
			out[i] = finite(total(present) / float64(len(args[0].array)))
		} else {
			out[i] = missing
		}
	}
	return value{series: out}
}

// ofEach is a function of each value.
func ofEach(name string, f func(float64) float64) function {
	takes := func(args []kind) (kind, bool) {
		return args[0], len(args) == 1 && (args[0] == series || args[0] == array)
	}
	return function{name, "a time series or an array of them", takes,
		func(_ *Data, kinds []kind, args []value, _ []word) value { return mapped(kinds[0], args[0], f) }}
}

func periodKind(args []kind) (kind, bool) { return scalar, len(args) == 1 && args[0] == series }

func timeSeriesKind(args []kind) (kind, bool) { return series, len(args) == 1 && args[0] == scalar }

func ifKind(args []kind) (kind, bool) {
	ok := (len(args) == 2 || len(args) == 3) && slices.Max(args) <= series
	return slices.Max(args), ok
}

// evalIf: a true condition with a missing result is 0, a false one has no value, and neither has a
// missing condition (user guide, "Using IF expressions").
func evalIf(d *Data, kinds []kind, args []value, _ []word) value {
	if len(args) == 2 {
		kinds, args = append(slices.Clone(kinds), scalar), append(args, value{scalar: missing})
	}
	if slices.Max(kinds) == scalar {
		if args[0].scalar != 0 {
			return args[1]
		}
		return args[2]
	}
	at := func(arg, period int) float64 {
		if kinds[arg] == scalar {
			return args[arg].scalar
		}
		return args[arg].series[period]
	}
	out := make([]float64, d.Periods)
	for i := range out {
		switch condition := at(0, i); {
		case math.IsNaN(condition):
			out[i] = missing
		case condition == 0:
			out[i] = at(2, i)
		default:
			if out[i] = at(1, i); kinds[0] == series && math.IsNaN(out[i]) {
				out[i] = 0
			}
		}
	}
	return value{series: out}
}

func fillKind(args []kind) (kind, bool) {
	ok := len(args) == 2 && (args[0] == series || args[0] == array) && args[1] != array
	return args[0], ok
}

func evalFill(d *Data, kinds []kind, args []value, words []word) value {
	fill := func(s []float64) []float64 {
		if !d.FillEmpty && !slices.ContainsFunc(s, isPresent) {
			return s
		}
		out := slices.Clone(s)
		switch {
		case words[1] == repeat:
			fillRepeat(out)
		case words[1] == linear:
			fillLinear(out)
		default:
			for i := range out {
				if math.IsNaN(out[i]) {
					if out[i] = args[1].scalar; kinds[1] == series {
						out[i] = args[1].series[i]
					}
				}
			}
		}
		return out
	}
	if kinds[0] == series {
		return value{series: fill(args[0].series)}
	}
	var out value
	for _, s := range args[0].array {
		out.array = append(out.array, fill(s))
	}
	return out
}

func isPresent(x float64) bool { return !math.IsNaN(x) }

// fillRepeat puts the latest value before a gap into it.
func fillRepeat(s []float64) {
	for i := 1; i < len(s); i++ {
		if math.IsNaN(s[i]) {
			s[i] = s[i-1]
		}
	}
}

// fillLinear puts a straight line into each gap between two values.
func fillLinear(s []float64) {
	last := -1
	for i, x := range s {
		if math.IsNaN(x) {
			continue
		}
		for j := last + 1; last >= 0 && j < i; j++ {
			s[j] = s[last] + (x-s[last])*float64(j-last)/float64(i-last)
		}
		last = i
	}
}
