// Package doctor checks what a person on call would check by hand: whether anybody is told when an
// alarm fires, whether the account leaves the functions room, whether what runs is what was
// deployed. Alarms see events that do not flow; these checks see what would keep an alarm silent,
// and what will fail next.
//
// Reading and judging are apart: what a check reads is a value, and a pure function says what
// follows from it.
package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

// A Result is the outcome of one check.
type Result string

// The results.
const (
	OK      Result = "ok"
	Warning Result = "warning" // something will fail, or was missed, if nobody acts
	Failed  Result = "failed"  // something does not work
	Unknown Result = "unknown" // the check could not be made
)

// A Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Result Result `json:"result"`
	Says   string `json:"says"`
	Do     string `json:"do,omitempty"` // what to do; empty for OK
	// Permission is what the caller's role lacks, such as sns:ListSubscriptionsByTopic; only where
	// access was denied.
	Permission string `json:"permission,omitempty"`
}

// A Report is what all checks of one pipeline found, in the order in which a person reads it.
type Report struct {
	Pipeline string    `json:"pipeline"`
	Region   string    `json:"region,omitempty"` // empty: the pipeline is on this machine
	At       time.Time `json:"at"`
	Result   Result    `json:"result"` // the worst of the checks
	Checks   []Finding `json:"checks"`
}

// rank orders the results from the best to the worst.
var rank = map[Result]int{OK: 0, Warning: 1, Unknown: 2, Failed: 3}

func newReport(pipeline, region string, checks []Finding) Report {
	r := Report{Pipeline: pipeline, Region: region, At: time.Now().UTC(), Result: OK, Checks: checks}
	for _, c := range checks {
		if rank[c.Result] > rank[r.Result] {
			r.Result = c.Result
		}
	}
	return r
}

// Err is an error if a check failed or could not be made; nil for warnings.
func (r Report) Err() error {
	failed, unknown := r.count(Failed), r.count(Unknown)
	var parts []string
	if failed > 0 {
		parts = append(parts, terminal.Plural(int64(failed), "check")+" failed")
	}
	if unknown > 0 {
		parts = append(parts, terminal.Plural(int64(unknown), "check")+" could not be made")
	}
	if parts == nil {
		return nil
	}
	return errors.New(strings.Join(parts, ", "))
}

func (r Report) count(result Result) (n int) {
	for _, c := range r.Checks {
		if c.Result == result {
			n++
		}
	}
	return n
}

// Print writes the report for a person: a line for each check, and below one that is not OK what to
// do.
func (r Report) Print(out io.Writer) {
	where := "on this machine"
	if r.Region != "" {
		where = "in " + r.Region
	}
	fmt.Fprintf(out, "The pipeline %s %s\n\n", r.Pipeline, where)
	width := 0
	for _, c := range r.Checks {
		width = max(width, len(c.Check))
	}
	for _, c := range r.Checks {
		fmt.Fprintf(out, "  %-8s %-*s  %s\n", c.Result, width, c.Check, terminal.OneLine(c.Says))
		if c.Permission != "" {
			fmt.Fprintf(out, "  %*s  needs the permission %s\n", width+9, "", c.Permission)
		}
		if c.Do != "" {
			fmt.Fprintf(out, "  %*s  → %s\n", width+9, "", terminal.OneLine(c.Do))
		}
	}
	fmt.Fprintf(out, "\n%d ok, %d warning, %d failed, %d unknown\n", r.count(OK), r.count(Warning), r.count(Failed),
		r.count(Unknown))
}

// read is what was read for a check, or why it could not be.
type read[T any] struct {
	value      T
	err        error
	permission string // that reading needs
}

// unknown is the finding of a check that could not be made, for err.
func (r read[T]) unknown(check string) Finding {
	f := Finding{Check: check, Result: Unknown, Says: r.err.Error(), Do: "run this again; if it stays, read the error"}
	if sending, is := errors.AsType[*url.Error](r.err); is { // without what the SDK puts before it
		f.Says = fmt.Sprintf("%s can't be reached: %v", host(sending.URL), sending.Err)
	}
	if answer := (smithy.APIError)(nil); errors.As(r.err, &answer) {
		f.Says = cmp.Or(answer.ErrorMessage(), answer.ErrorCode())
		if deployed.Denied(r.err) {
			f.Permission, f.Do = r.permission, "allow your role this, or run it with another"
		}
	}
	return f
}

// host is that of a URL.
func host(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Host
	}
	return text
}

// hasCode reports whether an error of AWS has one of the codes.
func hasCode(err error, codes ...string) bool {
	answer := (smithy.APIError)(nil)
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Result: OK, Says: fmt.Sprintf(format, args...)}
}

// finding is one that is not OK. do says what to do.
func finding(result Result, check, do, format string, args ...any) Finding {
	return Finding{Check: check, Result: result, Says: fmt.Sprintf(format, args...), Do: do}
}
