package deliver

import (
	"maps"
	"slices"
	"time"
)

// The types of notices. Programs that are not Spillway's react to them, so they stay.
const (
	NoticeDeadLetter     = "Spillway.DeadLetter"
	NoticeBreakerOpened  = "Spillway.BreakerOpened"
	NoticeBreakerClosed  = "Spillway.BreakerClosed"
	NoticeBacklogDrained = "Spillway.BacklogDrained"
)

const (
	// BacklogAge is the age from which a waiting event is a backlog: that of the first alarm on it.
	BacklogAge = 10 * time.Minute
	// freshAge is the age below which events do not wait: they are delivered within seconds.
	freshAge = time.Minute
	// askAgain is how long a queue that is not drained is not asked again.
	askAgain = time.Minute
)

// A Notice is one thing that a program may want to react to.
type Notice struct {
	Type   string
	Detail NoticeDetail
}

// A NoticeDetail says more. Fields that say nothing of a type are left out. It quotes no event.
type NoticeDetail struct {
	Pipeline    string `json:"pipeline"`
	Environment string `json:"environment,omitempty"` // of the function, whose breaker and memory it is: its log stream
	Reason      string `json:"reason,omitempty"`      // of dead letters
	Events      int    `json:"events,omitempty"`      // that became dead letters for it in one invocation
	Cause       string `json:"cause,omitempty"`       // why the breaker is open
	OpenSeconds int    `json:"openSeconds,omitempty"` // how long the breaker was open
	// OldestSeconds is the age of the oldest event that the environment saw in the backlog.
	OldestSeconds int `json:"oldestSeconds,omitempty"`
}

// Notices finds what happened in the invocations of one environment. The zero value is ready. It is
// not safe for concurrent use: an environment has one invocation at a time.
type Notices struct {
	opened time.Time     // when the breaker did; zero: it is closed
	oldest time.Duration // in the backlog; 0: there is none
	asked  time.Time     // when mayBeDrained was last true
}

// After returns what happened in an invocation that ended now. drained reports whether a backlog may
// be drained: the caller then asks the queue, and if little is in it calls Drained.
func (n *Notices) After(r *Report, now time.Time) (notices []Notice, drained bool) {
	for _, reason := range slices.Sorted(maps.Keys(r.DeadLettered)) {
		notices = append(notices, Notice{NoticeDeadLetter, NoticeDetail{Reason: reason, Events: r.DeadLettered[reason]}})
	}
	switch {
	case r.BreakerOpen && n.opened.IsZero():
		n.opened = now
		notices = append(notices, Notice{NoticeBreakerOpened, NoticeDetail{Cause: mostOf(r.Causes)}})
	case !r.BreakerOpen && !n.opened.IsZero():
		lasted := now.Sub(n.opened)
		n.opened = time.Time{}
		notices = append(notices, Notice{NoticeBreakerClosed, NoticeDetail{OpenSeconds: int(lasted.Seconds())}})
	}
	return notices, n.mayBeDrained(r, now)
}

func (n *Notices) mayBeDrained(r *Report, now time.Time) bool {
	if len(r.Ages) == 0 {
		return false
	}
	oldest := max(r.Waiting, slices.Max(r.Ages))
	if oldest >= BacklogAge {
		n.oldest = max(n.oldest, oldest)
	}
	if n.oldest == 0 || oldest >= freshAge || len(r.Retried) > 0 || r.BreakerOpen || now.Sub(n.asked) < askAgain {
		return false
	}
	n.asked = now
	return true
}

// Drained returns the notice that the backlog is drained, and forgets it.
func (n *Notices) Drained() Notice {
	notice := Notice{NoticeBacklogDrained, NoticeDetail{OldestSeconds: int(n.oldest.Seconds())}}
	n.oldest = 0
	return notice
}

// mostOf is the text with the largest number, the first of several; empty if there is none.
func mostOf(counts map[string]int) (most string) {
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		if most == "" || counts[text] > counts[most] {
			most = text
		}
	}
	return most
}
