package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var now = time.UnixMilli(1_795_000_000_123)

// line is what CloudWatch reads of a line in the embedded metric format.
type line struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
}

// parse checks lines as CloudWatch does, and returns all values: metric and dimensions to values,
// in order.
func parse(t *testing.T, out string) (values map[string][]float64, lines int) {
	t.Helper()
	values = map[string][]float64{}
	for text := range strings.Lines(out) {
		lines++
		var l line
		var members map[string]json.RawMessage
		d := json.NewDecoder(strings.NewReader(text))
		if err := d.Decode(&members); err != nil || d.More() || !strings.HasSuffix(text, "}\n") {
			t.Fatalf("line %q: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		if l.AWS.Timestamp != now.UnixMilli() || len(l.AWS.CloudWatchMetrics) == 0 {
			t.Fatalf("line %q: timestamp %d, %d directives", text, l.AWS.Timestamp, len(l.AWS.CloudWatchMetrics))
		}
		dimensions, metrics := map[string]string{}, 0
		for _, m := range l.AWS.CloudWatchMetrics {
			if m.Namespace != "Spillway" || len(m.Dimensions) == 0 || len(m.Metrics) == 0 {
				t.Fatalf("line %q: namespace %q, %d sets of dimensions, %d metrics", text, m.Namespace, len(m.Dimensions),
					len(m.Metrics))
			}
			metrics += len(m.Metrics)
			for _, set := range m.Dimensions {
				labels := labelsOf(t, set, members, dimensions)
				for _, metric := range m.Metrics {
					key := fmt.Sprintf("%s %s %s", metric.Name, metric.Unit, labels)
					values[key] = append(values[key], numbersOf(t, metric.Name, members[metric.Name])...)
				}
			}
		}
		if len(members) != 1+len(dimensions)+metrics || metrics > 100 {
			t.Fatalf("line %q has %d members for %d dimensions and %d metrics", text, len(members), len(dimensions), metrics)
		}
	}
	return values, lines
}

// labelsOf returns a set of dimensions with their values, and adds them to those of the line.
func labelsOf(t *testing.T, set []string, members map[string]json.RawMessage, dimensions map[string]string) string {
	t.Helper()
	var labels []string
	for _, name := range set {
		var value string
		if err := json.Unmarshal(members[name], &value); err != nil || value == "" {
			t.Fatalf("dimension %s is %s", name, members[name])
		}
		dimensions[name] = value
		labels = append(labels, name+"="+value)
	}
	return strings.Join(labels, " ")
}

// numbersOf are the values of a metric.
func numbersOf(t *testing.T, name string, raw json.RawMessage) []float64 {
	t.Helper()
	var one float64
	if json.Unmarshal(raw, &one) == nil {
		return []float64{one}
	}
	var many []float64
	if err := json.Unmarshal(raw, &many); err != nil || len(many) == 0 || len(many) > 100 {
		t.Fatalf("%s has %d values, %v", name, len(many), err)
	}
	return many
}

func write(t *testing.T, metrics ...Metric) (values map[string][]float64, lines int) {
	t.Helper()
	var out bytes.Buffer
	if err := NewWriter(&out, "staging", "deliver").Write(now, metrics...); err != nil {
		t.Fatal(err)
	}
	return parse(t, out.String())
}

func TestAMetricOfAnotherTimeHasALineOfItsOwn(t *testing.T) {
	var out bytes.Buffer
	scheduled := now.Add(-5 * time.Minute)
	if err := NewWriter(&out, "staging", "deliver").Write(now, Metric{Name: "A", Unit: Count, Values: []float64{1}},
		Metric{Name: "B", Unit: Count, Values: []float64{2}, At: scheduled},
		Metric{Name: "B", Unit: Count, Values: []float64{3}, At: scheduled}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for text := range strings.Lines(out.String()) {
		var l line
		var values struct{ A, B float64 }
		if err := errors.Join(json.Unmarshal([]byte(text), &l), json.Unmarshal([]byte(text), &values)); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(values, " ", now.Sub(time.UnixMilli(l.AWS.Timestamp))))
	}
	if want := []string{"{1 0} 0s", "{0 2} 5m0s", "{0 3} 5m0s"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAPropertyIsInTheFirstLineOnlyAndIsNoMetric(t *testing.T) {
	var out bytes.Buffer
	if err := NewWriter(&out, "staging", "ingest").WriteWith(now, "Codes", map[string]int{"overloaded": 2},
		Metric{Name: "A", Unit: Count, Values: []float64{1}},
		Metric{Name: "B", Unit: Count, Dimension: "D", Value: "d", Values: []float64{1}}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, `"Codes":{"overloaded":2}`) != 1 ||
		strings.Contains(text, `"Name":"Codes"`) ||
		!strings.Contains(strings.SplitN(text, "\n", 2)[0], "Codes") {
		t.Errorf("%s", text)
	}
}

func numbers(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i) + 0.5
	}
	return v
}

func same(a, b map[string][]float64) bool { return maps.EqualFunc(a, b, slices.Equal) }

func TestWriteWritesTheEmbeddedMetricFormat(t *testing.T) {
	var out bytes.Buffer
	err := NewWriter(&out, "staging", "deliver").Write(now, Metric{Name: "A", Unit: Count, Values: []float64{1}},
		Metric{Name: "B", Unit: Seconds, Values: []float64{1.5, 2}})
	want := `{"A":1,"B":[1.5,2],"Function":"deliver","Pipeline":"staging","_aws":{"CloudWatchMetrics":[{"Namespace":"Spillway","Dimensions":[["Pipeline","Function"]],` +
		`"Metrics":[{"Name":"A","Unit":"Count"},{"Name":"B","Unit":"Seconds"}]}],"Timestamp":1795000000123}}` + "\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s, want\n%s", err, out.String(), want)
	}
}

func TestMetricsWithTheSameDimensionsShareALine(t *testing.T) {
	values, lines := write(t,
		Metric{Name: "EventsDelivered", Unit: Count, Values: []float64{250}},
		Metric{Name: "EventsRetried", Unit: Count, Dimension: "Class", Value: "transient", Values: []float64{3}},
		Metric{Name: "EventAge", Unit: Seconds, Values: []float64{0.25}},
		Metric{Name: "SegmentResponses", Unit: Count, Dimension: "Class", Value: "transient", Values: []float64{1}},
		Metric{Name: "SegmentResponses", Unit: Count, Dimension: "Class", Value: "throttled", Values: []float64{2}},
		Metric{Name: "FlushLatency", Unit: Milliseconds}, // no values, no line
	)
	want := map[string][]float64{
		"EventsDelivered Count Pipeline=staging Function=deliver":                  {250},
		"EventAge Seconds Pipeline=staging Function=deliver":                       {0.25},
		"EventsRetried Count Pipeline=staging Function=deliver Class=transient":    {3},
		"SegmentResponses Count Pipeline=staging Function=deliver Class=transient": {1},
		"SegmentResponses Count Pipeline=staging Function=deliver Class=throttled": {2},
	}
	if !same(values, want) || lines != 3 {
		t.Errorf("%d lines with %v, want 3 with %v", lines, values, want)
	}
	if _, lines := write(t); lines != 0 {
		t.Errorf("%d lines for no metrics", lines)
	}
}

func TestAMetricWithManyValuesTakesSeveralLines(t *testing.T) {
	for _, c := range []struct{ values, lines int }{{1, 1}, {2, 1}, {99, 1}, {100, 1}, {101, 2}, {200, 2}, {201, 3},
		{1234, 13}} {
		v := numbers(c.values)
		values, lines := write(t, Metric{Name: "A", Unit: Count, Values: v},
			Metric{Name: "B", Unit: Count, Values: []float64{7}})
		want := map[string][]float64{"A Count Pipeline=staging Function=deliver": v,
			"B Count Pipeline=staging Function=deliver": {7}}
		if !same(values, want) || lines != c.lines {
			t.Errorf("%d values: %d lines with %v, want %d", c.values, lines, values, c.lines)
		}
	}
}

func TestMetricsWithTheSameNameTakeSeveralLines(t *testing.T) {
	values, lines := write(t, Metric{Name: "A", Unit: Count, Values: numbers(150)},
		Metric{Name: "A", Unit: Count, Values: []float64{1}}, Metric{Name: "A", Unit: Count, Values: []float64{2, 3}})
	var sum float64
	got := values["A Count Pipeline=staging Function=deliver"]
	for _, v := range got {
		sum += v
	}
	if len(got) != 153 || sum != 150*150/2+6 || lines < 2 {
		t.Errorf("%d lines with %d values of sum %v", lines, len(got), sum)
	}
}

func TestManyMetricsTakeSeveralLines(t *testing.T) {
	var metrics []Metric
	want := map[string][]float64{}
	for i := range 250 {
		name := fmt.Sprintf("M%d", i)
		metrics = append(metrics, Metric{Name: name, Unit: Count, Values: []float64{float64(i)}})
		want[name+" Count Pipeline=staging Function=deliver"] = []float64{float64(i)}
	}
	if values, lines := write(t, metrics...); !same(values, want) || lines != 3 {
		t.Errorf("%d lines with %d metrics, want 3 with 250", lines, len(values))
	}
}

func TestWriteGoesOnAfterAMetricThatItCannotWrite(t *testing.T) {
	var out bytes.Buffer
	err := NewWriter(&out, "staging", "deliver").Write(now,
		Metric{Name: "Bad", Unit: Count, Dimension: "Class", Value: "nan", Values: []float64{math.NaN()}},
		Metric{Name: "Function", Unit: Count, Values: []float64{1}},
		Metric{Name: "Good", Unit: Count, Values: []float64{1}},
	)
	if err == nil || !strings.Contains(err.Error(), "encode metrics") ||
		!strings.Contains(err.Error(), "metric Function has the name of a dimension") {
		t.Errorf("error %v", err)
	}
	if values, _ := parse(t, out.String()); !same(values,
		map[string][]float64{"Good Count Pipeline=staging Function=deliver": {1}}) {
		t.Errorf("written %v", values)
	}
}

// An alarm on a new version must see that version alone, and every other reader the function as
// before.
func TestAMetricByVersionIsCountedTwiceAndTheOthersOnce(t *testing.T) {
	metrics := []Metric{{Name: "EventsDelivered", Unit: Count, Values: []float64{3}, ByVersion: true},
		{Name: "EventAge", Unit: Seconds, Values: []float64{1}},
		{Name: "EventsRetried", Unit: Count, Dimension: "Class", Value: "transient", Values: []float64{2}, ByVersion: true}}
	once := map[string][]float64{
		"EventsDelivered Count Pipeline=staging Function=deliver":               {3},
		"EventAge Seconds Pipeline=staging Function=deliver":                    {1},
		"EventsRetried Count Pipeline=staging Function=deliver Class=transient": {2},
	}
	twice := maps.Clone(once)
	twice["EventsDelivered Count Pipeline=staging Function=deliver Version=12"] = []float64{3}
	for version, want := range map[string]map[string][]float64{"12": twice, "": once, "$LATEST": once, "-1": once} {
		var out bytes.Buffer
		if err := NewVersionWriter(&out, "staging", "deliver", version).Write(now, metrics...); err != nil {
			t.Fatal(err)
		}
		if values, lines := parse(t, out.String()); !same(values, want) || lines != 2 {
			t.Errorf("version %q: %d lines with %v, want 2 with %v", version, lines, values, want)
		}
	}
}

func TestAVersionsMetricsOfSeveralLinesHaveItInEach(t *testing.T) {
	var out bytes.Buffer
	if err := NewVersionWriter(&out, "staging", "deliver", "7").Write(now,
		Metric{Name: "A", Unit: Count, Values: numbers(250), ByVersion: true}); err != nil {
		t.Fatal(err)
	}
	values, lines := parse(t, out.String())
	if want := numbers(250); lines != 3 ||
		!slices.Equal(values["A Count Pipeline=staging Function=deliver Version=7"], want) ||
		!slices.Equal(values["A Count Pipeline=staging Function=deliver"], want) {
		t.Errorf("%d lines with %v", lines, values)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriteReturnsTheErrorOfItsWriter(t *testing.T) {
	full := errors.New("disk full")
	err := NewWriter(failingWriter{full}, "staging", "deliver").Write(now,
		Metric{Name: "A", Unit: Count, Values: numbers(500)})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "write metrics") {
		t.Errorf("error %v", err)
	}
}

func TestByReturnsMetricsInTheOrderOfTheKeys(t *testing.T) {
	got := By("EventsRetried", "Class", map[string]int{"transient": 3, "misconfigured": 1, "throttled": 0})
	var text []string
	for _, m := range got {
		text = append(text, fmt.Sprint(m.Name, m.Unit, m.Dimension, m.Value, m.Values))
	}
	const want = "EventsRetriedCountClassmisconfigured[1]|EventsRetriedCountClassthrottled[0]|" +
		"EventsRetriedCountClasstransient[3]"
	if strings.Join(text, "|") != want {
		t.Errorf("%v, want %s", text, want)
	}
	if got := By[string]("A", "B", nil); len(got) != 0 {
		t.Errorf("%v of nothing", got)
	}
	if got := Sum(map[string]int{"transient": 3, "misconfigured": 1}) + Sum[string](nil); got != 4 {
		t.Errorf("the sum is %d, not 4", got)
	}
}

// piecewise is a destination in which bytes of two writes under way at a time would mix.
type piecewise struct{ out []byte }

func (w *piecewise) Write(p []byte) (int, error) {
	for i := range p { // one by one, so that two writers can meet in the middle
		w.out = append(w.out, p[i:i+1]...)
	}
	return len(p), nil
}

func TestConcurrentWritesDoNotMixTheirLines(t *testing.T) {
	var dst piecewise
	w := NewWriter(&dst, "staging", "deliver")
	want := map[string][]float64{}
	var writers sync.WaitGroup
	for n := range 8 {
		name := fmt.Sprintf("M%d", n)
		want[name+" Count Pipeline=staging Function=deliver"] = slices.Repeat(numbers(250), 20)
		writers.Go(func() {
			for range 20 {
				if err := w.Write(now, Metric{Name: name, Unit: Count, Values: numbers(250)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if values, lines := parse(t, string(dst.out)); !same(values, want) || lines != 8*20*3 {
		t.Errorf("%d lines, want %d; all values there: %v", lines, 8*20*3, same(values, want))
	}
}
