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

// A Reading is what was read of a region at one time. Each part may have failed on its own.
type Reading struct {
	Region string
	At     time.Time // the reading's end

	NoIngest   bool // the pipeline has no ingest endpoint
	NoDelivery bool // it only accepts events
	URLErr     error
	Health     Health
	Alarms     map[string]string // the states of the composite alarms, by name, as CloudWatch has them
	AlarmsErr  error

	Waiting    int64 // messages in the events queue, those in flight too
	WaitingErr error
	Ages       []Point // of the oldest event in seconds
	AgesErr    error

	Canaries    []Point // delivered test events, by the minute for which they were sent
	CanariesErr error
}

// A Point is a metric's value of one minute.
type Point struct {
	At    time.Time // the minute's begin
	Value float64
}

// A Health is what GET /health of the ingest endpoint answered from outside.
type Health struct {
	Status int // 0: nothing
	Took   time.Duration
	Err    error
}

const (
	// slowHealth is from when on an answer of /health is slow: an SDK waits about 10 s for one.
	slowHealth = 5 * time.Second
	// ageWindow is how far back the oldest event's age is looked for. Metrics are up to two minutes
	// late, and in a minute with few events only one of deliver's environments says what it knows.
	ageWindow = 5 * time.Minute
	// maxAge is the highest age in seconds that is believed: 30 years.
	maxAge = 1e9
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

// Sight is what a reading of a pipeline says to customers. It is a pure function.
func Sight(pipeline string, r *Reading) status.Region {
	s := status.Region{Name: r.Region, Oldest: oldest(r), CanaryAge: canaryAge(r)}
	var failures []error
	if !r.NoIngest {
		var failure error
		s.Ingest, failure = ingestSight(r)
		failures = append(failures, failure)
	}
	for name, state := range r.Alarms {
		if state == firing {
			s.Alarms = append(s.Alarms, name)
		}
	}
	slices.Sort(s.Alarms)
	if !r.NoDelivery {
		var failure error
		s.Delivery, failure = deliverySight(pipeline, r, &s)
		failures = append(failures, failure)
	}
	failures = append(failures, r.WaitingErr, r.AgesErr, r.CanariesErr)
	if err := errors.Join(failures...); err != nil {
		s.Failure = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return s
}

// ingestSight is what a client of the ingest endpoint meets. It is from outside: what the alarms
// say comes in by Region.Alarms.
func ingestSight(r *Reading) (status.Sight, error) {
	h := &r.Health
	dns, named := errors.AsType[*net.DNSError](h.Err)
	switch {
	case r.URLErr != nil:
		return status.Unknown, r.URLErr
	// A name that does not exist is nobody's doing but ours. If the name server does not answer it
	// may be the writer's own.
	case named && !dns.IsNotFound:
		return status.Unknown, fmt.Errorf("GET /health: the name server fails: %w", h.Err)
	case h.Err != nil:
		return status.Down, fmt.Errorf("GET /health: %w", h.Err)
	case h.Status == http.StatusTooManyRequests:
		return status.Slow, errors.New("GET /health: 429: the gateway is at its limit")
	case h.Status != http.StatusOK:
		return status.Down, fmt.Errorf("GET /health: %d %s", h.Status, http.StatusText(h.Status))
	case h.Took > slowHealth:
		return status.Slow, fmt.Errorf("GET /health took %v", h.Took.Round(time.Millisecond))
	}
	return status.Up, nil
}

// The metrics of deliver that are read: the ages of events in seconds, and the delivered canaries.
const (
	AgeMetric    = "EventAge"
	CanaryMetric = "CanaryDelivered"
)

// Alarms are the names of the composite alarms that are read of a pipeline.
func Alarms(pipeline string, noIngest bool) []string {
	names := []string{pipeline + "-" + status.DeliveryDown, pipeline + "-" + status.DeliverySlow}
	if !noIngest {
		names = append(names, pipeline+"-"+status.IngestDown)
	}
	return names
}

// States of CloudWatch's alarms.
const (
	firing   = "ALARM"
	notKnown = "INSUFFICIENT_DATA"
)

// deliverySight is what the alarms on the delivery say, and whether they can be believed.
func deliverySight(pipeline string, r *Reading, s *status.Region) (status.Sight, error) {
	down, slow := r.Alarms[pipeline+"-"+status.DeliveryDown], r.Alarms[pipeline+"-"+status.DeliverySlow]
	switch {
	case r.AlarmsErr != nil:
		return status.Unknown, r.AlarmsErr
	case down == "" || slow == "":
		return status.Unknown, fmt.Errorf("the alarms %s-delivery-down and -slow do not both exist: deploy the "+
			"pipeline in %s",
			pipeline, r.Region)
	case down == firing:
		return status.Down, nil
	case slow == firing, s.Oldest != nil && *s.Oldest >= deliver.BacklogAge:
		return status.Slow, nil
	case down == notKnown:
		return status.Unknown, fmt.Errorf("the alarm %s-%s has no data yet", pipeline, status.DeliveryDown)
	// While nothing is accepted no canary can come through.
	case s.CanaryAge != nil && *s.CanaryAge > canaryLost && len(s.Alarms) == 0 && s.Ingest != status.Down:
		return status.Unknown, fmt.Errorf("no metric says that a canary was delivered in the last %v, and no alarm fires: "+
			"metrics do not arrive in CloudWatch", s.CanaryAge.Round(time.Minute))
	}
	return status.Up, nil
}

// oldest is the age of the oldest undelivered event. An empty queue has none, whatever the metrics
// say, which are late. It is not known if messages wait and no metric says for how long.
func oldest(r *Reading) *time.Duration {
	if r.WaitingErr == nil && r.Waiting == 0 {
		return new(time.Duration)
	}
	var found *time.Duration
	for _, p := range r.Ages {
		end := p.At.Add(time.Minute)
		if r.At.Sub(end) > ageWindow || !(p.Value >= 0 && p.Value <= maxAge) { // a NaN is not, either
			continue
		}
		age := time.Duration(p.Value * float64(time.Second))
		if age >= grows {
			age += max(0, r.At.Sub(end))
		}
		if found == nil || age > *found {
			found = &age
		}
	}
	return found
}

// canaryAge is the time since the last canary was sent that was delivered.
func canaryAge(r *Reading) *time.Duration {
	var last time.Time
	for _, p := range r.Canaries {
		if p.Value > 0 && p.At.After(last) {
			last = p.At
		}
	}
	if last.IsZero() {
		return nil
	}
	age := max(0, r.At.Sub(last))
	return &age
}
