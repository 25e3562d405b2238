package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// OutcomesPath answers GET, on the port of the SQS emulator, with the outcome of each event as it
// happens: one Outcome as JSON per line, until the client or the pipeline ends. The query
// parameters event, user and outcome filter; payload=true adds the events.
const OutcomesPath = "/_spillway/outcomes"

// An Outcome is a line of OutcomesPath.
type Outcome struct {
	At        time.Time       `json:"at,omitzero"`
	Outcome   string          `json:"outcome,omitempty"` // a deliver.Disposition
	Reason    string          `json:"reason,omitempty"`
	Detail    string          `json:"detail,omitempty"`
	Type      string          `json:"type,omitempty"`
	Event     string          `json:"event,omitempty"` // its name, that of a page or screen too
	User      string          `json:"user,omitempty"`  // its userId, otherwise its anonymousId
	MessageID string          `json:"messageId,omitempty"`
	WriteKey  string          `json:"writeKey,omitempty"` // by event.KeyID
	Age       time.Duration   `json:"age,omitempty"`      // since ingest or SQS accepted it, in nanoseconds
	Receives  int             `json:"receives,omitempty"`
	Payload   json.RawMessage `json:"payload,omitempty"` // a string if it is not JSON

	// Lost is how many outcomes were left out here, on a line without other fields: delivery does
	// not wait for a client that reads too slowly.
	Lost int64 `json:"lost,omitempty"`
}

const (
	// watchAhead is how many outcomes wait for a slow watcher before it misses some.
	watchAhead = 1024
	// watchPatience is how long a watcher may read nothing before its connection is closed.
	watchPatience = 30 * time.Second
	// maxWatchers is how many may watch at the same time, since each holds up to watchAhead
	// outcomes and slows delivery down: a thousand that read nothing took 230 MB, and two thirds of
	// the speed.
	maxWatchers = 16
)

// watchers are the clients that follow the outcomes. The zero value has none.
type watchers struct {
	mu  sync.RWMutex
	all []*watcher
}

type watcher struct {
	event, user, outcome string
	payload              bool
	lines                chan Outcome
	lost                 atomic.Int64
}

// any reports whether a client follows.
func (w *watchers) any() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.all) > 0
}

// tell sends an outcome to all watchers. It drops it for those that are too slow. event is the
// event's payload.
func (w *watchers) tell(line Outcome, event []byte) {
	var payload json.RawMessage
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, to := range w.all {
		if !to.wants(&line) {
			continue
		}
		if to.payload && payload == nil {
			payload = asJSON(event)
		}
		line.Payload = nil
		if to.payload {
			line.Payload = payload
		}
		select {
		case to.lines <- line:
		default:
			to.lost.Add(1)
		}
	}
}

func (w *watcher) wants(o *Outcome) bool {
	return (w.event == "" || w.event == o.Event) && (w.user == "" || w.user == o.User) &&
		(w.outcome == "" || w.outcome == o.Outcome)
}

// describe reads an event's fields.
func (o *Outcome) describe(payload []byte) {
	s := event.Summarize(payload)
	o.Type, o.Event, o.User = s.Type, s.Name, s.User()
}

// asJSON returns a copy of a payload as JSON: a string if it is not JSON itself.
func asJSON(payload []byte) json.RawMessage {
	if rawjson.Valid(payload) {
		return slices.Clone(payload)
	}
	return rawjson.AppendQuoted(nil, strings.ToValidUTF8(string(payload), "\uFFFD"))
}

// newWatcher returns the watcher that a query describes.
func newWatcher(q url.Values) (*watcher, error) {
	w := &watcher{event: q.Get("event"), user: q.Get("user"), outcome: q.Get("outcome"),
		lines: make(chan Outcome, watchAhead)}
	outcomes := []string{deliver.Delivered.String(), deliver.Retried.String(), deliver.DeadLettered.String()}
	if w.outcome != "" && !slices.Contains(outcomes, w.outcome) {
		return nil, fmt.Errorf("unknown outcome %q (known: %s)", w.outcome, strings.Join(outcomes, ", "))
	}
	if text := q.Get("payload"); text != "" {
		var err error
		if w.payload, err = strconv.ParseBool(text); err != nil {
			return nil, fmt.Errorf("payload must be true or false, is %q", text)
		}
	}
	return w, nil
}

// add adds a watcher. It returns false if there are maxWatchers already.
func (w *watchers) add(one *watcher) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == maxWatchers {
		return false
	}
	w.all = append(w.all, one)
	return true
}

func (w *watchers) remove(one *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = slices.DeleteFunc(w.all, func(o *watcher) bool { return o == one })
}

// ServeHTTP answers with the outcomes as they happen.
func (w *watchers) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	one, err := newWatcher(r.URL.Query())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if !w.add(one) {
		http.Error(rw, fmt.Sprintf("%d clients follow the outcomes already: stop one of them", maxWatchers),
			http.StatusServiceUnavailable)
		return
	}
	defer w.remove(one)
	rw.Header().Set("Content-Type", "application/x-ndjson")
	one.follow(r.Context(), rw)
}

// follow writes the outcomes until ctx ends or the client has gone.
func (w *watcher) follow(ctx context.Context, rw http.ResponseWriter) {
	c := http.NewResponseController(rw)
	// The server's timeouts are for answers that end. Without them a failed write shows that the
	// client has gone.
	_ = c.SetReadDeadline(time.Time{})
	e := json.NewEncoder(rw)
	e.SetEscapeHTML(false)
	write := func(line Outcome) error {
		_ = c.SetWriteDeadline(time.Now().Add(watchPatience))
		return e.Encode(line)
	}
	lost := time.NewTicker(time.Second)
	defer lost.Stop()
	for {
		_ = c.SetWriteDeadline(time.Now().Add(watchPatience))
		if c.Flush() != nil {
			return
		}
		var err error
		select {
		case <-ctx.Done():
			return
		case <-lost.C:
			if n := w.lost.Swap(0); n > 0 {
				err = write(Outcome{Lost: n})
			}
		case line := <-w.lines:
			err = write(line)
			for n := len(w.lines); n > 0 && err == nil; n-- { // what waits, before the next flush
				err = write(<-w.lines)
			}
		}
		if err != nil {
			return
		}
	}
}
