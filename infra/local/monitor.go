package local

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// metricsRetention is how long the metrics can be looked at. They take 7 to 20 MB, see
// cloudwatch.NewStore.
const metricsRetention = 24 * time.Hour

// An Alarm is how an alarm of the deployment stands, evaluated on this machine as CloudWatch does
// it.
type Alarm struct {
	Name      string            `json:"name"`
	Severity  topology.Severity `json:"severity"`
	Composite bool              `json:"composite"`
	State     cloudwatch.State  `json:"state"`
	Since     time.Time         `json:"since,omitzero"` // of the last change; zero: there was none
	Reason    string            `json:"reason"`
	// Notified: on AWS somebody was told. A part of a composite never tells anybody.
	Notified     bool   `json:"notified"`
	SuppressedBy string `json:"suppressedBy,omitempty"` // what holds back a composite's notification
	Text         string `json:"text"`                   // what it means, what to do first, and where to read more
	// Coming is how many of the breaching values that it needs to fire there are already; 0 while it
	// fires, and while the latest value does not breach.
	Coming int `json:"coming,omitempty"`
}

// Fires reports whether the alarm is in the state ALARM.
func (a *Alarm) Fires() bool { return a.State == cloudwatch.Alarm }

// An AlarmChange is the change of an alarm's state.
type AlarmChange struct {
	cloudwatch.Change
	After time.Duration // how long the state before was; 0: not known
	Text  string        // see Alarm
}

// Begins reports whether the alarm has begun to fire, and Ends whether it has ended. Other changes
// are that the first data is there.
func (c *AlarmChange) Begins() bool { return c.To == cloudwatch.Alarm && c.From != c.To }

// Ends is the opposite of Begins.
func (c *AlarmChange) Ends() bool { return c.From == cloudwatch.Alarm && c.From != c.To }

// A monitor is what CloudWatch is to a deployment: it has the metrics of every part, and evaluates
// the deployment's own alarms each minute, with the delays of a normal day.
type monitor struct {
	store     *cloudwatch.Store
	evaluator *cloudwatch.Evaluator
	texts     map[string]string // by alarm
	endpoint  feed.Endpoint
	queues    []*feed.Queue
	function  string
	// concurrent is how many invocations of function are under way.
	concurrent func() int64
	evaluates  bool // otherwise it only has the metrics
	firings    firings
	coming     atomic.Pointer[map[string]int] // of the last minute, see cloudwatch.Evaluator.Coming
	eachMinute func(time.Time)                // called at the end of each, before the evaluation; nil: nothing is
	evaluated  func()                         // called at the end of each minute, after the evaluation; nil: nothing is
	onChange   func(AlarmChange)
	logger     *slog.Logger
}

// A Firing is a time in which an alarm fired; To is zero while it does.
type Firing struct{ From, To time.Time }

// maxFirings is how many times an alarm is remembered to have fired: one that changes every five
// minutes, for a day.
const maxFirings = 300

// firings are when each alarm fired since the start, by its name; at most the last maxFirings. It
// is safe for concurrent use.
type firings struct {
	mu sync.Mutex
	of map[string][]Firing
}

func (f *firings) record(c *cloudwatch.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.of[c.Alarm]
	switch last := len(all) - 1; {
	case c.From == c.To:
		return
	case c.To == cloudwatch.Alarm:
		all = append(all, Firing{From: c.At})
	case c.From == cloudwatch.Alarm && last >= 0:
		all[last].To = c.At
	}
	if f.of == nil {
		f.of = map[string][]Firing{}
	}
	f.of[c.Alarm] = all[max(0, len(all)-maxFirings):]
}

// since returns those that lasted after a time, oldest first.
func (f *firings) since(alarm string, at time.Time) []Firing {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Firing
	for _, one := range f.of[alarm] {
		if one.To.IsZero() || one.To.After(at) {
			found = append(found, one)
		}
	}
	return found
}

func newMonitor(t *topology.Topology, logger *slog.Logger, onChange func(AlarmChange)) (*monitor, error) {
	m := &monitor{store: cloudwatch.NewStore(metricsRetention), texts: map[string]string{},
		evaluates: true, function: t.Names.DeliverFunction, concurrent: func() int64 { return 0 }, onChange: onChange,
		logger: logger}
	var err error
	if m.evaluator, err = cloudwatch.New(t, m.store, cloudwatch.Typical()); err != nil {
		return nil, err
	}
	for i := range t.Alarms {
		m.texts[t.Alarms[i].Name] = t.Alarms[i].Description()
	}
	for i := range t.Composites {
		m.texts[t.Composites[i].Name] = t.Composites[i].Description()
	}
	return m, nil
}

// watch adds queues.
func (m *monitor) watch(queues ...*sqs.Queue) {
	for _, q := range queues {
		m.queues = append(m.queues, feed.NewQueue(m.store.Put, q))
	}
}

// requested counts a request to the ingest endpoint.
func (m *monitor) requested(s ingest.Summary) { m.endpoint.Answered(s.Status, s.Latency) }

// invoked counts an invocation of the deliver function.
func (m *monitor) invoked(i lambda.Invoked) { feed.Invoked(m.store.Put, m.function, i) }

// tee returns a writer of metrics to w, which the monitor reads too.
func (m *monitor) tee(w io.Writer) io.Writer { return &metricsTee{w, m} }

type metricsTee struct {
	io.Writer
	m *monitor
}

// Write takes one line, as emf.Writer writes it.
func (t *metricsTee) Write(line []byte) (int, error) {
	if err := t.m.store.PutEMF(line); err != nil {
		t.m.logger.Warn("metrics can't be read", "error", err)
	}
	return t.Writer.Write(line)
}

// run samples and evaluates at the end of each minute, until ctx ends.
func (m *monitor) run(ctx context.Context) {
	for {
		end := time.Now().Truncate(time.Minute).Add(time.Minute)
		timer := time.NewTimer(time.Until(end))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		m.minute(ctx, end)
	}
}

// minute does what is due at the end of a minute. It may be late, on a machine that has slept: all
// metrics of that time are missing, which no alarm takes for silence.
func (m *monitor) minute(ctx context.Context, end time.Time) {
	m.sample(end.Add(-time.Minute))
	if m.eachMinute != nil {
		m.eachMinute(end)
	}
	if m.evaluated != nil {
		defer m.evaluated()
	}
	if !m.evaluates {
		return
	}
	changes := m.evaluate(end)
	coming := m.evaluator.Coming(end)
	m.coming.Store(&coming)
	for _, c := range changes {
		m.logger.WarnContext(ctx, "an alarm has changed", "alarm", c.Alarm, "state", c.To, "was", c.From,
			"reason", c.Reason, "notified", c.Notified)
		if m.onChange != nil {
			m.onChange(c)
		}
	}
}

// sample writes what the emulators know of the minute that has just ended.
func (m *monitor) sample(minute time.Time) {
	for _, q := range m.queues {
		q.Sample(minute)
	}
	m.endpoint.Sample(m.store.Put, minute)
	feed.Concurrent(m.store.Put, m.function, minute, m.concurrent())
}

// evaluate returns the changes that concern people.
func (m *monitor) evaluate(now time.Time) []AlarmChange {
	since := map[string]time.Time{}
	for _, s := range m.evaluator.States() {
		since[s.Name] = s.Since
	}
	var changes []AlarmChange
	for _, change := range m.evaluator.Evaluate(now) {
		m.firings.record(&change)
		c := AlarmChange{Change: change, Text: m.texts[change.Alarm]}
		if before := since[c.Alarm]; !before.IsZero() {
			c.After = now.Sub(before)
		}
		if c.Begins() || c.Ends() || c.Notified {
			changes = append(changes, c)
		}
	}
	return changes
}

// alarms are how all alarms stand.
func (m *monitor) alarms() []Alarm {
	states := m.evaluator.States()
	var coming map[string]int
	if p := m.coming.Load(); p != nil {
		coming = *p
	}
	alarms := make([]Alarm, len(states))
	for i, s := range states {
		alarms[i] = Alarm{Name: s.Name, Severity: s.Severity, Composite: s.Composite, State: s.State, Since: s.Since,
			Reason: s.Reason, Notified: s.Notified, SuppressedBy: s.SuppressedBy, Text: m.texts[s.Name],
			Coming: coming[s.Name]}
	}
	return alarms
}
