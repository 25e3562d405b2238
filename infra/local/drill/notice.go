package drill

import "time"

// A Notice is the first notification that people got.
type Notice struct {
	Alarm string
	At    time.Time
	After time.Duration // from the begin of Cause
	Cause Mark
}

// FirstCause is what there was to be told of first: the first fault, and without one the first
// thing that people did or that came in otherwise than usual. False: nothing happened.
func (r *Result) FirstCause() (Mark, bool) {
	for _, m := range r.Marks {
		if m.Kind == Fault {
			return m, true
		}
	}
	for _, m := range r.Marks {
		if m.Kind != Outcome {
			return m, true
		}
	}
	return Mark{}, false
}

// FirstNotice is the first notification since the first cause; false: there was no cause, or none
// came.
func (r *Result) FirstNotice() (Notice, bool) {
	cause, any := r.FirstCause()
	var first Notice
	for _, a := range r.Alarms {
		for _, f := range a.Firings {
			if any && f.Notified && !f.From.Before(cause.From) && (first.Alarm == "" || f.From.Before(first.At)) {
				first = Notice{Alarm: a.Name, At: f.From, After: f.From.Sub(cause.From), Cause: cause}
			}
		}
	}
	return first, first.Alarm != ""
}

// Notifications is how many notifications people got.
func (r *Result) Notifications() int {
	n := 0
	for _, a := range r.Alarms {
		for _, f := range a.Firings {
			if f.Notified {
				n++
			}
		}
	}
	return n
}
