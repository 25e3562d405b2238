// Package emf writes metrics for CloudWatch as log lines in the embedded metric format (CloudWatch
// user guide, "Embedded metric format"): a Lambda prints them and CloudWatch extracts the metrics,
// so no call to CloudWatch can fail or slow the function down. CloudWatch charges for each
// combination of a name and dimensions, so a dimension is never a user, an event's name or a write
// key.
package emf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Namespace is the CloudWatch namespace of the metrics of every pipeline.
const Namespace = "Spillway"

// The dimensions of every metric, by their names.
const (
	PipelineDimension = "Pipeline" // several pipelines may share an account and region
	FunctionDimension = "Function" // which part of the pipeline writes the metric
)

// VersionDimension is the third dimension of a Metric that is ByVersion: the function's version, as
// Lambda has it.
const VersionDimension = "Version"

// DefaultPipeline is the name of a pipeline that was not given one.
const DefaultPipeline = "spillway"

// Limits of one line (embedded metric format specification).
const (
	MaxValues  = 100 // of a metric
	maxMetrics = 100
)

// Units, by CloudWatch's names.
const (
	Count        = "Count"
	Seconds      = "Seconds"
	Bytes        = "Bytes"
	Milliseconds = "Milliseconds"
	None         = "None" // a ratio
)

// A Metric is a name with its values, and at most one dimension besides Pipeline and Function.
type Metric struct {
	Name      string
	Unit      string
	Dimension string // its name; empty: none
	Value     string // the dimension's value
	Values    []float64
	At        time.Time // of the values; zero: that of Write. CloudWatch takes 14 days ago to 2 hours ahead
	// ByVersion: the metric is written a second time with VersionDimension, if the Writer has a
	// version. CloudWatch charges for both. A metric with a Dimension can't be.
	ByVersion bool
}

// A Writer writes metrics as lines of JSON. It is safe for concurrent use.
type Writer struct {
	mu                          sync.Mutex
	w                           io.Writer
	pipeline, function, version string
}

// NewWriter returns a Writer whose metrics have the dimensions Pipeline and Function with these
// values.
func NewWriter(w io.Writer, pipeline, function string) *Writer {
	return &Writer{w: w, pipeline: pipeline, function: function}
}

// NewVersionWriter is NewWriter for a version of the function, as AWS_LAMBDA_FUNCTION_VERSION has
// it. Only a number is one: not $LATEST, which is whatever was uploaded last, and not "".
func NewVersionWriter(w io.Writer, pipeline, function, version string) *Writer {
	if _, err := strconv.ParseUint(version, 10, 64); err != nil {
		version = ""
	}
	return &Writer{w: w, pipeline: pipeline, function: function, version: version}
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type definition struct{ Name, Unit string }

// Write writes the metrics that have values. Those with the same dimension and time share a line, and
// a metric with more values than a line may have takes further lines. If a line can't be written,
// Write continues with the next; the error joins all failures.
func (w *Writer) Write(now time.Time, metrics ...Metric) error {
	return w.WriteWith(now, "", nil, metrics...)
}

// WriteWith is Write with a property: a member of the first line that is no metric. Queries of Logs
// Insights find it, and CloudWatch does not charge for it as it would for a dimension. A nil value
// is none.
func (w *Writer) WriteWith(now time.Time, property string, value any, metrics ...Metric) error {
	var errs []error
	var order []group
	lines := map[group][]Metric{}
	for _, m := range metrics {
		if len(m.Values) == 0 {
			continue
		}
		at := now
		if !m.At.IsZero() {
			at = m.At
		}
		g := group{m.Dimension, m.Value, at.UnixMilli()}
		if _, ok := lines[g]; !ok {
			order = append(order, g)
		}
		lines[g] = append(lines[g], m)
	}
	for _, g := range order {
		for rest := lines[g]; len(rest) > 0; {
			var err error
			if rest, err = w.line(g, property, value, rest); err != nil {
				errs = append(errs, err)
			}
			value = nil
		}
	}
	return errors.Join(errs...)
}

// A group is what the metrics of a line have in common.
type group struct {
	dimension, value string
	at               int64
}

// line writes one line, with one metric of each name and up to MaxValues values of each metric. It
// returns the metrics and values that are left.
func (w *Writer) line(g group, property string, said any, metrics []Metric) (rest []Metric, err error) {
	names := []string{PipelineDimension, FunctionDimension}
	doc := map[string]any{PipelineDimension: w.pipeline, FunctionDimension: w.function}
	if g.dimension != "" {
		names = append(names, g.dimension)
		doc[g.dimension] = g.value
	}
	if said != nil {
		doc[property] = said
	}
	var plain, versioned []definition
	var errs []error
	for _, m := range metrics {
		if m.Name == VersionDimension || slices.Contains(names, m.Name) {
			errs = append(errs, fmt.Errorf("metric %s has the name of a dimension", m.Name))
			continue
		}
		if _, taken := doc[m.Name]; taken || len(plain)+len(versioned) == maxMetrics {
			rest = append(rest, m)
			continue
		}
		values := m.Values
		if len(values) > MaxValues {
			values = values[:MaxValues]
			m.Values = m.Values[MaxValues:]
			rest = append(rest, m)
		}
		if m.ByVersion && w.version != "" && g.dimension == "" {
			versioned = append(versioned, definition{m.Name, m.Unit})
		} else {
			plain = append(plain, definition{m.Name, m.Unit})
		}
		if len(values) == 1 {
			doc[m.Name] = values[0]
		} else {
			doc[m.Name] = values
		}
	}
	if len(plain)+len(versioned) == 0 {
		return rest, errors.Join(errs...)
	}
	if len(versioned) > 0 {
		doc[VersionDimension] = w.version
	}
	doc["_aws"] = map[string]any{"Timestamp": g.at, "CloudWatchMetrics": directives(names, plain, versioned)}
	line, err := json.Marshal(doc)
	if err != nil {
		return rest, errors.Join(append(errs, fmt.Errorf("encode metrics: %w", err))...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.w.Write(append(line, '\n')); err != nil {
		errs = append(errs, fmt.Errorf("write metrics: %w", err))
	}
	return rest, errors.Join(errs...)
}

// directives are those of a line: of the metrics that are in one set of dimensions, and of those in
// two.
func directives(names []string, plain, versioned []definition) (d []directive) {
	if len(plain) > 0 {
		d = append(d, directive{Namespace, [][]string{names}, plain})
	}
	if len(versioned) > 0 {
		d = append(d, directive{Namespace, [][]string{names, append(slices.Clip(names), VersionDimension)}, versioned})
	}
	return d
}

// By returns a Metric for each entry of counts, with its key as the value of the dimension, in the
// order of the keys.
func By[K ~string](name, dimension string, counts map[K]int) []Metric {
	keys := make([]K, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	metrics := make([]Metric, 0, len(keys))
	for _, key := range keys {
		metrics = append(metrics,
			Metric{Name: name, Unit: Count, Dimension: dimension, Value: string(key), Values: []float64{float64(counts[key])}})
	}
	return metrics
}

// Sum is the number of all entries of counts together.
func Sum[K ~string](counts map[K]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
