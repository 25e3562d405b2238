// Package metricmath parses, checks and evaluates metric math, the expressions of CloudWatch's
// alarms, as far as a pipeline uses them (CloudWatch user guide, "Using metric math").
//
// It stands below infra/topology and knows nothing of it, so that two may use it: topology.Validate
// refuses an expression that CloudWatch would refuse, and infra/local/cloudwatch evaluates exactly
// the same expression.
package metricmath

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// maxLength is the length of the longest expression (API reference, MetricDataQuery).
const maxLength = 2048

// maxDepth bounds how deep parentheses and operators nest: far beyond what a person writes.
const maxDepth = 100

// missing is the value of a period without data. Test with math.IsNaN.
var missing = math.NaN()

// An Expression is a parsed expression whose result is one time series. It does not change and is
// safe for concurrent use.
type Expression struct {
	root    node
	metrics []string
}

// Parse parses an expression. Every name in it stands for a metric. An error says at which
// character what is wrong, and what CloudWatch would accept.
func Parse(source string) (*Expression, error) {
	if len(source) > maxLength {
		return nil, fmt.Errorf("metric math: an expression has at most %d characters, this one has %d", maxLength,
			len(source))
	}
	p := parser{lexer: lexer{source: source}}
	root, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("metric math %q: %w", source, err)
	}
	return &Expression{root: root, metrics: p.metrics}, nil
}

// Check reports what CloudWatch would not accept of an alarm's expression over metrics with these
// IDs, and what of it would depend on how much data CloudWatch happens to read.
func Check(source string, ids []string) error {
	e, err := Parse(source)
	if err != nil {
		return err
	}
	for _, m := range e.metrics {
		if !slices.Contains(ids, m) {
			return fmt.Errorf("metric math %q: there is no metric with the ID %q", source, m)
		}
	}
	for _, id := range ids {
		if !slices.Contains(e.metrics, id) {
			return fmt.Errorf("metric math %q: the metric %q is not used, and would be charged for", source, id)
		}
	}
	return nil
}

// Metrics returns the IDs of the metrics that the expression uses, each once, in their order.
func (e *Expression) Metrics() []string { return slices.Clone(e.metrics) }

// Data are the values that an expression is evaluated over.
type Data struct {
	Periods int           // how many values each series has, the oldest first
	Period  time.Duration // of one value
	// Values returns the series of the metric with an ID; NaN where it has no data. It has Periods
	// values and is not changed.
	Values func(id string) []float64
	// FillEmpty is what FILL makes of a metric without any value, which AWS does not document: if
	// true, as many fill values as there are periods, otherwise nothing.
	FillEmpty bool
}

// Evaluate returns the value of each period, NaN where there is none. An infinite value does not
// occur: like a division by 0 it is no value.
func (e *Expression) Evaluate(d Data) []float64 {
	series := e.root.eval(&d).series
	if _, raw := e.root.(*metric); raw {
		return slices.Clone(series)
	}
	return series
}
