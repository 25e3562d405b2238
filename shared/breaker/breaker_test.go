package breaker

import (
	"testing"
	"time"
)

const openFor = time.Second

// rig is a Breaker that opens after three failures, and its time.
type rig struct {
	*testing.T
	*Breaker
	now time.Time
}

func newRig(t *testing.T, change func(*Settings)) *rig {
	s := Settings{Failures: 3, OpenFor: func(time.Time, int) time.Duration { return openFor }}
	if change != nil {
		change(&s)
	}
	return &rig{T: t, Breaker: New(s), now: time.Unix(1000, 0)}
}

func (r *rig) allowed() Ticket {
	r.Helper()
	ticket, ok := r.Allow(r.now)
	if !ok {
		r.Fatal("the call is refused")
	}
	return ticket
}

// call makes a call with this result and returns whether that opened the breaker.
func (r *rig) call(result Result) (opened bool) {
	r.Helper()
	return r.Report(r.now, r.allowed(), result)
}

func (r *rig) refuses(want bool) {
	r.Helper()
	if got := r.Refusing(r.now); got != want {
		r.Errorf("refusing is %v, want %v", got, want)
	}
	if want {
		if _, ok := r.Allow(r.now); ok {
			r.Error("a call is allowed")
		}
	}
}

func TestFailuresInARowOpenItAndOneProbeIsAllowed(t *testing.T) {
	r := newRig(t, nil)
	r.call(Failure)
	r.call(Failure)
	r.refuses(false)
	r.call(Success)
	r.call(Failure)
	if r.call(Failure) {
		t.Error("two failures after a success open it")
	}
	r.refuses(false)
	if !r.call(Failure) {
		t.Error("the third failure does not open it")
	}
	r.refuses(true)
	r.now = r.now.Add(openFor - 1)
	r.refuses(true)
	r.now = r.now.Add(1)
	r.refuses(false)
	probe := r.allowed()
	if !probe.Probe {
		t.Error("the ticket does not say that the call is the probe")
	}
	r.refuses(true)
	if !r.Report(r.now, probe, Failure) {
		t.Error("the probe's failure does not open it again")
	}
	r.refuses(true)
	r.now = r.now.Add(openFor)
	r.call(Success)
	r.refuses(false)
	for range 2 {
		if r.allowed().Probe {
			t.Error("a closed breaker asks for a probe")
		}
	}
}

func TestACallWithoutAnAnswerOpensItAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.call(Hang)
	r.refuses(true)
	r.now = r.now.Add(openFor)
	r.call(Success)
	r.refuses(false)
}

func TestAnUnknownResultNeitherOpensNorClosesIt(t *testing.T) {
	r := newRig(t, nil)
	r.call(Failure)
	r.call(Failure)
	for range 10 {
		r.call(Unknown)
	}
	r.refuses(false)
	r.call(Failure)
	r.refuses(true)
	r.now = r.now.Add(openFor)
	r.call(Unknown)
	r.refuses(false)
	if !r.allowed().Probe {
		t.Error("after an unknown probe the next call is not the probe")
	}
	r.refuses(true)
}

func TestTheOpenTimeIsAskedForWithTheOpeningsInARow(t *testing.T) {
	var asked []int
	r := newRig(t, func(s *Settings) {
		s.OpenFor = func(_ time.Time, openings int) time.Duration {
			asked = append(asked, openings)
			return time.Duration(openings) * time.Minute
		}
	})
	opened := r.now
	r.call(Hang)
	for range 3 {
		since, probe := r.Opened()
		if !since.Equal(opened) {
			t.Errorf("open since %v, want %v", since, opened)
		}
		r.now = probe.Add(-1)
		r.refuses(true)
		r.now = probe
		r.call(Failure)
	}
	_, r.now = r.Opened()
	r.call(Success)
	if since, probe := r.Opened(); !since.IsZero() || !probe.IsZero() {
		t.Errorf("closed, it is open since %v until %v", since, probe)
	}
	r.call(Hang)
	if want := []int{1, 2, 3, 4, 1}; len(asked) != len(want) || asked[3] != 4 || asked[4] != 1 {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestAReportOfACallFromBeforeItOpenedCountsAsTheProbes(t *testing.T) {
	r := newRig(t, nil)
	before := [3]Ticket{r.allowed(), r.allowed(), r.allowed()}
	r.call(Hang)
	r.now = r.now.Add(openFor / 2)
	r.Report(r.now, before[0], Failure)
	r.now = r.now.Add(openFor / 2)
	r.refuses(true) // for longer
	r.Report(r.now, before[1], Unknown)
	r.refuses(true)
	r.Report(r.now, before[2], Success)
	r.refuses(false)
}

func TestReportsOfCallsFromBeforeItOpenedCanBeIgnored(t *testing.T) {
	r := newRig(t, func(s *Settings) { s.IgnoreLate = true })
	var before []Ticket
	for range 4 {
		before = append(before, r.allowed())
	}
	r.call(Hang)
	r.Report(r.now, before[0], Success)
	r.refuses(true)
	r.Report(r.now, before[1], Failure)
	r.now = r.now.Add(openFor)
	probe := r.allowed()
	r.Report(r.now, before[2], Success)
	r.refuses(true)
	r.Report(r.now, probe, Success)
	r.refuses(false)
	r.Report(r.now, before[3], Hang)
	r.refuses(false)
}
