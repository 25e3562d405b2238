package metricmath

import "math"

// A kind is what a part of an expression yields: user guide, "Data type abbreviations".
type kind int

const (
	scalar kind = iota // S
	series             // TS
	array              // TS[]
	option             // REPEAT or LINEAR
)

// A value is the result of a node: the field of its kind is set.
type value struct {
	scalar float64
	series []float64
	array  [][]float64
}

// A node is a part of an expression. It does not change what its own parts return.
type node interface {
	kind() kind
	eval(d *Data) value
}

type constant float64

func (constant) kind() kind         { return scalar }
func (c constant) eval(*Data) value { return value{scalar: float64(c)} }

type metric struct{ id string }

func (*metric) kind() kind           { return series }
func (m *metric) eval(d *Data) value { return value{series: d.Values(m.id)} }

// A word is what FILL takes in the place of a value.
type word string

const (
	repeat word = "REPEAT"
	linear word = "LINEAR"
)

func (word) kind() kind       { return option }
func (word) eval(*Data) value { return value{} }

type list struct{ elements []node }

func (*list) kind() kind { return array }

func (l *list) eval(d *Data) value {
	var v value
	for _, e := range l.elements {
		v.array = append(v.array, e.eval(d).series)
	}
	return v
}

type negative struct{ x node }

func (n *negative) kind() kind { return n.x.kind() }

func (n *negative) eval(d *Data) value {
	return mapped(n.x.kind(), n.x.eval(d), func(x float64) float64 { return -x })
}

// mapped applies f to each value.
func mapped(k kind, v value, f func(float64) float64) value {
	each := func(s []float64) []float64 {
		out := make([]float64, len(s))
		for i, x := range s {
			out[i] = finite(f(x))
		}
		return out
	}
	switch k {
	case scalar:
		return value{scalar: finite(f(v.scalar))}
	case series:
		return value{series: each(v.series)}
	}
	var out value
	for _, s := range v.array {
		out.array = append(out.array, each(s))
	}
	return out
}

// finite drops what is no number: CloudWatch has neither infinite values nor NaN (user guide,
// "Publishing custom metrics").
func finite(x float64) float64 {
	if math.IsInf(x, 0) {
		return missing
	}
	return x
}

// An operation is an operator with two sides.
type operation struct {
	x, y   node
	result kind
	f      func(x, y float64) float64
}

// newOperation checks the kinds of both sides: arithmetic takes any, comparisons and logic no
// arrays.
func newOperation(at int, op string, x, y node) (node, error) {
	arithmetic, ok := arithmetics[op]
	f := arithmetic
	if !ok {
		f = logics[op]
	}
	result := max(x.kind(), y.kind())
	switch {
	case !ok && result == array:
		return nil, mistake(at, "%s takes time series and numbers, no arrays", op)
	case x.kind() == array && y.kind() == array:
		return nil, mistake(at, "%s takes one array at most", op)
	}
	return &operation{x, y, result, f}, nil
}

func (o *operation) kind() kind { return o.result }

func (o *operation) eval(d *Data) value {
	x, y := o.x.eval(d), o.y.eval(d)
	switch {
	case o.result == scalar:
		return value{scalar: finite(o.f(x.scalar, y.scalar))}
	case o.result == series:
		return value{series: o.pairs(o.x.kind(), x, o.y.kind(), y)}
	case o.x.kind() == array:
		var v value
		for _, s := range x.array {
			v.array = append(v.array, o.pairs(series, value{series: s}, o.y.kind(), y))
		}
		return v
	}
	var v value
	for _, s := range y.array {
		v.array = append(v.array, o.pairs(o.x.kind(), x, series, value{series: s}))
	}
	return v
}

// pairs applies the operator period by period. A missing side counts as 0 if the other time series
// has a value; where no time series has one there is no result (user guide, "Basic arithmetic
// functions", "Comparison and logical operators").
func (o *operation) pairs(xk kind, x value, yk kind, y value) []float64 {
	out := make([]float64, max(len(x.series), len(y.series)))
	for i := range out {
		a, b := x.scalar, y.scalar
		hasA, hasB := false, false
		if xk == series {
			a, hasA = orZero(x.series[i])
		}
		if yk == series {
			b, hasB = orZero(y.series[i])
		}
		if out[i] = missing; hasA || hasB {
			out[i] = finite(o.f(a, b))
		}
	}
	return out
}

// orZero returns a value, or 0 if it is missing.
func orZero(x float64) (value float64, has bool) {
	if math.IsNaN(x) {
		return 0, false
	}
	return x, true
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// arithmetics are the operators that take any kind. A division by 0 has no result.
var arithmetics = map[string]func(x, y float64) float64{
	"+": func(x, y float64) float64 { return x + y },
	"-": func(x, y float64) float64 { return x - y },
	"*": func(x, y float64) float64 { return x * y },
	"/": func(x, y float64) float64 { return x / y },
	"^": math.Pow,
}

var logics = map[string]func(x, y float64) float64{
	"==":  func(x, y float64) float64 { return truth(x == y) },
	"!=":  func(x, y float64) float64 { return truth(x != y) },
	"<=":  func(x, y float64) float64 { return truth(x <= y) },
	">=":  func(x, y float64) float64 { return truth(x >= y) },
	"<":   func(x, y float64) float64 { return truth(x < y) },
	">":   func(x, y float64) float64 { return truth(x > y) },
	"AND": func(x, y float64) float64 { return truth(x != 0 && y != 0) },
	"OR":  func(x, y float64) float64 { return truth(x != 0 || y != 0) },
}
