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
// The rules are gone through in order for every request to the Tracking API. Latencies of all rules
// that apply add up; the first rule that decides the answer ends it. Where none does, the Server
// behaves normally.
type Script struct {
	Rules []Rule `json:"rules"`
	// Seed makes the choices of Percent and Jitter the same in every run; 0 is a seed like any
	// other.
	Seed uint64 `json:"seed,omitempty"`
}

// Rule is a condition and a fault. The conditions that are set must all hold.
type Rule struct {
	Match Match `json:"match,omitzero"`
	// From and Until bound the time in which the rule applies: an outage. Until is exclusive; zero
	// means no bound.
	From  Moment `json:"from,omitzero"`
	Until Moment `json:"until,omitzero"`
	// Times is how many requests the rule applies to before it is spent; 0: no bound.
	Times int `json:"times,omitempty"`
	// Percent is the share of the matching requests that it applies to, up to 100; 0 means all of
	// them.
	Percent float64 `json:"percent,omitempty"`

	// Latency, and up to Jitter more, pass before the answer.
	Latency Duration `json:"latency,omitzero"`
	Jitter  Duration `json:"jitter,omitzero"`

	// Status is the answer, 200 to 599. Statuses are the answers to the requests that come, one
	// each; after the last, the rule is spent. 200 is Segment's normal behaviour, its refusals
	// included.
	Status   int   `json:"status,omitempty"`
	Statuses []int `json:"statuses,omitempty"`
	// EventsPerSecond is a rate above which the answer is 429, with Retry-After and
	// X-RateLimit-Reset. A second's worth may come at once; a batch that is larger than that is let
	// through when a whole second's worth is there.
	EventsPerSecond float64 `json:"eventsPerSecond,omitempty"`
	// Fault is what is wrong with the answer besides its status.
	Fault Fault `json:"fault,omitempty"`
	// Over is how long the body of a FaultSlowBody takes.
	Over Duration `json:"over,omitzero"`

	// RetryAfter is sent with every status of the rule but 2xx: in whole seconds, or as an HTTP
	// date with RetryAfterDate. Of EventsPerSecond it replaces the computed wait.
	RetryAfter     Duration `json:"retryAfter,omitzero"`
	RetryAfterDate bool     `json:"retryAfterDate,omitempty"`

	// Accept makes the events be taken although the answer denies it: the client can't know. An
	// answer of 2xx, a slow one and a half one always come after the events were taken.
	Accept bool `json:"accept,omitempty"`
}

// Match selects requests. Fields that are not empty must be equal.
type Match struct {
	// Path is without a slash at its end, "/v1/batch" for example.
	Path string `json:"path,omitempty"`
	// WriteKey is the request's, or any event's where the request has none.
	WriteKey string `json:"writeKey,omitempty"`
	// MessageID is that of any event of the request: this is how a poisonous event is made.
	MessageID string `json:"messageId,omitempty"`
}

// Fault is a way to spoil an answer.
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
	// FaultRedirect answers 302 to a login page, which answers 200: a proxy in the way.
	FaultRedirect Fault = "redirect"
	// FaultLoginPage answers 200 text/html itself.
	FaultLoginPage Fault = "login_page"
)

// cuts reports whether the fault leaves no room for a status.
func (f Fault) replacesAnswer() bool {
	return f == FaultReset || f == FaultHang || f == FaultRedirect || f == FaultLoginPage
}

// Duration is a time.Duration that is written as "1.5s" in JSON.
type Duration time.Duration

// MarshalText writes d as time.Duration's String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration takes.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it like \"250ms\" or \"1m30s\"", text)
	}
	*d = Duration(v)
	return nil
}

// Moment is a point in time: After the script was set, or At, absolutely. In JSON "30s", or
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
		return fmt.Errorf("%q is no moment: write a duration from now like \"30s\", or a time like \"2026-11-23T10:00:00Z\"",
			text)
	}
	*m = Moment{At: at}
	return nil
}

// IsZero reports whether m sets no bound.
func (m Moment) IsZero() bool { return m.After == 0 && m.At.IsZero() }

func (m Moment) since(start time.Time) time.Time {
	if !m.At.IsZero() {
		return m.At
	}
	return start.Add(m.After)
}

// Validate says what is wrong with the script, naming each rule by its place; the first is 1.
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
	bad(r.Times < 0, "times is %d: write 1 or more, or leave it out for no bound", r.Times)
	bad(!(r.Percent >= 0 && r.Percent <= 100),
		"percent is %v: write a number up to 100, or leave it out for every request", r.Percent)
	bad(!(r.EventsPerSecond >= 0), "eventsPerSecond is %v: write a number above 0", r.EventsPerSecond)
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"latency", time.Duration(r.Latency)}, {"jitter", time.Duration(r.Jitter)}, {"over", time.Duration(r.Over)},
		{"retryAfter", time.Duration(r.RetryAfter)}, {"from", r.From.After}, {"until", r.Until.After},
	} {
		bad(d.v < 0 || d.v > maxDuration, "%s is %v: write a duration from 0 to a few years", d.name, d.v)
	}
	bad(time.Duration(r.RetryAfter)%time.Second != 0, "retryAfter is %v: HTTP has whole seconds only",
		time.Duration(r.RetryAfter))
	bad(r.RetryAfterDate && r.RetryAfter == 0, "retryAfterDate without retryAfter: say how far away the date is")
	bad(r.From.At.IsZero() && r.Until.At.IsZero() && r.Until.After > 0 && r.Until.After <= r.From.After,
		"until (%v) is not after from (%v)", r.Until.After, r.From.After)
	bad(!r.Until.At.IsZero() && !r.From.At.IsZero() && !r.Until.At.After(r.From.At), "until (%v) is not after from (%v)",
		r.Until.At, r.From.At)

	for _, status := range append([]int{r.Status}, r.Statuses...) {
		bad(status != 0 && (status < 200 || status > 599), "status %d: write one from 200 to 599", status)
	}
	for i, status := range r.Statuses {
		bad(status == 0, "statuses[%d] is 0: write one from 200 to 599", i)
	}
	answers := 0
	for _, is := range []bool{r.Status != 0, len(r.Statuses) > 0, r.EventsPerSecond > 0} {
		if is {
			answers++
		}
	}
	bad(answers > 1, "only one of status, statuses and eventsPerSecond can decide the answer: make rules of them")
	switch r.Fault {
	case "", FaultReset, FaultHang, FaultSlowBody, FaultHalfAnswer, FaultRedirect, FaultLoginPage:
	default:
		bad(true, "fault %q: write reset, hang, slow_body, half_answer, redirect or login_page", r.Fault)
	}
	bad(r.Fault.replacesAnswer() && answers > 0, "fault %q has no status of its own: leave out status, statuses and eventsPerSecond",
		r.Fault)
	bad((r.Fault == FaultSlowBody) != (r.Over > 0),
		"fault \"slow_body\" and over belong together: over says how long the body takes")
	bad(answers == 0 && r.Fault == "" && r.Latency == 0 && r.Jitter == 0,
		"it does nothing: give it a latency, jitter, status, statuses, eventsPerSecond or fault")
	return errs
}

// SetScript replaces the script; what was counted for the old one (times, statuses, rate) is
// forgotten, and relative times start now. Requests under way keep the answer that was decided for
// them. The error says every mistake of the script; the old one then stays.
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

// Script returns the script in force, without rules when the Server behaves normally.
func (s *Server) currentScript() Script {
	if a := s.script.Load(); a != nil {
		return a.script.clone()
	}
	return Script{Rules: []Rule{}}
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
