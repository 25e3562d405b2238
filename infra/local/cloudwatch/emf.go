package cloudwatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// maxAhead is how far in the future CloudWatch takes a value (API reference, PutMetricData).
const maxAhead = 2 * time.Hour

// A line is a log line in the embedded metric format, as far as it is read here.
type line struct {
	AWS *struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	} `json:"_aws"`
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []struct{ Name string }
}

// PutEMF stores the metrics of a log line. A line that is JSON but no embedded metric format, or no
// JSON at all, is a line of the log and is ignored. What a line has and CloudWatch would not store
// is counted in Rejected; the error joins the reasons. The rest of the line is stored.
func (s *Store) PutEMF(text []byte) error {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return s.reject(RejectedBroken, "%d bytes: %w", len(text), err)
	}
	if l.AWS == nil {
		return nil
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	at := time.UnixMilli(l.AWS.Timestamp)
	if at.After(now().Add(maxAhead)) {
		return s.reject(RejectedFuture, "%s", at.UTC().Format(time.RFC3339))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return s.reject(RejectedBroken, "%d bytes: %w", len(text), err)
	}
	var errs []error
	for _, d := range l.AWS.CloudWatchMetrics {
		errs = append(errs, s.putDirective(at, d, fields))
	}
	return errors.Join(errs...)
}

// reject counts a reason and returns it as an error.
func (s *Store) reject(reason, format string, args ...any) error {
	s.mu.Lock()
	s.rejected[reason]++
	s.mu.Unlock()
	return fmt.Errorf("read metrics: "+reason+": "+format, args...)
}

func (s *Store) putDirective(at time.Time, d directive, fields map[string]json.RawMessage) error {
	if d.Namespace != emf.Namespace {
		return s.reject(RejectedNamespace, "%q, not %q", d.Namespace, emf.Namespace)
	}
	var errs []error
	for _, m := range d.Metrics {
		values, err := s.values(m.Name, fields[m.Name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, names := range d.Dimensions {
			k, ok := keyOfDimensions(names, fields)
			if !ok {
				errs = append(errs, s.reject(RejectedDimensions, "%s: %q", m.Name, names))
				continue
			}
			k.Name = m.Name
			s.Put(at, k, values...)
		}
	}
	return errors.Join(errs...)
}

// values reads a metric's value or values.
func (s *Store) values(name string, raw json.RawMessage) ([]float64, error) {
	if len(raw) == 0 {
		return nil, s.reject(RejectedNoValue, "%s", name)
	}
	var one float64
	if err := json.Unmarshal(raw, &one); err == nil && raw[0] != 'n' {
		return []float64{one}, nil
	}
	var many []*float64
	if err := json.Unmarshal(raw, &many); err != nil || len(many) == 0 {
		return nil, s.reject(RejectedValue, "%s", name)
	}
	if len(many) > emf.MaxValues {
		return nil, s.reject(RejectedTooMany, "%s: %d, not %d", name, len(many), emf.MaxValues)
	}
	values := make([]float64, len(many))
	for i, v := range many {
		if v == nil {
			return nil, s.reject(RejectedValue, "%s", name)
		}
		values[i] = *v
	}
	return values, nil
}

// keyOfDimensions returns the key of a set of dimensions: those that every metric of a pipeline
// has, and at most one more.
func keyOfDimensions(names []string, fields map[string]json.RawMessage) (k Key, ok bool) {
	for _, name := range names {
		var value string
		if err := json.Unmarshal(fields[name], &value); err != nil {
			return Key{}, false
		}
		switch {
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
