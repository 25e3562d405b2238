package segmentd

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Script says how a Server misbehaves. As JSON:
//
//	{"rules": [
//	  {"match": {"messageId": "poison-1"}, "status": 400},
//	  {"from": "10s", "until": "40s", "status": 503},
//	  {"latency": "50ms", "jitter": "20ms"},
//	  {"statuses": [500, 500, 200]},
//	  {"percent": 5, "fault": "reset"},
//	  {"eventsPerSecond": 1000}
//	]}
//
// For every request to the Tracking API the rules are read in order. The latencies of all rules that
// apply add up, until the first rule that decides the answer. If no rule decides it, the Server
// answers as Segment would.
type Script struct {
	Rules []Rule `json:"rules"`
	// Seed makes the random choices of Percent and Jitter the same in every run; 0 is a valid seed.
	Seed uint64 `json:"seed,omitempty"`
}

// Rule is a condition and a fault. It applies where all of its conditions are met.
type Rule struct {
	Match Match `json:"match,omitzero"`
	// From and Until limit the time in which the rule applies, for an outage. Until is exclusive;
	// zero means no limit.
	From  Moment `json:"from,omitzero"`
	Until Moment `json:"until,omitzero"`
	// Times is how many requests the rule applies to; 0 means no limit.
	Times int `json:"times,omitempty"`
	// Percent is the share of the matching requests that the rule applies to, up to 100; 0 means all.
	Percent float64 `json:"percent,omitempty"`

	// Latency, and a random time up to Jitter, are added before the answer.
	Latency Duration `json:"latency,omitzero"`
	Jitter  Duration `json:"jitter,omitzero"`

	// Status is the answer, 200 to 599. Statuses are the answers to the next requests, one each;
	// after the last the rule no longer applies. 200 means Segment's normal answer, which may be a
	// refusal.
	Status   int   `json:"status,omitempty"`
	Statuses []int `json:"statuses,omitempty"`
	// EventsPerSecond is a rate above which the answer is 429, with Retry-After and
	// X-RateLimit-Reset. The events of one second may arrive at once; a larger batch is accepted
	// when the rate of a whole second is free.
	EventsPerSecond float64 `json:"eventsPerSecond,omitempty"`
	// Fault is how the answer fails, in addition to its status.
	Fault Fault `json:"fault,omitempty"`
	// Over is how long the body of a FaultSlowBody takes.
	Over Duration `json:"over,omitzero"`

	// RetryAfter is sent with every status of the rule except 2xx: in whole seconds, or as an HTTP
	// date with RetryAfterDate. With EventsPerSecond it replaces the computed wait.
	RetryAfter     Duration `json:"retryAfter,omitzero"`
	RetryAfterDate bool     `json:"retryAfterDate,omitempty"`

	// Accept says that the events are accepted although the answer is an error, which the client
	// can't know. With a 2xx answer, a slow one and half of one, events are always accepted.
	Accept bool `json:"accept,omitempty"`
}

// Match selects requests. Fields that are not empty must be equal to the request's.
type Match struct {
	// Path has no slash at its end; an example is "/v1/batch".
	Path string `json:"path,omitempty"`
	// WriteKey is the request's, or that of any event if the request has none.
	WriteKey string `json:"writeKey,omitempty"`
	// MessageID is that of any event of the request: this makes a poison event.
	MessageID string `json:"messageId,omitempty"`
}

// Fault is a way in which an answer fails.
type Fault string

const (
	// FaultReset resets the connection instead of answering.
	FaultReset Fault = "reset"
	// FaultHang never answers; the request ends when the client gives up.
	FaultHang Fault = "hang"
	// FaultSlowBody sends the header at once, and the body evenly over Rule.Over.
	FaultSlowBody Fault = "slow_body"
	// FaultHalfAnswer sends half of the body and closes the connection.
	FaultHalfAnswer Fault = "half_answer"
	// FaultRedirect answers 302 to a login page, which answers 200, as a captive proxy does.
	FaultRedirect Fault = "redirect"
	// FaultLoginPage answers 200 with that page.
	FaultLoginPage Fault = "login_page"
)

// replacesAnswer reports whether the fault replaces the status of the answer.
func (f Fault) replacesAnswer() bool {
	return f == FaultReset || f == FaultHang || f == FaultRedirect || f == FaultLoginPage
}

// Duration is a time.Duration that JSON writes as "1.5s".
type Duration time.Duration

// MarshalText writes d as time.Duration's String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration takes.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q must be a duration like \"250ms\" or \"1m30s\"", text)
	}
	*d = Duration(v)
	return nil
}

// Moment is a point in time: After the script was set, or At. JSON writes "30s", or
// "2026-11-23T10:00:00Z".
type Moment struct {
	After time.Duration
	At    time.Time
}

// MarshalText writes a duration or an RFC 3339 time.
func (m Moment) MarshalText() ([]byte, error) {
	if !m.At.IsZero() {
		return m.At.MarshalText()
	}
	return []byte(m.After.String()), nil
}

// UnmarshalText reads a duration or an RFC 3339 time.
func (m *Moment) UnmarshalText(text []byte) error {
	if d, err := time.ParseDuration(string(text)); err == nil {
		*m = Moment{After: d}
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("%q must be a duration from now like \"30s\", or a time like \"2026-11-23T10:00:00Z\"",
			text)
	}
	*m = Moment{At: at}
	return nil
}

// IsZero reports whether m sets no limit.
func (m Moment) IsZero() bool { return m.After == 0 && m.At.IsZero() }

func (m Moment) since(start time.Time) time.Time {
	if !m.At.IsZero() {
		return m.At
	}
	return start.Add(m.After)
}

// validate returns every mistake of the script with the number of its rule; the first is 1.
func (s Script) validate() error {
	var errs []error
	for i, r := range s.Rules {
		for _, err := range r.problems() {
			errs = append(errs, fmt.Errorf("rule %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

func (r Rule) problems() (errs []error) {
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(r.Times < 0, "times must be at least 1 (or left out for no limit), is %d", r.Times)
	bad(!(r.Percent >= 0 && r.Percent <= 100),
		"percent must be above 0 and at most 100 (or left out for every request), is %v", r.Percent)
	bad(!(r.EventsPerSecond >= 0), "eventsPerSecond must be above 0, is %v", r.EventsPerSecond)
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"latency", time.Duration(r.Latency)}, {"jitter", time.Duration(r.Jitter)}, {"over", time.Duration(r.Over)},
		{"retryAfter", time.Duration(r.RetryAfter)}, {"from", r.From.After}, {"until", r.Until.After},
	} {
		bad(d.v < 0 || d.v > maxDuration, "%s must be a duration from 0 to a few years, is %v", d.name, d.v)
	}
	bad(time.Duration(r.RetryAfter)%time.Second != 0, "retryAfter must be whole seconds, is %v",
		time.Duration(r.RetryAfter))
	bad(r.RetryAfterDate && r.RetryAfter == 0, "retryAfterDate needs retryAfter, the time until the date")
	bad(r.From.At.IsZero() && r.Until.At.IsZero() && r.Until.After > 0 && r.Until.After <= r.From.After,
		"until (%v) is not after from (%v)", r.Until.After, r.From.After)
	bad(!r.Until.At.IsZero() && !r.From.At.IsZero() && !r.Until.At.After(r.From.At), "until (%v) is not after from (%v)",
		r.Until.At, r.From.At)

	for _, status := range append([]int{r.Status}, r.Statuses...) {
		bad(status != 0 && (status < 200 || status > 599), "status must be 200 to 599, is %d", status)
	}
	for i, status := range r.Statuses {
		bad(status == 0, "statuses[%d] must be 200 to 599, is 0", i)
	}
	answers := 0
	for _, is := range []bool{r.Status != 0, len(r.Statuses) > 0, r.EventsPerSecond > 0} {
		if is {
			answers++
		}
	}
	bad(answers > 1, "only one of status, statuses and eventsPerSecond can decide the answer: use several rules")
	switch r.Fault {
	case "", FaultReset, FaultHang, FaultSlowBody, FaultHalfAnswer, FaultRedirect, FaultLoginPage:
	default:
		bad(true, "unknown fault %q (known: reset, hang, slow_body, half_answer, redirect, login_page)", r.Fault)
	}
	bad(r.Fault.replacesAnswer() && answers > 0, "fault %q can't have status, statuses or eventsPerSecond",
		r.Fault)
	bad((r.Fault == FaultSlowBody) != (r.Over > 0),
		"fault \"slow_body\" and over need each other: over is how long the body takes")
	bad(answers == 0 && r.Fault == "" && r.Latency == 0 && r.Jitter == 0,
		"it does nothing: it needs a latency, jitter, status, statuses, eventsPerSecond or fault")
	return errs
}

// SetScript replaces the script. It resets what the rules have counted (times, statuses, rate), and
// relative times start now. Requests under way get the answer that was decided before. A script
// without rules ends the script. The error names every mistake; the old script then remains.
func (s *Server) SetScript(script Script) error {
	if err := script.validate(); err != nil {
		return fmt.Errorf("segmentd: set script: %w", err)
	}
	if len(script.Rules) == 0 {
		s.script.Store(nil)
		return nil
	}
	s.script.Store(newActiveScript(script, time.Now()))
	return nil
}

// Script returns a copy of the script, and when it was set; without rules and zero if none is.
func (s *Server) Script() (Script, time.Time) {
	if a := s.script.Load(); a != nil {
		return a.script.clone(), a.start
	}
	return Script{Rules: []Rule{}}, time.Time{}
}

func (s Script) clone() Script {
	rules := make([]Rule, len(s.Rules))
	for i, r := range s.Rules {
		r.Statuses = append([]int(nil), r.Statuses...)
		rules[i] = r
	}
	s.Rules = rules
	return s
}

// retryAfter is the header's value.
func (r *Rule) retryAfter(now time.Time, wait time.Duration) string {
	if r.RetryAfterDate {
		return now.Add(wait).UTC().Format(http.TimeFormat)
	}
	return fmt.Sprint(int64(wait / time.Second))
}
