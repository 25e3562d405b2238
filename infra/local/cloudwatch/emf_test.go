package cloudwatch

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// What the pipeline's own writer writes is read back whole.
func TestLinesOfOurWriterAreRead(t *testing.T) {
	var log bytes.Buffer
	many := make([]float64, 250)
	for i := range many {
		many[i] = float64(i)
	}
	err := emf.NewWriter(&log, "staging", "deliver").Write(start,
		emf.Metric{Name: "EventsDelivered", Unit: emf.Count, Values: []float64{7}},
		emf.Metric{Name: "EventAge", Unit: emf.Seconds, Values: many},
		emf.Metric{Name: "EventsRetried", Unit: emf.Count, Dimension: "Class", Value: "transient", Values: []float64{3}},
	)
	if err != nil {
		t.Fatal(err)
	}
	s := NewStore(time.Hour)
	s.Now = at(start)
	for line := range bytes.Lines(log.Bytes()) {
		if err := s.PutEMF(line); err != nil {
			t.Error(err)
		}
	}
	k := Key{Own: "deliver", Pipeline: "staging"}
	for _, c := range []struct {
		name, dimension, value, statistic string
		want                              float64
	}{
		{"EventsDelivered", "", "", "Sum", 7},
		{"EventAge", "", "", "SampleCount", 250},
		{"EventAge", "", "", "Maximum", 249},
		{"EventsRetried", "Class", "transient", "Sum", 3},
	} {
		k.Name, k.Dimension, k.Value = c.name, c.dimension, c.value
		if got := values(t, s, k, c.statistic, start, time.Minute, 1)[0]; got != c.want {
			t.Errorf("%v, %s: %g, want %g", k, c.statistic, got, c.want)
		}
	}
	if len(s.Rejected()) != 0 {
		t.Errorf("rejected: %v", s.Rejected())
	}
}

func TestLinesThatAreNoMetricsAreIgnoredAndBadOnesAreCounted(t *testing.T) {
	line := func(namespace, dimensions, metrics, fields string, when time.Time) string {
		return fmt.Sprintf(`{"Function":"deliver","Pipeline":"spillway","_aws":{"Timestamp":%d,"CloudWatchMetrics":[`+
			`{"Namespace":%q,"Dimensions":[%s],"Metrics":[%s]}]},%s}`, when.UnixMilli(), namespace, dimensions, metrics, fields)
	}
	const ours, one = `["Pipeline","Function"]`, `{"Name":"A"}`
	hundred := strings.Repeat("1,", 100)
	for _, c := range []struct {
		name, line string
		rejected   string // the reason; empty: none
		count      int64
		sum        float64 // of the metric A; NaN: there is none
	}{
		{"a metric", line("Spillway", ours, one, `"A":5`, start), "", 0, 5},
		{"values", line("Spillway", ours, one, `"A":[1,2,3]`, start), "", 0, 6},
		{"a line of the log", `{"time":"2018-09-24T10:10:00Z","msg":"delivered"}`, "", 0, math.NaN()},
		{"a report of Lambda", "REPORT RequestId: 1 Duration: 3 ms", "", 0, math.NaN()},
		{"nothing", "", "", 0, math.NaN()},
		{"blanks around it", "  " + line("Spillway", ours, one, `"A":5`, start) + "\r\n", "", 0, 5},
		{"cut", line("Spillway", ours, one, `"A":5`, start)[:90], RejectedBroken, 1, math.NaN()},
		{"another type", `{"_aws":"x"}`, RejectedBroken, 1, math.NaN()},
		{"another namespace", line("AWS/Lambda", ours, one, `"A":5`, start), RejectedNamespace, 1, math.NaN()},
		{"the near future", line("Spillway", ours, one, `"A":5`, start.Add(2*time.Hour)), "", 0, math.NaN()},
		{"the future", line("Spillway", ours, one, `"A":5`, start.Add(2*time.Hour+time.Second)), RejectedFuture, 1,
			math.NaN()},
		{"too old", line("Spillway", ours, one, `"A":5`, start.Add(-25*time.Hour)), RejectedOld, 1, math.NaN()},
		{"101 values", line("Spillway", ours, one, `"A":[`+hundred+`1]`, start), RejectedTooMany, 1, math.NaN()},
		{"no value", line("Spillway", ours, one, `"B":5`, start), RejectedNoValue, 1, math.NaN()},
		{"null", line("Spillway", ours, one, `"A":null`, start), RejectedValue, 1, math.NaN()},
		{"null among values", line("Spillway", ours, one, `"A":[1,null]`, start), RejectedValue, 1, math.NaN()},
		{"no values", line("Spillway", ours, one, `"A":[]`, start), RejectedValue, 1, math.NaN()},
		{"a text", line("Spillway", ours, one, `"A":"5"`, start), RejectedValue, 1, math.NaN()},
		{"NaN is no JSON", line("Spillway", ours, one, `"A":NaN`, start), RejectedBroken, 1, math.NaN()},
		{"too large a number", line("Spillway", ours, one, `"A":1e999`, start), RejectedValue, 1, math.NaN()},
		{"larger than CloudWatch takes", line("Spillway", ours, one, `"A":1e300`, start), RejectedValue, 1, math.NaN()},
		{"no pipeline", line("Spillway", `["Function"]`, one, `"A":5`, start), RejectedDimensions, 1, math.NaN()},
		{"an unknown dimension", line("Spillway", `["Pipeline","Function","X"]`, one, `"A":5`, start), RejectedDimensions, 1,
			math.NaN()},
		{"two further dimensions", line("Spillway", `["Pipeline","Function","X","Y"]`, one, `"A":5,"X":"1","Y":"2"`, start),
			RejectedDimensions, 1, math.NaN()},
		{"the good part of a line counts", line("Spillway", ours, `{"Name":"B"},`+one, `"A":5`, start), RejectedNoValue, 1,
			5},
		{"two sets of dimensions", line("Spillway", ours+`,["Function"]`, one, `"A":5`, start), RejectedDimensions, 1, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewStore(24 * time.Hour)
			s.Now = at(start)
			s.Put(start, latency, 1)
			err := s.PutEMF([]byte(c.line))
			want := map[string]int64{}
			if c.rejected != "" {
				want[c.rejected] = c.count
			}
			if got := s.Rejected(); !maps.Equal(got, want) {
				t.Errorf("rejected: %v, want %v", got, want)
			}
			if quiet := c.rejected == "" || c.rejected == RejectedOld ||
				strings.Contains(c.line, "1e300"); (err == nil) != quiet {
				t.Errorf("error: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), c.rejected) {
				t.Errorf("%v, want …%s…", err, c.rejected)
			}
			sum := values(t, s, Key{Own: "deliver", Pipeline: "spillway", Name: "A"}, "Sum", start, time.Minute, 1)[0]
			if sum != c.sum && !(math.IsNaN(sum) && math.IsNaN(c.sum)) {
				t.Errorf("the sum is %g, want %g", sum, c.sum)
			}
		})
	}
}

func FuzzPutEMF(f *testing.F) {
	f.Add([]byte(`{"Function":"deliver","Pipeline":"p","_aws":{"Timestamp":1537783800000,"CloudWatchMetrics":[` +
		`{"Namespace":"Spillway","Dimensions":[["Pipeline","Function","X"]],"Metrics":[{"Name":"A"}]}]},"A":[1,2],"X":"y"}`))
	f.Add([]byte(`{"_aws":{"CloudWatchMetrics":[{"Namespace":"Spillway","Metrics":[{}],"Dimensions":[[]]}]}}`))
	f.Add([]byte(`{"_aws":{"Timestamp":-9223372036854775808}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		s := NewStore(time.Hour)
		s.Now = at(start)
		_ = s.PutEMF(line)
		for _, k := range s.Keys() {
			if k.Own == "" || k.Pipeline == "" {
				t.Errorf("a metric without its dimensions: %+v", k)
			}
			v := values(t, s, k, "Sum", start.Add(-time.Hour), time.Minute, 200)
			if slices.ContainsFunc(v, func(x float64) bool { return math.IsInf(x, 0) }) {
				t.Errorf("%v: %v", k, v)
			}
		}
	})
}

// A pipeline under load writes some hundred lines a second.
func BenchmarkPutEMF(b *testing.B) {
	var log bytes.Buffer
	many := []float64{12.5, 13.1, 9.75, 11, 12, 18, 250, 3, 4, 5}
	err := emf.NewWriter(&log, "spillway", "deliver").Write(start,
		emf.Metric{Name: "EventsDelivered", Unit: emf.Count, Values: []float64{2500}},
		emf.Metric{Name: "EventAge", Unit: emf.Seconds, Values: many},
		emf.Metric{Name: "FlushLatency", Unit: emf.Milliseconds, Values: many},
		emf.Metric{Name: "BatchesAllFailed", Unit: emf.Count, Values: []float64{0}},
		emf.Metric{Name: "BreakerOpen", Unit: emf.Count, Values: []float64{0}},
		emf.Metric{Name: "DeadLetterErrors", Unit: emf.Count, Values: []float64{0}},
	)
	if err != nil {
		b.Fatal(err)
	}
	s := NewStore(time.Hour)
	s.Now = at(start)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.PutEMF(log.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
