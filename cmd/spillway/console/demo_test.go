package console

import (
	"context"
	"flag"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/heavy"
)

var serveAt = flag.String("serve", "", "serve the pages of made-up pipelines at this `address` instead of testing")

// An outage is a made-up pipeline: Segment went away some minutes before now and is back, or not.
type outage struct {
	began, ended time.Time // zero: there is none, it goes on
	perMinute    float64
}

// wave is the traffic of a minute, which is never quite the same.
func (o outage) wave(at time.Time) float64 {
	m := float64(at.Unix()) / 60
	return math.Round(o.perMinute * (1 + 0.2*math.Sin(m/37) + 0.08*math.Sin(m*1.7)))
}

func (o outage) away(at time.Time) bool {
	return !o.began.IsZero() && !at.Before(o.began) && (o.ended.IsZero() || at.Before(o.ended))
}

// backlog is what waits at a time.
func (o outage) backlog(at time.Time) float64 {
	if o.began.IsZero() || at.Before(o.began) {
		return 0
	}
	end := at
	if !o.ended.IsZero() && o.ended.Before(at) {
		end = o.ended
	}
	waits := end.Sub(o.began).Minutes() * o.perMinute
	return max(0, waits-at.Sub(end).Minutes()*4*o.perMinute)
}

func (o outage) value(m topology.Metric, at time.Time, period time.Duration) float64 {
	minutes := period.Minutes()
	away := o.away(at)
	draining := !away && o.backlog(at) > 0
	nothing := math.NaN()
	switch m.Name {
	case "EventsAccepted":
		return o.wave(at) * minutes
	case "EventsDelivered":
		if away {
			return 0
		}
		if draining {
			return 5 * o.perMinute * minutes
		}
		return o.wave(at) * minutes
	case "EventsRetried":
		if away && m.Value == "transient" {
			return 900 * minutes
		}
		if m.Value == "throttled" && at.Minute()%20 == 0 {
			return 120
		}
		return nothing
	case "EventsDeadLettered":
		if m.Value == "rejected" && at.Minute()%25 == 3 {
			return 2
		}
		return nothing
	case "RequestsRefused":
		if at.Minute()%5 == 0 {
			return 7
		}
		return nothing
	case "ApproximateNumberOfMessagesVisible":
		return math.Round(o.backlog(at) / 40)
	case "ApproximateNumberOfMessagesNotVisible":
		return math.Round(3 + o.backlog(at)/100)
	case "ApproximateAgeOfOldestMessage", "EventAge":
		if o.backlog(at) > 0 {
			return max(2, at.Sub(o.began).Seconds())
		}
		return 1 + float64(at.Minute()%3)
	case "FlushLatency":
		if away {
			return 9800
		}
		if m.Statistic == "p50" {
			return 85 + float64(at.Minute()%7)
		}
		return 240 + 40*float64(at.Minute()%5)
	case "SegmentResponses":
		if m.Value == "transient" && away {
			return 3 * minutes
		}
		if m.Value == "delivered" && !away {
			return o.wave(at) / 60 * minutes
		}
		return nothing
	case "ConcurrentExecutions":
		if draining {
			return 9
		}
		return 2 + float64(at.Minute()%2)
	case "NumberOfMessagesSent":
		return o.wave(at) / 40 * minutes
	case "NumberOfMessagesDeleted":
		if away {
			return 0
		}
		return o.wave(at) / 40 * minutes * 1.2
	}
	return nothing
}

// demo is a pipeline on this machine in an outage, or without one.
func demo(o outage) *fake {
	f := newFake()
	f.about.IngestURL = "http://127.0.0.1:8080"
	f.metrics = o.value
	start := time.Now().Add(-time.Hour)
	f.now = func() (Now, error) {
		at := time.Now()
		waits := int64(o.backlog(at))
		n := Now{At: at, Messages: waits / 40, Events: waits, InFlight: waits / 100, DeadLetters: 42,
			CanaryAge:     34 * time.Second,
			CanaryLatency: 1240 * time.Millisecond, OldestAge: Unknown}
		passed := at.Sub(start).Minutes()
		n.Totals = &Totals{Accepted: int64(passed * o.perMinute), Delivered: int64(passed*o.perMinute) - waits}
		if waits > 0 {
			n.OldestAge = at.Sub(o.began)
		}
		if o.away(at) {
			n.BreakerOpen, n.Degraded = true, "Segment answers 503 Service Unavailable"
			n.Totals.Retried = int64(at.Sub(o.began).Minutes() * 900)
		}
		return n, nil
	}
	f.alarms = func() ([]Alarm, error) { return o.alarms(&f.about.Topology), nil }
	f.refusals = func(time.Time) (Refusals, error) {
		return Refusals{Requests: map[string]float64{"invalid_write_key": 71, "invalid_json": 10, "over_quota": 3},
			Events: map[string]float64{"no_user_anon_id": 9}}, nil
	}
	f.senders = func() (top.Report, error) { return demoSenders(o), nil }
	f.writeKeys = func() ([]WriteKey, error) {
		return []WriteKey{
			{Name: "web", ID: "8d2f4c1a", Quota: 200, Rate: 118.4, Last: time.Now().Add(-time.Second)},
			{Name: "ios", ID: "77aa01fe", Rate: 40.1, Last: time.Now().Add(-3 * time.Second)},
			{Name: "partner", ID: "1234abcd", Quota: 10, Rate: 0.4, Last: time.Now().Add(-50 * time.Second),
				Paused: "Segment answers 429 Too Many Requests"},
			{Name: "old-android", ID: "00ffee11", Disabled: true, Last: time.Now().Add(-26 * time.Hour)},
		}, nil
	}
	f.samples = func(q SampleQuery) ([]Sample, error) { return demoSamples(q), nil }
	f.switches = &fakeSwitches{id: "well"}
	return f
}

func (o outage) alarms(t *topology.Topology) (all []Alarm) {
	add := func(name string, severity topology.Severity, composite bool) {
		a := Alarm{Name: name, Severity: severity, Composite: composite, State: StateOK,
			Since:  time.Now().Add(-20 * time.Hour),
			Reason: "3 of 3 values are not above the threshold"}
		short := strings.TrimPrefix(name, "spillway-")
		if during := short == "delivery-down" || short == "segment-failing"; during && !o.began.IsZero() {
			f := Span{From: o.began.Add(3 * time.Minute)}
			if o.ended.IsZero() {
				a.State, a.Since, a.Notified = StateAlarm, f.From, composite
				a.Reason = "3 of the last 10 values (100, 100, 100) were above the threshold (50)"
			} else {
				f.To = o.ended.Add(2 * time.Minute)
			}
			if f.To.IsZero() || f.To.Before(time.Now()) {
				a.Firings = []Span{f}
			}
		}
		if short == "dead-letters" {
			a.State, a.Since, a.Notified = StateAlarm, time.Now().Add(-5*time.Hour), true
		}
		if short == "source-growing" {
			a.State, a.Since = StateUnknown, time.Time{}
		}
		all = append(all, a)
	}
	for _, a := range t.Alarms {
		add(a.Name, a.Severity, false)
	}
	for _, c := range t.Composites {
		add(c.Name, c.Severity, true)
	}
	return all
}

func demoSenders(o outage) top.Report {
	events := uint64(60 * o.perMinute)
	return top.Report{Events: events, Tables: []top.Table{
		{By: heavy.ByEvent, Heaviest: []top.Row{
			{Name: "Product Viewed", Events: events / 2, Share: 0.5, Bytes: 600 * events},
			{Name: "Order Completed", Events: events / 5, Share: 0.2, Bytes: 900 * events},
			{Name: "page: /checkout", Events: events / 10, Share: 0.1, Bytes: 90 * events},
		}, Grown: []top.Grown{{Name: "Order Completed", Rate: 31, Times: 3.2}}},
		{By: heavy.ByWriteKey, Heaviest: []top.Row{
			{Name: "web", Events: events * 7 / 10, Share: 0.7, Bytes: 700 * events,
				Refused: map[string]uint64{"invalid_json": 10}},
			{Name: "ios", Events: events * 3 / 10, Share: 0.3, Bytes: 300 * events},
		}},
	}}
}

func demoSamples(q SampleQuery) (all []Sample) {
	for i := range 14 {
		s := Sample{At: time.Now().Add(-time.Duration(i*7) * time.Second), Outcome: OutcomeDelivered, Answer: "200 OK",
			Type:  "track",
			Event: []string{"Product Viewed", "Order Completed", "Signed Up"}[i%3], User: fmt.Sprintf("user-%d", 1000+i*37),
			MessageID: fmt.Sprintf("node-next-1781234567-%d-9f1c", i), WriteKey: "web", Age: 1400 * time.Millisecond,
			Receives: 1}
		switch {
		case i%5 == 4:
			s.Outcome, s.Reason, s.Receives, s.Answer = OutcomeRetried, "transient", 4,
				"503 Service Unavailable: upstream connect error"
		case i == 6:
			s.Outcome, s.Reason, s.Answer = OutcomeDeadLettered, "rejected",
				`400 Bad Request: {"success":false,"message":"malformed JSON"}`
		case i == 8:
			s = Sample{At: s.At, Outcome: OutcomeRefused, Reason: "invalid_write_key", Answer: "400: the write key is not known",
				Age:      Unknown,
				WriteKey: "5c0ffee5"}
		}
		if (q.Outcome == "" || q.Outcome == s.Outcome) && (q.Reason == "" || q.Reason == s.Reason) {
			all = append(all, s)
		}
	}
	return all
}

// fakeSwitches are switches that switch nothing.
type fakeSwitches struct {
	mu   sync.Mutex
	id   string
	sent int
}

func (s *fakeSwitches) Modes() []Mode {
	return []Mode{
		{"well", "Well", "Segment answers at once."}, {"slow", "Slow", "Each answer takes 8 s."},
		{"429", "429", "Segment takes fewer events than come in."}, {"503", "503", "Segment answers 503."},
		{"hanging", "Hanging", "Segment takes the connection and never answers."},
		{"refuses-one", "Refuses one event", "Segment refuses one event of each batch with 400."},
		{"away", "Away for 2 min", "Segment resets every connection for 2 min."},
	}
}

func (s *fakeSwitches) Current() (string, time.Time, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, time.Time{}, time.Time{}
}

func (s *fakeSwitches) Set(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = id
	return nil
}

func (s *fakeSwitches) Send(_ context.Context, n int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent += n
	return n, nil
}

// TestMain serves the made-up pipelines instead, for looking at the pages, if -serve says where:
//
//	go test ./cmd/spillway/console -serve 127.0.0.1:0
func TestMain(m *testing.M) {
	testutil.CollectLess(400)
	if *serveAt == "" {
		os.Exit(m.Run())
	}
	if err := serveDemos(*serveAt); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// demos are the states that the page is looked at in.
func demos() map[string]*fake {
	now := time.Now()
	first := demo(outage{})
	first.now = func() (Now, error) {
		return Now{At: time.Now(), CanaryAge: Unknown, OldestAge: Unknown, Totals: &Totals{}}, nil
	}
	first.metrics, first.alarms, first.refusals, first.senders, first.writeKeys, first.samples = nil, nil, nil, nil, nil,
		nil
	broken := demo(outage{perMinute: 9000})
	broken.broken = map[string]bool{"Metrics": true, "Senders": true}
	broken.hanging = map[string]bool{"Now": true}
	return map[string]*fake{
		"calm":   demo(outage{perMinute: 9000}),
		"outage": demo(outage{perMinute: 9000, began: now.Add(-11 * time.Minute)}),
		"drain":  demo(outage{perMinute: 9000, began: now.Add(-42 * time.Minute), ended: now.Add(-3 * time.Minute)}),
		"first":  first,
		"broken": broken,
		"long":   hostileFake(strings.Repeat("unbroken", 60)),
	}
}

// serveDemos serves each of the demos at a port of its own until the process ends.
func serveDemos(address string) error {
	failed := make(chan error)
	for name, f := range demos() {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		c := New(Config{Source: f})
		go c.Run(context.Background())
		fmt.Printf("%s http://%s/\n", name, l.Addr())
		go func() {
			s := &http.Server{Handler: c, ReadHeaderTimeout: time.Second}
			failed <- s.Serve(l)
		}()
	}
	return <-failed
}
