package metricmath

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

var gap = math.NaN()

func same(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }

// The cases with a source are the user guide's own, "Using metric math"; - is a missing value.
func TestEvaluate(t *testing.T) {
	metrics := map[string][]float64{
		"m1": {30, 20, 0, 0}, "m2": {20, gap, 20, gap}, "none": {gap, gap, gap, gap}, "g": {gap, 1, gap, 4},
		"c": {1, 1, 0, 0, gap}, "a": {30, gap, 0, 0, 30}, "b": {0, 0, 20, gap, 20},
	}
	for _, c := range []struct {
		expression string
		want       []float64
	}{
		{"m1 < m2", []float64{0, 0, 1, 0}},               // "Comparison and logical operators"
		{"m1 >= 30", []float64{1, 0, 0, 0}},              // there
		{"m1 > 15 AND m2 > 15", []float64{1, 0, 0, 0}},   // there
		{"IF(c, a, b)", []float64{30, 0, 20, gap, gap}},  // "Using IF expressions"
		{"IF(c, 5, b)", []float64{5, 5, 20, gap, gap}},   // there
		{"IF(c, a, 5)", []float64{30, 0, 5, 5, gap}},     // there
		{"IF(c, a)", []float64{30, 0, gap, gap, gap}},    // there: without a third argument
		{"IF(m1 < 25, 10, 2)", []float64{2, 10, 10, 10}}, // there
		{"m1 + m2", []float64{50, 20, 20, 0}},            // "Basic arithmetic functions": missing is 0
		{"m2 - m1", []float64{-10, -20, 20, 0}},
		{"m1 / m2", []float64{1.5, gap, 0, gap}}, // there: a division by 0 is dropped
		{"m2 / 0", []float64{gap, gap, gap, gap}},
		{"m2 + 1", []float64{21, gap, 21, gap}},
		{"0 * m1 + none", []float64{0, 0, 0, 0}},
		{"m2 OR m1", []float64{1, 1, 1, 0}},
		{"m2 > 1 || none > 1", []float64{1, gap, 1, gap}},
		{"none && none", []float64{gap, gap, gap, gap}},
		{"FILL(m2, 7)", []float64{20, 7, 20, 7}},
		{"FILL(m2, m1)", []float64{20, 20, 20, 0}},
		{"FILL(m2, REPEAT)", []float64{20, 20, 20, 20}},
		{"FILL(g, REPEAT)", []float64{gap, 1, 1, 4}},
		{"FILL(g, LINEAR)", []float64{gap, 1, 2.5, 4}},
		{"FILL(m2, LINEAR)", []float64{20, 20, 20, gap}},
		{"FILL(none, 7)", []float64{gap, gap, gap, gap}},
		{"SUM(FILL([m2, g], 1))", []float64{21, 2, 21, 5}},
		{"MAX([m1, m2])", []float64{30, 20, 20, 0}},
		{"MIN([m1, m2])", []float64{20, 20, 0, 0}},
		{"SUM([m2, g])", []float64{20, 1, 20, 4}},
		{"SUM([m2, none])", []float64{20, gap, 20, gap}},
		{"AVG([m1, m2])", []float64{25, 10, 10, 0}}, // the functions' table: missing is 0
		{"SUM(100 / [m1, m2])", []float64{100/30. + 5, 5, 5, gap}},
		{"SUM(-[m1, m2])", []float64{-50, -20, -20, 0}},
		{"ABS(-m1)", []float64{30, 20, 0, 0}},
		{"CEIL(m1 / 40) + FLOOR(m1 / 40)", []float64{1, 1, 0, 0}},
		{"m1 / PERIOD(m1)", []float64{0.5, 20. / 60, 0, 0}},
		{"TIME_SERIES(10) + 1", []float64{11, 11, 11, 11}},
		{"1 + 2 * m1 ^ 2 / 4 - 3", []float64{448, 198, -2, -2}},
		{"-m1 + (1 - 2)", []float64{-31, -21, -1, -1}},
		{"IF(1, m2, m1)", []float64{20, gap, 20, gap}},
		{"m1 ^ -1 * 0", []float64{0, 0, gap, gap}},
	} {
		t.Run(c.expression, func(t *testing.T) {
			e, err := Parse(c.expression)
			if err != nil {
				t.Fatal(err)
			}
			got := e.Evaluate(Data{Periods: len(c.want), Period: time.Minute,
				Values: func(id string) []float64 { return metrics[id][:len(c.want)] }})
			if !slices.EqualFunc(got, c.want, same) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestFillOfAMetricWithoutAnyValueIsAnAssumption(t *testing.T) {
	e, err := Parse("FILL(m, 7)")
	if err != nil {
		t.Fatal(err)
	}
	values := func(string) []float64 { return []float64{gap, gap} }
	if got := e.Evaluate(Data{Periods: 2, Values: values}); !slices.EqualFunc(got, []float64{gap, gap}, same) {
		t.Errorf("if FILL makes nothing of it: %v", got)
	}
	if got := e.Evaluate(Data{Periods: 2, Values: values, FillEmpty: true}); !slices.Equal(got, []float64{7, 7}) {
		t.Errorf("if FILL fills it: %v", got)
	}
}

func TestAMetricsOwnValuesAreNotChanged(t *testing.T) {
	values := []float64{1, gap}
	for _, expression := range []string{"m", "FILL(m, 0)", "-m", "MAX([m])", "IF(m, m, m)"} {
		e, err := Parse(expression)
		if err != nil {
			t.Fatal(err)
		}
		got := e.Evaluate(Data{Periods: 2, Values: func(string) []float64 { return values }})
		got[0], got[1] = 9, 9
		if !slices.EqualFunc(values, []float64{1, gap}, same) {
			t.Fatalf("%s shares the metric's values: %v", expression, values)
		}
	}
}

func TestAnErrorSaysWhereAndWhatCloudWatchTakes(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{"", "at character 1: expected a metric, a number or a function"},
		{"m1 +", "at character 5: expected a metric"},
		{"m1 + ) m2", "at character 6: expected a metric"},
		{"(m1", `at character 4: expected ")"`},
		{"m1 m2", `at character 4: unexpected "m2" after the end`},
		{"MAX(m1)", "at character 1: MAX takes an array of time series"},
		{"fill(m1, 0)", `at character 5: unexpected "("`},
		{"FILL m1", `at character 6: expected "(" after FILL`},
		{"FILL(m1)", "FILL takes a time series or an array, and a number"},
		{"FILL(5, 0)", "FILL takes"},
		{"FILL(m1, NONE)", `at character 10: "NONE" is neither a function nor the ID of a metric`},
		{"Errors > 0", "at character 1: \"Errors\" is neither"},
		{"ANOMALY_DETECTION_BAND(m1)", "is a function of CloudWatch that is not evaluated here"},
		{"IF(m1)", "IF takes a condition and one or two results"},
		{"IF([m1], 1, 0)", "IF takes"},
		{"5 + 3", "the result is a single number"},
		{"[m1, m2] * 2", "the result is an array"},
		{"[m1, 2]", "an array has only time series"},
		{"SUM([m1] + [m2])", "at character 10: + takes one array at most"},
		{"SUM([m1] > 2)", "> takes time series and numbers, no arrays"},
		{"PERIOD(m1 + m2) * m1", "PERIOD takes a metric"},
		{"m1 < m2 < m3", "at character 9: a second comparison"},
		{"m1 AND m2 OR m3", "at character 11: AND and OR without parentheses"},
		{"m1 + REPEAT", `"REPEAT" is neither`},
		{"m1 $ 2", `at character 4: unexpected '$'`},
		{"m1 = 2", `at character 4: unexpected '='`},
		{"é + m1", `at character 1: unexpected 'é'`},
		{"1.2.3 * m1", `"1.2.3" is not a number`},
		{strings.Repeat("(", 200) + "m1", "at character 101: an expression must not nest more than 100 levels"},
		{strings.Repeat("-", 200) + "m1", "must not nest more than 100 levels"},
		{strings.Repeat("m1 + ", 500) + "m1", "an expression has at most 2048 characters, this one has 2502"},
	} {
		if _, err := Parse(c.expression); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want …%s…", c.expression, err, c.want)
		}
	}
}

func TestCheckNamesMetricsThatDoNotExistOrAreNotUsed(t *testing.T) {
	for _, c := range []struct {
		expression string
		ids        []string
		want       string
	}{
		{"a + b", []string{"a", "b"}, ""},
		{"a + b", []string{"a"}, `there is no metric with the ID "b"`},
		{"a", []string{"a", "b"}, `the metric "b" is not used`},
		{"a +", []string{"a"}, "expected a metric"},
	} {
		err := Check(c.expression, c.ids)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s over %q: %v, want %q", c.expression, c.ids, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"IF(v + f > 1 AND 0 * v + FILL(d, 0) < 1, 1, 0)", "MAX([q, FILL(d, REPEAT)])", "a<b",
		"((", "-1^2/0", "SUM(100/[a,b])", "IF(1, 2)", "FILL([a], LINEAR)", "TIME_SERIES(1/0)", "PERIOD(a)*a"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, source string, periods int) {
		e, err := Parse(source)
		if err != nil {
			return
		}
		periods = max(0, periods%10)
		values := make([]float64, periods)
		for i := range values {
			values[i] = [...]float64{0, gap, math.MaxFloat64, -1}[i%4]
		}
		got := e.Evaluate(Data{Periods: periods, Period: time.Minute, Values: func(string) []float64 { return values }})
		if len(got) != periods {
			t.Errorf("%q: %d values for %d periods", source, len(got), periods)
		}
		if slices.ContainsFunc(got, func(x float64) bool { return math.IsInf(x, 0) }) {
			t.Errorf("%q: %v has an infinite value", source, got)
		}
	})
}
