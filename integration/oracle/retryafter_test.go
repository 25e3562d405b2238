package oracle

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
)

// calls records when Segment is called.
type calls struct {
	http.RoundTripper
	mu sync.Mutex
	at []time.Time
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.at = append(c.at, time.Now())
	c.mu.Unlock()
	return c.RoundTripper.RoundTrip(r)
}

// A wrong unit neither loses nor changes an event, so that only its time of arrival tells.
func TestSegmentIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	for name, c := range map[string]struct {
		rule     segmentd.Rule
		from, to time.Duration // until the second call
	}{
		"429, 10 s": {segmentd.Rule{Status: 429, RetryAfter: segmentd.Duration(10 * time.Second)}, 9 * time.Second,
			15 * time.Second},
		"429, 4 min": {segmentd.Rule{Status: 429, RetryAfter: segmentd.Duration(4 * time.Minute)}, 216 * time.Second,
			5 * time.Minute},
		"429, a date": {segmentd.Rule{Status: 429, RetryAfter: segmentd.Duration(2 * time.Minute), RetryAfterDate: true},
			107 * time.Second, 150 * time.Second},
		"429, two hours are too long": {segmentd.Rule{Status: 429, RetryAfter: segmentd.Duration(2 * time.Hour)},
			13 * time.Minute, 17 * time.Minute},
		"429 without": {segmentd.Rule{Status: 429}, 27 * time.Second, 40 * time.Second},
		"503, 2 min": {segmentd.Rule{Status: 503, RetryAfter: segmentd.Duration(2 * time.Minute)}, 108 * time.Second,
			150 * time.Second},
		"401": {segmentd.Rule{Status: 401}, 27 * time.Second, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, segment := newLedger(), &calls{}
				w := start(t, parts{
					arrive: l.arrive, handler: realHandler,
					queue:        (*world).feed,
					environments: func(f lambda.EnvironmentFactory) lambda.EnvironmentFactory { return f },
					transport:    func(inner http.RoundTripper) http.RoundTripper { return inner },
					toSegment: func(inner http.RoundTripper) http.RoundTripper {
						segment.RoundTripper = inner
						return segment
					},
				})
				defer w.end(t)
				c.rule.Times = 1
				if err := w.Segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{c.rule}}); err != nil {
					t.Fatal(err)
				}
				i := &issuer{client: w.client, queueURL: queueURL(topology.DefaultNames().EventsQueue), plan: &plan{}, ledger: l}
				e := i.small()
				_, _, err := i.send(t.Context(), `{"batch":[`+e.bytes(e.id, ownTimestamp(&e))+`]}`, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				if !w.Drained(time.Hour) {
					t.Fatalf("it is not delivered: the queue holds %+v", w.Events().Stats())
				}
				if len(segment.at) != 2 || len(l.arrived[e.id]) != 1 {
					t.Fatalf("Segment was called at %v and has the event %d times", segment.at, len(l.arrived[e.id]))
				}
				if d := segment.at[1].Sub(segment.at[0]); d < c.from || d > c.to {
					t.Errorf("Segment was called again after %v, want %v to %v", d, c.from, c.to)
				}
			})
		})
	}
}
