package local

import (
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
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// OutcomesPath answers GET, on the port of the SQS endpoint, with what becomes of each event while
// it happens: an Outcome a line, as JSON, until one of the two ends. The query may have event, user
// and outcome, to see fewer, and payload=true, to see the events.
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
	WriteKey  string          `json:"writeKey,omitempty"` // by deliver.KeyID
	Age       time.Duration   `json:"age,omitempty"`      // since it came in, in nanoseconds
	Receives  int             `json:"receives,omitempty"`
	Payload   json.RawMessage `json:"payload,omitempty"` // a string where it is no JSON

	// Lost alone is on a line that stands for so many others: the watcher was slower than delivery,
	// which waits for nobody.
	Lost int64 `json:"lost,omitempty"`
}

const (
	// watchAhead is how many outcomes a watcher may be behind; what comes then is lost to it.
	watchAhead = 1024
	// watchPatience is how long a watcher may take nothing at all before it is taken to be gone.
	watchPatience = 30 * time.Second
	// maxWatchers is how many may watch at the same time: each holds up to watchAhead outcomes. A
	// thousand that read nothing took 230 MB and, for the work of telling each, two thirds of the
	// speed of sending.
	maxWatchers = 16
)

// watchers are those who look at the outcomes at the moment. The zero value has none.
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

// observer is a deliver.Config.Observer.
func (w *watchers) observer() func(deliver.Observation) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.all) == 0 {
		return nil
	}
	return w.tell
}

// tell waits for nobody.
func (w *watchers) tell(o deliver.Observation) {
	line := Outcome{
		At: time.Now(), Outcome: o.Disposition.String(), Reason: o.Reason, Detail: o.Detail, MessageID: o.MessageID,
		WriteKey: deliver.KeyID(o.WriteKey), Age: o.Age, Receives: o.Receives,
	}
	line.describe(o.Event)
	var payload json.RawMessage
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, to := range w.all {
		if !to.wants(&line) {
			continue
		}
		if to.payload && payload == nil {
			payload = asJSON(o.Event)
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

// describe takes from an event what names it. On duplicate keys the last one counts, as it does for
// Segment.
func (o *Outcome) describe(event []byte) {
	if !rawjson.IsObject(event) {
		return
	}
	var s rawjson.Scanner
	var name, anonymous string
	s.Reset(event)
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			break
		}
		into := (*string)(nil)
		switch string(key) {
		case "type":
			into = &o.Type
		case "event":
			into = &o.Event
		case "name":
			into = &name
		case "userId":
			into = &o.User
		case "anonymousId":
			into = &anonymous
		}
		if value := s.Value(); into != nil && !rawjson.IsNull(value) {
			*into = string(value)
			if rawjson.IsString(value) {
				*into = string(rawjson.Unquote(nil, value))
			}
		}
	}
	if o.Event == "" && (o.Type == "page" || o.Type == "screen") {
		o.Event = name
	}
	if o.User == "" {
		o.User = anonymous
	}
}

// asJSON copies a payload, as a string where it is no JSON.
func asJSON(payload []byte) json.RawMessage {
	if rawjson.Valid(payload) {
		return slices.Clone(payload)
	}
	return rawjson.AppendQuoted(nil, strings.ToValidUTF8(string(payload), "\uFFFD"))
}

// newWatcher reads what is to be seen.
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
			return nil, fmt.Errorf("payload is %q: write true or false", text)
		}
	}
	return w, nil
}

// add is false when there are as many as may be.
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

func (w *watchers) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	one, err := newWatcher(r.URL.Query())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if !w.add(one) {
		http.Error(rw, fmt.Sprintf("%d watch already: end one of them", maxWatchers), http.StatusServiceUnavailable)
		return
	}
	defer w.remove(one)
	c := http.NewResponseController(rw)
	// The server's time-outs are for answers that end. Without them a client that has gone is seen
	// by the failed write.
	_ = c.SetReadDeadline(time.Time{})
	rw.Header().Set("Content-Type", "application/x-ndjson")
	e := json.NewEncoder(rw)
	e.SetEscapeHTML(false)
	lost := time.NewTicker(time.Second)
	defer lost.Stop()
	for {
		_ = c.SetWriteDeadline(time.Now().Add(watchPatience))
		if c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-lost.C:
			if n := one.lost.Swap(0); n > 0 && e.Encode(Outcome{Lost: n}) != nil {
				return
			}
		case line := <-one.lines:
			for more := true; more; {
				_ = c.SetWriteDeadline(time.Now().Add(watchPatience))
				if e.Encode(line) != nil {
					return
				}
				select {
				case line = <-one.lines:
				default:
					more = false
				}
			}
		}
	}
}
