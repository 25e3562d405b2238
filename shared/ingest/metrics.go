package ingest

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/rollout"
)

// A Summary is the result of one request. It contains no text from its body.
type Summary struct {
	Status  int
	Code    string        // of a refusal; also of a pixel's, which is answered 200
	Message string        // of a refusal, for people
	Cause   Cause         // of a refusal
	Key     heavy.Key     // of the events; zero: not known, or nobody counts senders
	Latency time.Duration // from the arrival of the header to the answer

	Accepted int            // events that the queue has
	Omitted  map[string]int // fields that were left out of the events, by event.Omissions' names
	Rejected map[string]int // invalid events of accepted requests, by the code of their problem: they became dead letters
	// DeadLettersDropped are those of Rejected that did not, because there were too many of the write
	// key.
	DeadLettersDropped int

	GzipAbsent       bool // the header says gzip, but the body is plain: a proxy has decompressed it
	GzipUnannounced  bool // the body is gzip, but no header says so: a proxy has removed it
	GzipMangled      bool // a gateway carried a gzip body as text, which may have destroyed it
	DeadLetterErrors int  // how often dead letters could not be written
}

// Totals are the sums of summaries.
type Totals struct {
	Requests         map[int]int    // by status
	Refused          map[string]int // requests that were answered with any other 4xx or 5xx than 429, by code
	Shed             map[string]int // requests that were answered 429, by code
	Caused           [causes]int    // requests that were answered 4xx or 5xx, by the cause
	KeysRefused      int            // requests whose write key was refused, pixels too
	Accepted         int
	Rejected         map[string]int // events
	Omitted          map[string]int // fields
	GzipAbsent       int
	GzipUnannounced  int
	GzipMangled      int
	DeadLetterErrors int
	Latencies        []time.Duration // of requests with accepted events, at most the last maxLatencies
	// DeadLettersDropped are those of Rejected that became no dead letters.
	DeadLettersDropped int
}

// maxLatencies bounds a [Counters]' memory: one line of metrics holds no more.
const maxLatencies = emf.MaxValues

// Counters add up summaries: pass Add as [Config].Report. The zero value is ready for use and safe
// for concurrent use.
type Counters struct {
	mu        sync.Mutex
	totals    Totals
	latencies int // how many have been added
}

// Add adds one request.
func (c *Counters) Add(s Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.totals
	if t.Requests == nil {
		t.Requests, t.Refused, t.Shed, t.Rejected = map[int]int{}, map[string]int{}, map[string]int{}, map[string]int{}
		t.Omitted = map[string]int{}
	}
	t.Requests[s.Status]++
	t.Accepted += s.Accepted
	t.DeadLettersDropped += s.DeadLettersDropped
	t.DeadLetterErrors += s.DeadLetterErrors
	for code, n := range s.Rejected {
		t.Rejected[code] += n
	}
	for field, n := range s.Omitted {
		t.Omitted[field] += n
	}
	if s.GzipAbsent {
		t.GzipAbsent++
	}
	if s.GzipUnannounced {
		t.GzipUnannounced++
	}
	if s.GzipMangled {
		t.GzipMangled++
	}
	if s.Status >= http.StatusBadRequest {
		t.Caused[s.Cause]++
	}
	if s.Code != "" && s.Cause == CauseWriteKey {
		t.KeysRefused++
	}
	switch {
	case s.Status == 429:
		t.Shed[s.Code]++
	case s.Code != "":
		t.Refused[s.Code]++
	case s.Accepted > 0:
		if len(t.Latencies) < maxLatencies {
			t.Latencies = append(t.Latencies, s.Latency)
		} else {
			t.Latencies[c.latencies%maxLatencies] = s.Latency // replaces the oldest
		}
		c.latencies++
	}
}

// Totals returns the sums so far.
func (c *Counters) Totals() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.totals
	t.Requests, t.Refused, t.Shed, t.Rejected = maps.Clone(t.Requests), maps.Clone(t.Refused), maps.Clone(t.Shed),
		maps.Clone(t.Rejected)
	t.Omitted = maps.Clone(t.Omitted)
	t.Latencies = append([]time.Duration(nil), t.Latencies...)
	return t
}

// Take returns the sums since the last Take and resets them.
func (c *Counters) Take() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.totals
	c.totals, c.latencies = Totals{}, 0
	return t
}

// Metrics returns the totals as CloudWatch metrics.
func (t *Totals) Metrics() []emf.Metric {
	one := func(name string, n int) emf.Metric {
		return emf.Metric{Name: name, Unit: emf.Count, Values: []float64{float64(n)}}
	}
	latency := emf.Metric{Name: "AcceptLatency", Unit: emf.Milliseconds}
	for _, l := range t.Latencies {
		latency.Values = append(latency.Values, float64(l)/float64(time.Millisecond))
	}
	accepted := one("EventsAccepted", t.Accepted)
	accepted.ByVersion = true
	metrics := []emf.Metric{accepted, latency}
	// A metric costs money for each hour in which it is written, and so would a dimension for codes:
	// the four classes are enough for alarms, and the log has the codes.
	over := quotaRefusal(0).code
	failures := emf.Sum(t.Refused) - t.Refused[over] + emf.Sum(t.Shed) - t.Shed[over]
	for _, m := range []struct {
		name      string
		n         int
		byVersion bool
	}{
		{name: "DeadLetterErrors", n: t.DeadLetterErrors}, {name: "DeadLettersDropped", n: t.DeadLettersDropped},
		{name: "GzipAbsent", n: t.GzipAbsent}, {name: "GzipUnannounced", n: t.GzipUnannounced},
		{name: "GzipMangled", n: t.GzipMangled},
		{name: "RequestsRefused", n: t.Caused[CauseRequest] + t.Caused[CauseWriteKey] + t.Caused[CauseQuota]},
		{name: "WriteKeysRefused", n: t.KeysRefused},
		{name: "QuotaExceeded", n: t.Caused[CauseQuota]},
		{name: "RequestsShed", n: t.Caused[CauseService]},
		{rollout.FailuresMetric, failures, true}, {rollout.DeadLettersMetric, emf.Sum(t.Rejected), true},
		{rollout.PanicsMetric, t.Refused[refusalInternal.code], true},
	} {
		if m.n > 0 {
			metrics = append(metrics, one(m.name, m.n))
			metrics[len(metrics)-1].ByVersion = m.byVersion
		}
	}
	metrics = append(metrics, emf.By("EventsRejected", "Code", t.Rejected)...)
	return append(metrics, emf.By("FieldsOmitted", "Field", t.Omitted)...)
}

// Codes are the codes of refusals with their numbers, which the log line of the metrics has as the
// property of this name; nil: there are none.
func (t *Totals) Codes() any {
	if len(t.Refused)+len(t.Shed) == 0 {
		return nil
	}
	codes := map[string]int{}
	maps.Copy(codes, t.Refused)
	for code, n := range t.Shed {
		codes[code] += n
	}
	return codes
}
