package drill

import "time"

// A Notice is the first notification that people got of a fault.
type Notice struct {
	Alarm string
	At    time.Time
	After time.Duration // from the begin of the first fault
}

// FirstFault is when the first fault began; false: there was none.
func (r *Result) FirstFault() (time.Time, bool) {
	for _, m := range r.Marks {
		if m.Kind == Fault {
			return m.From, true
		}
	}
	return time.Time{}, false
}

// FirstNotice is the first notification since the first fault; false: there was no fault, or none came.
func (r *Result) FirstNotice() (Notice, bool) {
	fault, any := r.FirstFault()
	var first Notice
	for _, a := range r.Alarms {
		for _, f := range a.Firings {
			if any && f.Notified && !f.From.Before(fault) && (first.Alarm == "" || f.From.Before(first.At)) {
				first = Notice{Alarm: a.Name, At: f.From, After: f.From.Sub(fault)}
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
