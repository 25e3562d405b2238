// Package old is a model of the design that failed on 24 September 2018: an API kept a job for each
// event in a Redis of bounded memory, and a worker held each job open until a buffering Segment
// client had sent it. The package says what the same day would have been in that design.
//
// A client sends when 20 events have come together or 10 s have passed. Workers that share a client
// and are fewer than 20 never fill it, so each of their jobs takes 10 s, however fast Segment is:
// ten workers do one job a second. That is enough until the API tracks more, or Segment is slow.
// Then jobs gather until the memory is full, Redis refuses the next one, and the API that could not
// enqueue fails the request that it was serving.
//
// Where the post-mortem leaves a choice, the model is kind to that design: Redis has no other data,
// workers can still take jobs from a full Redis (which holds for BRPOP, but not for RPOPLPUSH or a
// script), a job that fails is tried again at once and for ever, and nobody's restart loses one.
package old

import (
	"math"
	"time"
)

// A Day is what became of a time's events in the design that failed.
type Day struct {
	Parameters []Parameter `json:"parameters"`
	BoundBytes float64     `json:"boundBytes"` // memory of Redis that jobs may take
	BoundJobs  int64       `json:"boundJobs"`  // how many fit

	Jobs    []float64 `json:"jobs"`    // in Redis at each minute's end
	Bytes   []float64 `json:"bytes"`   // that they take
	Refused []float64 `json:"refused"` // jobs that found no place in the minute

	FullAt      *time.Time `json:"fullAt"`      // when a job first found no place; null: never
	Stops       []Stop     `json:"stops"`       // when the API did not work
	DownSeconds float64    `json:"downSeconds"` // of all stops
	// when the jobs of a full Redis were done; null: it was never full, or still is
	DrainedAt *time.Time `json:"drainedAt"`

	Accepted     int64 `json:"accepted"`
	Delivered    int64 `json:"delivered"`
	Waiting      int64 `json:"waiting"`      // at the end
	RefusedTotal int64 `json:"refusedTotal"` // events that are lost with the requests that made them
}

// A Stop is a time during which the API refused more than one request in ten.
type Stop struct {
	From time.Time  `json:"from"`
	To   *time.Time `json:"to"` // null: it lasted to the end
}

// A Minute is what comes in during a minute, and how Segment is.
type Minute struct {
	Events float64       // that the API tracks
	Away   bool          // Segment answers nothing, or no request with success
	Answer time.Duration // how long an answer takes
}

// The API is down while it refuses more than this share of its requests, and up again when it has
// refused less for settled seconds.
const (
	tolerable = 0.1
	settled   = 60
)

// Play is what becomes of these minutes. It is a pure function. It computes in steps of one second
// with fractions of jobs, because only how many there are matters, not which.
func Play(start time.Time, minutes []Minute, p Params) *Day {
	m := &model{p: p, workers: p.Workers, perClient: p.WorkersPerClient, day: &Day{
		Parameters: p.parameters(), BoundJobs: p.BoundJobs, BoundBytes: float64(p.BoundJobs) * p.JobBytes,
		Jobs: []float64{}, Bytes: []float64{}, Refused: []float64{}, Stops: []Stop{},
	}, start: start}
	var came float64
	for _, minute := range minutes {
		came += minute.Events
		var refused float64
		for range 60 {
			refused += m.second(minute)
		}
		m.refused += refused
		m.day.Jobs = append(m.day.Jobs, m.jobs)
		m.day.Bytes = append(m.day.Bytes, m.jobs*p.JobBytes)
		m.day.Refused = append(m.day.Refused, refused)
	}
	m.end(came)
	return m.day
}

// A model is the state of the old design at one second.
type model struct {
	p                  Params
	workers, perClient int
	start              time.Time
	now                int // seconds since start

	jobs    float64 // in Redis: those that wait and those that are held open
	refused float64 // until now
	down    bool    // the API is
	works   int     // seconds in a row in which it worked

	day *Day
}

// second plays a second and returns how many jobs found no place in it.
func (m *model) second(minute Minute) float64 {
	come := minute.Events / 60
	m.jobs -= min(m.jobs, m.done(come, minute))
	refused := max(0, m.jobs+come-float64(m.p.BoundJobs))
	m.jobs += come - refused
	m.watch(come, refused)
	m.now++
	return refused
}

// done is how many jobs end in this second.
func (m *model) done(come float64, minute Minute) float64 {
	if minute.Away {
		return 0
	}
	held := min(float64(m.workers), m.jobs)
	return held / (m.fill(come) + (minute.Answer + m.p.Overhead).Seconds())
}

// fill is how many seconds a job waits for its client to send. With a backlog, workers that are
// enough fill the client at once; without, the events that come do.
func (m *model) fill(come float64) float64 {
	interval := m.p.FlushInterval.Seconds()
	switch {
	case m.perClient < m.p.FlushAt:
		return interval
	case m.jobs > float64(m.workers):
		return 0
	}
	clients := math.Ceil(float64(m.workers) / float64(m.perClient))
	return min(interval, float64(m.p.FlushAt)*clients/max(come, 1e-9))
}

// watch notes when Redis is full, when the API stops and works again, and when people repair it.
func (m *model) watch(come, refused float64) {
	if refused > 0 && m.day.FullAt == nil {
		m.day.FullAt = m.at(m.now)
	}
	if full := m.day.FullAt; full != nil && m.day.DrainedAt == nil && m.jobs <= float64(m.workers) {
		m.day.DrainedAt = m.at(m.now)
	}
	switch fails := refused > come*tolerable; {
	case fails && !m.down:
		m.down, m.works = true, 0
		m.day.Stops = append(m.day.Stops, Stop{From: *m.at(m.now)})
	case fails:
		m.works = 0
	case m.down && come > 0: // without a request nobody can say that it works
		m.works++
	}
	if m.down && m.works == settled {
		m.down = false
		m.day.Stops[len(m.day.Stops)-1].To = m.at(m.now + 1 - settled)
	}
	if len(m.day.Stops) > 0 && !m.at(m.now).Before(m.day.Stops[0].From.Add(m.p.RepairAfter)) {
		m.workers, m.perClient = m.p.RepairedWorkers, m.p.RepairedWorkers
	}
}

func (m *model) at(second int) *time.Time {
	t := m.start.Add(time.Duration(second) * time.Second)
	return &t
}

func (m *model) end(came float64) {
	for _, s := range m.day.Stops {
		to := m.at(m.now)
		if s.To != nil {
			to = s.To
		}
		m.day.DownSeconds += to.Sub(s.From).Seconds()
	}
	m.day.RefusedTotal = int64(math.Round(m.refused))
	m.day.Accepted = int64(math.Round(came)) - m.day.RefusedTotal
	m.day.Waiting = min(m.day.Accepted, int64(math.Round(m.jobs)))
	m.day.Delivered = m.day.Accepted - m.day.Waiting
}
