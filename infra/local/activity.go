package local

import (
	"maps"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// Totals count what the deliver function has done since the start.
type Totals struct {
	Delivered    int64 `json:"delivered"` // events
	Retried      int64 `json:"retried"`   // events; one that is retried twice counts twice
	DeadLettered int64 `json:"deadLettered"`
	Invocations  int64 `json:"invocations"`
}

// activity collects what the parts of the pipeline have reported since the start. It is safe for
// concurrent use.
type activity struct {
	requests ingest.Counters
	canaries *canary.Tracker

	mu       sync.Mutex
	totals   Totals
	archived Archive
	degraded string
	minute   deadletter.Minute // the last minute with a delivery
	paused   map[string]deliver.Pause
}

func newActivity() *activity { return &activity{canaries: canary.NewTracker()} }

// invoked counts an invocation of the deliver function.
func (a *activity) invoked(r deliver.Report) {
	a.canaries.RecordDelivered(r.CanaryAges)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.totals.Invocations++
	if len(r.Flushes) > 0 || r.BreakerOpen { // otherwise it says nothing about Segment
		a.countFlushes(&r, time.Now().Truncate(time.Minute))
	}
	a.totals.Delivered += int64(r.Delivered)
	a.archived.Events += int64(r.Archived)
	a.archived.Waiting += int64(r.ArchiveDeferred + r.NotArchived)
	a.pause(r.Paused)
	for _, n := range r.Retried {
		a.totals.Retried += int64(n)
	}
	most := 0
	for cause, n := range r.Causes {
		if n > most {
			most, a.degraded = n, cause
		}
	}
	if r.Delivered > 0 && most == 0 {
		a.degraded = ""
	}
	for _, n := range r.DeadLettered {
		a.totals.DeadLettered += int64(n)
	}
}

// pause remembers the write keys that are paused. The environments pause them on their own: the
// longest pause counts.
func (a *activity) pause(pauses []deliver.Pause) {
	for _, p := range pauses {
		old, known := a.paused[p.Key]
		if p.Until.After(old.Until) {
			if !known { // keys are made up by who sends: those that are not used any more must not pile up
				a.forgetPauses(time.Now())
			}
			if a.paused == nil {
				a.paused = map[string]deliver.Pause{}
			}
			a.paused[p.Key] = p
		}
	}
}

// pauses are those that last, by write key.
func (a *activity) pauses(now time.Time) map[string]deliver.Pause {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetPauses(now)
	return maps.Clone(a.paused)
}

// forgetPauses forgets those that are over. mu is held.
func (a *activity) forgetPauses(now time.Time) {
	maps.DeleteFunc(a.paused, func(_ string, p deliver.Pause) bool { return !now.Before(p.Until) })
}

func (a *activity) countFlushes(r *deliver.Report, minute time.Time) {
	if !minute.Equal(a.minute.Start) {
		a.minute = deadletter.Minute{Start: minute}
	}
	for _, f := range r.Flushes {
		a.minute.Add(f.Class, 1)
	}
	a.minute.BreakerOpen = r.BreakerOpen
}

// addTo adds the activity to a status.
func (a *activity) addTo(s *Status) {
	requests := a.requests.Totals()
	for _, n := range requests.Refused {
		s.Refused += int64(n)
	}
	for _, n := range requests.Shed {
		s.Shed += int64(n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Totals, s.Degraded, s.Segment, s.Archive = a.totals, a.degraded, a.minute, a.archived
}
