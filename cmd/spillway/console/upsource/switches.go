package upsource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/cmd/spillway/sender"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/event"
)

const (
	// madeUpKey is the write key of made-up events, so that nobody takes them for his own, and
	// madeUpName is what the page calls it.
	madeUpKey, madeUpName = "made-up-events", "made-up events"
	// outage is how long the emulator is away: long enough to see the breaker open and probe, and
	// short enough to wait for the end.
	outage = 2 * time.Minute
	// throttledFor is the Retry-After of the mode 429.
	throttledFor = 10 * time.Second
	// batch is how many made-up events a request has: about 110 KB, as an SDK sends them.
	batch = 100
	// sendTimeout is how long a request with made-up events may take.
	sendTimeout = 10 * time.Second
	// maxAnswer is how many bytes of ingest's answer are read.
	maxAnswer = 1 << 10
)

var madeUpKeyID = event.KeyID(madeUpKey)

// The IDs of the modes.
const (
	modeWell      = "well"
	modeSlow      = "slow"
	modeThrottled = "429"
	modeFailing   = "503"
	modeHanging   = "hanging"
	modeRejecting = "rejects-one"
	modeAway      = "away"
)

// switches are those of the Segment emulator of a pipeline.
type switches struct {
	pipeline *local.Pipeline
	segment  *segmentd.Server
	client   *http.Client

	sending sync.Mutex // locked while events are being sent

	mu       sync.Mutex
	rejected string // the messageId that modeRejecting rejects
}

func newSwitches(p *local.Pipeline) *switches {
	return &switches{pipeline: p, segment: p.Segmentd(), rejected: newRejected(),
		client: &http.Client{Transport: &http.Transport{}}} // no proxy: it is this machine
}

func newRejected() string { return "rejected-" + uuid.NewString()[:8] }

// A mode is a console.Mode with the script that makes it.
type mode struct {
	console.Mode
	rules []segmentd.Rule
}

// modes are those of the emulator, with one that rejects the event with a messageId.
func modes(rejected string) []mode {
	return []mode{
		{console.Mode{ID: modeWell, Name: "Well", Text: "It answers 200 at once."}, []segmentd.Rule{}},
		{console.Mode{ID: modeSlow, Name: "Slow", Text: "It answers after 2 s. Events are delivered, and fewer a second."},
			[]segmentd.Rule{{Latency: segmentd.Duration(2 * time.Second)}}},
		{console.Mode{ID: modeThrottled, Name: "429",
			Text: "It answers 429 with Retry-After: 10. Each write key is paused, " +
				"and its events are retried."},
			[]segmentd.Rule{{Status: http.StatusTooManyRequests, RetryAfter: segmentd.Duration(throttledFor)}}},
		{console.Mode{ID: modeFailing, Name: "503",
			Text: "It answers 503 until you change it. After five answers the circuit " +
				"breaker opens, and events wait."}, []segmentd.Rule{{Status: http.StatusServiceUnavailable}}},
		{console.Mode{ID: modeHanging, Name: "Hanging",
			Text: "It takes requests and never answers. Each costs 10 s, until the " +
				"circuit breaker opens."}, []segmentd.Rule{{Fault: segmentd.FaultHang}}},
		{console.Mode{ID: modeRejecting, Name: "Rejects one event", Text: "It answers 400 to the event with the messageId " +
			rejected + ", which the next sample events contain. That event becomes a dead letter, and the others of its batch " +
			"are delivered."},
			[]segmentd.Rule{{Match: segmentd.Match{MessageID: rejected}, Status: http.StatusBadRequest}}},
		{console.Mode{ID: modeAway, Name: "Away for 2 min",
			Text: "It resets every connection for 2 minutes, and then answers " +
				"again by itself."},
			[]segmentd.Rule{{Until: segmentd.Moment{After: outage}, Fault: segmentd.FaultReset}}},
	}
}

func (s *switches) modes() []mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return modes(s.rejected)
}

// Modes implements console.Switches.
func (s *switches) Modes() []console.Mode {
	var all []console.Mode
	for _, m := range s.modes() {
		all = append(all, m.Mode)
	}
	return all
}

// Current implements console.Switches. It asks the emulator, whose script others set too.
func (s *switches) Current() (id string, since, until time.Time) {
	script, since := s.segment.Script()
	for _, m := range s.modes() {
		if !reflect.DeepEqual(m.rules, script.Rules) {
			continue
		}
		if m.ID != modeAway {
			return m.ID, since, time.Time{}
		}
		if until = since.Add(outage); time.Now().Before(until) {
			return m.ID, since, until
		}
		return modeWell, until, time.Time{}
	}
	return "", since, time.Time{}
}

// Set implements console.Switches.
func (s *switches) Set(_ context.Context, id string) error {
	if id == modeRejecting { // an event that was rejected is not sent again
		s.mu.Lock()
		s.rejected = newRejected()
		s.mu.Unlock()
	}
	for _, m := range s.modes() {
		if m.ID == id {
			return s.segment.SetScript(segmentd.Script{Rules: m.rules})
		}
	}
	return fmt.Errorf("the Segment emulator has no mode %q: choose one of the page's", id)
}

var errSending = errors.New("sample events are being sent already: wait until they are")

// Send implements console.Switches. The events come in as those of an SDK, through the ingest
// endpoint, unless that takes only the write keys of a document: then as those of `spillway send`,
// through the queue.
func (s *switches) Send(ctx context.Context, n int) (accepted int, err error) {
	if n < 1 || n > console.MaxSend {
		return 0, fmt.Errorf("the number of sample events must be between 1 and %d, is %d", console.MaxSend, n)
	}
	if !s.sending.TryLock() {
		return 0, errSending
	}
	defer s.sending.Unlock()
	events := s.madeUp(n)
	if _, restricted := s.pipeline.Reader().WriteKeys(); restricted || s.pipeline.IngestURL == "" {
		return s.toQueue(ctx, events)
	}
	return s.toIngest(ctx, events)
}

// madeUp are n made-up events. The one in the middle is the one that is rejected, while one is.
func (s *switches) madeUp(n int) iter.Seq2[[]byte, error] {
	rejected := ""
	if mode, _, _ := s.Current(); mode == modeRejecting {
		s.mu.Lock()
		rejected = s.rejected
		s.mu.Unlock()
	}
	return func(yield func([]byte, error) bool) {
		for i := range n {
			id := ""
			if i == n/2 {
				id = rejected
			}
			if !yield(feed.MadeUp(i, id)) {
				return
			}
		}
	}
}

// toIngest sends events to the ingest endpoint, batch by batch.
func (s *switches) toIngest(ctx context.Context, events iter.Seq2[[]byte, error]) (accepted int, err error) {
	var body []byte
	waiting := 0
	post := func() error {
		err := s.post(ctx, append(body, "]}"...))
		if err == nil {
			accepted += waiting
		}
		waiting = 0
		return err
	}
	for event, err := range events {
		if err != nil {
			return accepted, err
		}
		if waiting == 0 {
			body = append(body[:0], `{"batch":[`...)
		} else {
			body = append(body, ',')
		}
		body = append(body, event...)
		if waiting++; waiting < batch {
			continue
		}
		if err := post(); err != nil {
			return accepted, err
		}
	}
	if waiting > 0 {
		err = post()
	}
	return accepted, err
}

// post sends a batch to the ingest endpoint.
func (s *switches) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.pipeline.IngestURL+"/v1/batch",
		bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth(madeUpKey, "")
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("send sample events to the ingest endpoint: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var answer struct{ Message string }
	_ = json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer) // without one the status says enough
	return errors.New(strings.TrimSuffix("the ingest endpoint answered "+response.Status+": "+answer.Message, ": "))
}

// toQueue sends events as `spillway send` does.
func (s *switches) toQueue(ctx context.Context, events iter.Seq2[[]byte, error]) (int, error) {
	names := s.pipeline.Reader().Topology().Names
	q, err := sender.New(ctx, sender.Config{QueueURL: s.pipeline.QueueURL(names.EventsQueue), WriteKey: madeUpKey,
		Sent: func(int) {}, Skipped: func(int, error) {}})
	if err != nil {
		return 0, err
	}
	defer q.Close()
	result, err := q.Send(ctx, func(yield func(feed.Line, error) bool) {
		i := 0
		for event, err := range events {
			var line feed.Line
			if err == nil {
				line, err = feed.MadeUpLine(i, event)
			}
			i++
			if !yield(line, err) || err != nil {
				return
			}
		}
	})
	return int(result.Events), err
}
