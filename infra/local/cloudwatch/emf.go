package cloudwatch

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// maxAhead is how far in the future CloudWatch takes a value (API reference, PutMetricData).
const maxAhead = 2 * time.Hour

// A line is a log line in the embedded metric format, as far as it is read here.
type line struct {
	fields     []field
	isMetrics  bool // it has the member _aws
	at         int64
	directives []directive
}

// A field is a member of the line: a dimension's value, or a metric's values.
type field struct {
	name string
	raw  []byte
}

type directive struct {
	namespace  string
	dimensions [][]string
	metrics    []string
}

// field returns a member, nil if the line has none of that name.
func (l *line) field(name string) []byte {
	for i := range l.fields {
		if l.fields[i].name == name {
			return l.fields[i].raw
		}
	}
	return nil
}

// PutEMF stores the metrics of a log line. A line that is JSON but no embedded metric format, or no
// JSON at all, is a line of the log and is ignored. What a line has and CloudWatch would not store
// is counted in Rejected; the error joins the reasons. The rest of the line is stored.
func (s *Store) PutEMF(text []byte) error {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	l, err := parseLine(text)
	if err != nil {
		return s.reject(RejectedBroken, "%d bytes: %w", len(text), err)
	}
	if !l.isMetrics {
		return nil
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	at := time.UnixMilli(l.at)
	if at.After(now().Add(maxAhead)) {
		return s.reject(RejectedFuture, "%s", at.UTC().Format(time.RFC3339))
	}
	written := minuteOf(at)
	if s.Now != nil {
		written = minuteOf(s.Now())
	}
	var errs []error
	for i := range l.directives {
		errs = append(errs, s.putDirective(at, written, &l.directives[i], l))
	}
	return errors.Join(errs...)
}

// parseLine reads a line without decoding what is not needed: a pipeline under load writes hundreds
// a second.
func parseLine(text []byte) (*line, error) {
	var sc rawjson.Scanner
	sc.Reset(text)
	l := &line{fields: make([]field, 0, 16)}
	sc.Enter('{')
	for key, ok := sc.Field(); ok; key, ok = sc.Field() {
		l.fields = append(l.fields, field{string(key), sc.Value()})
	}
	if err := sc.End(); err != nil {
		return nil, err
	}
	aws := l.field("_aws")
	if rawjson.IsNull(aws) {
		return l, nil
	}
	l.isMetrics = true
	sc.Reset(aws)
	sc.Enter('{')
	for key, ok := sc.Field(); ok; key, ok = sc.Field() {
		switch string(key) {
		case "Timestamp":
			value := sc.Value()
			at, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("the time is %q, not a number of milliseconds", value)
			}
			l.at = at
		case "CloudWatchMetrics":
			for sc.Enter('['); sc.Elem(); {
				l.directives = append(l.directives, readDirective(&sc))
			}
		default:
			sc.Value()
		}
	}
	return l, sc.Err()
}

// readDirective reads a directive; an error is the scanner's.
func readDirective(sc *rawjson.Scanner) (d directive) {
	sc.Enter('{')
	for key, ok := sc.Field(); ok; key, ok = sc.Field() {
		switch string(key) {
		case "Namespace":
			d.namespace, _ = readText(sc.Value())
		case "Dimensions":
			for sc.Enter('['); sc.Elem(); {
				var set []string
				for sc.Enter('['); sc.Elem(); {
					name, _ := readText(sc.Value())
					set = append(set, name)
				}
				d.dimensions = append(d.dimensions, set)
			}
		case "Metrics":
			for sc.Enter('['); sc.Elem(); {
				d.metrics = append(d.metrics, readName(sc))
			}
		default:
			sc.Value()
		}
	}
	return d
}

// readName reads the name of a metric's definition.
func readName(sc *rawjson.Scanner) (name string) {
	sc.Enter('{')
	for key, ok := sc.Field(); ok; key, ok = sc.Field() {
		if value := sc.Value(); string(key) == "Name" {
			name, _ = readText(value)
		}
	}
	return name
}

// readText reads a text; ok is false for another value.
func readText(raw []byte) (text string, ok bool) {
	if !rawjson.IsString(raw) {
		return "", false
	}
	return string(rawjson.Unquote(nil, raw)), true
}

// reject counts a reason and returns it as an error.
func (s *Store) reject(reason, format string, args ...any) error {
	s.mu.Lock()
	s.rejected[reason]++
	s.mu.Unlock()
	return fmt.Errorf("read metrics: "+reason+": "+format, args...)
}

func (s *Store) putDirective(at time.Time, written int64, d *directive, l *line) error {
	if d.namespace != emf.Namespace {
		return s.reject(RejectedNamespace, "%q, not %q", d.namespace, emf.Namespace)
	}
	var errs []error
	var buffer [emf.MaxValues]float64
	for _, name := range d.metrics {
		values, err := s.values(buffer[:0], name, l.field(name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, names := range d.dimensions {
			k, ok := keyOfDimensions(names, l)
			if !ok {
				errs = append(errs, s.reject(RejectedDimensions, "%s: %q", name, names))
				continue
			}
			k.Name = name
			s.putWritten(at, written, k, values)
		}
	}
	return errors.Join(errs...)
}

// values appends a metric's value or values.
func (s *Store) values(values []float64, name string, raw []byte) ([]float64, error) {
	if len(raw) == 0 {
		return nil, s.reject(RejectedNoValue, "%s", name)
	}
	if raw[0] != '[' {
		v, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return nil, s.reject(RejectedValue, "%s", name)
		}
		return append(values, v), nil
	}
	var sc rawjson.Scanner
	sc.Reset(raw)
	n := 0
	for sc.Enter('['); sc.Elem(); n++ {
		v, err := strconv.ParseFloat(string(sc.Value()), 64)
		if err != nil {
			return nil, s.reject(RejectedValue, "%s", name)
		}
		if n < emf.MaxValues {
			values = append(values, v)
		}
	}
	switch {
	case n == 0:
		return nil, s.reject(RejectedValue, "%s", name)
	case n > emf.MaxValues:
		return nil, s.reject(RejectedTooMany, "%s: %d, not %d", name, n, emf.MaxValues)
	}
	return values, nil
}

// keyOfDimensions returns the key of a set of dimensions: those that every metric of a pipeline
// has, and at most one more.
func keyOfDimensions(names []string, l *line) (k Key, ok bool) {
	for _, name := range names {
		value, ok := readText(l.field(name))
		switch {
		case !ok:
			return Key{}, false
		case name == emf.PipelineDimension:
			k.Pipeline = value
		case name == emf.FunctionDimension:
			k.Own = value
		case k.Dimension != "":
			return Key{}, false
		default:
			k.Dimension, k.Value = name, value
		}
	}
	return k, k.Pipeline != "" && k.Own != ""
}
