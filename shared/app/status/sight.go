package status

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/status"
)

// A reading is what one poll has read of a region. Each part may have failed on its own.
type reading struct {
	region string
	at     time.Time // of the reading's end

	noIngest  bool // the pipeline has no ingest endpoint
	urlErr    error
	health    health
	alarms    map[string]string // the states of the composite alarms, by name
	alarmsErr error

	waiting    int64 // messages in the events queue, those in flight too
	waitingErr error
	ages       []point // of the oldest event in seconds, by the minute
	agesErr    error

	canaries    []point // delivered test events, by the minute for which they were sent
	canariesErr error
}

// A point is a metric's value of one minute.
type point struct {
	at    time.Time // the minute's begin
	value float64
}

// A health is what GET /health of the ingest endpoint answered from outside.
type health struct {
	status int // 0: nothing
	took   time.Duration
	err    error
}

const (
	// slowHealth is from when on an answer of /health is slow: an SDK waits about 10 s for one.
	slowHealth = 5 * time.Second
	// ageWindow is how far back the oldest event's age is looked for. Metrics are up to two minutes
	// late, and in a minute with few events only one of deliver's environments says what it knows.
	ageWindow = 5 * time.Minute
	// grows is the age from which on an event is taken to wait still, so that its age has grown by
	// the time since it was measured. One that is younger has come and gone.
	grows = time.Minute
	// canaryWindow is how far back the last delivered canary is looked for.
	canaryWindow = 3 * time.Hour
	// canaryLost is how old the last canary may be while no alarm fires. One that does not come
	// through makes the alarm canary-silent fire within 10 minutes. So if none does, no metric
	// comes in, and all the alarms stand still.
	canaryLost = 15 * time.Minute
)

// sight is what a reading says to customers. It is a pure function.
func sight(pipeline string, r *reading) status.Region {
	s := status.Region{Name: r.region, Oldest: oldest(r), CanaryAge: canaryAge(r)}
	var failures []error
	if !r.noIngest {
		var failure error
		s.Ingest, failure = ingestSight(r)
		failures = append(failures, failure)
	}
	for name, state := range r.alarms {
		if state == firing {
			s.Alarms = append(s.Alarms, name)
		}
	}
	slices.Sort(s.Alarms)
	var failure error
	s.Delivery, failure = deliverySight(pipeline, r, &s)
	failures = append(failures, failure, r.waitingErr, r.agesErr, r.canariesErr)
	if err := errors.Join(failures...); err != nil {
		s.Failure = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return s
}

// ingestSight is what a client of the ingest endpoint meets. It is from outside: what the alarms
// say comes in by Region.Alarms.
func ingestSight(r *reading) (status.Sight, error) {
	h := &r.health
	dns, named := errors.AsType[*net.DNSError](h.err)
	switch {
	case r.urlErr != nil:
		return status.Unknown, r.urlErr
	// A name that does not exist is nobody's doing but ours. If the name server does not answer it
	// may be the writer's own.
	case named && !dns.IsNotFound:
		return status.Unknown, fmt.Errorf("GET /health: the name server fails: %w", h.err)
	case h.err != nil:
		return status.Down, fmt.Errorf("GET /health: %w", h.err)
	case h.status == http.StatusTooManyRequests:
		return status.Slow, errors.New("GET /health: 429: the gateway is at its limit")
	case h.status != http.StatusOK:
		return status.Down, fmt.Errorf("GET /health: %d %s", h.status, http.StatusText(h.status))
	case h.took > slowHealth:
		return status.Slow, fmt.Errorf("GET /health took %v", h.took.Round(time.Millisecond))
	}
	return status.Up, nil
}

// States of CloudWatch's alarms.
const (
	firing   = "ALARM"
	notKnown = "INSUFFICIENT_DATA"
)

// deliverySight is what the alarms on the delivery say, and whether they can be believed.
func deliverySight(pipeline string, r *reading, s *status.Region) (status.Sight, error) {
	down, slow := r.alarms[pipeline+"-delivery-down"], r.alarms[pipeline+"-delivery-slow"]
	switch {
	case r.alarmsErr != nil:
		return status.Unknown, r.alarmsErr
	case down == "" || slow == "":
		return status.Unknown, fmt.Errorf("the alarms %s-delivery-down and -slow do not both exist: deploy the "+
			"pipeline in %s",
			pipeline, r.region)
	case down == firing:
		return status.Down, nil
	case slow == firing, s.Oldest != nil && *s.Oldest >= deliver.BacklogAge:
		return status.Slow, nil
	case down == notKnown:
		return status.Unknown, fmt.Errorf("the alarm %s-delivery-down has no data yet", pipeline)
	// While nothing is accepted no canary can come through.
	case s.CanaryAge != nil && *s.CanaryAge > canaryLost && len(s.Alarms) == 0 && s.Ingest != status.Down:
		return status.Unknown, fmt.Errorf("no metric says that a canary was delivered in the last %v, and no alarm fires: "+
			"metrics do not arrive in CloudWatch", s.CanaryAge.Round(time.Minute))
	}
	return status.Up, nil
}

// oldest is the age of the oldest undelivered event. An empty queue has none, whatever the metrics
// say, which are late. It is not known if messages wait and no metric says for how long.
func oldest(r *reading) *time.Duration {
	if r.waitingErr == nil && r.waiting == 0 {
		return new(time.Duration)
	}
	var found *time.Duration
	for _, p := range r.ages {
		end := p.at.Add(time.Minute)
		if r.at.Sub(end) > ageWindow {
			continue
		}
		age := time.Duration(p.value * float64(time.Second))
		if age >= grows {
			age += max(0, r.at.Sub(end))
		}
		if found == nil || age > *found {
			found = &age
		}
	}
	return found
}

// canaryAge is the time since the last canary was sent that was delivered.
func canaryAge(r *reading) *time.Duration {
	var last time.Time
	for _, p := range r.canaries {
		if p.value > 0 && p.at.After(last) {
			last = p.at
		}
	}
	if last.IsZero() {
		return nil
	}
	age := max(0, r.at.Sub(last))
	return &age
}
