// Package segmentd is a stand-in for Segment's Tracking API: the far end of the local pipeline and
// of the tests.
//
// It exists because Segment itself can't be asked what it got, can't be told to fail, and answers
// 200 to events that it then drops. The stand-in enforces Segment's limits where Segment does (400
// for what it can't read, 200 for nearly everything else), counts what Segment would reject later
// without saying so, and can be scripted while it runs: slow, failing, away, resetting, hanging. It
// can be asked what arrived, over HTTP under /_segmentd/ or in Go.
//
// It shares no code with the client that it judges: a rule misread in one place would otherwise be
// misread in both, and the tests would agree with the mistake.
//
// Memory is bounded however long it runs: the last events are kept in a ring, and duplicates are
// recognised by hashes in two generations. A test that wants every event takes Options.OnEvent.
// Bodies are read into pooled buffers and scanned in place, because the stand-in shares its
// processor with the system that it measures.
package segmentd

import (
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultKeep is how many events a Server keeps for Events when Options.Keep is 0.
const defaultEventLimit = 1000

// Options configure a Server. The zero value works: every write key is known, and answers come at
// once.
type Options struct {
	// WriteKeys are the known write keys. Events with any other key are answered 200 and dropped,
	// as Segment does. Empty: every key is known.
	WriteKeys []string
	// Latency is added before every answer. The events are taken before it, so a client that gives
	// up meanwhile and tries again makes duplicates, as with Segment.
	Latency time.Duration
	// OnEvent is called with every event received, duplicates too, before the answer is sent. Calls
	// are made one at a time, in the order of arrival; a call that blocks holds up every other
	// request. It may call the Server's methods, and may keep what it is given.
	OnEvent func(Received)
	// Keep is how many of the last events Events can return: 0 means DefaultKeep, below 0 none.
	EventLimit int
}

// Received is an event that was accepted.
type Received struct {
	WriteKey string
	// Path is the request's path without a slash at the end, "/v1/batch" for example.
	Path string
	// MessageID is empty where the event has none that is a string. Segment would assign one.
	MessageID string
	// Raw is the event as it arrived, byte for byte.
	Raw []byte
	// At is when it arrived.
	At time.Time
	// SentAt is the batch's sentAt as it stands there, or else the event's own.
	SentAt string

	context, integrations string // the batch's, raw; merged on demand
}

// Server is the stand-in. It is an http.Handler, and all of its methods may be called concurrently.
// Make one with New.
type Server struct {
	latency time.Duration
	known   map[string]bool
	rec     *recorder
	script  atomic.Pointer[activeScript]
	bufs    sync.Pool // of *buffers
}

// New returns a Server that behaves normally until SetScript says otherwise. It starts no goroutine
// and needs no Close.
func New(o Options) *Server {
	keep := o.EventLimit
	switch {
	case keep == 0:
		keep = defaultEventLimit
	case keep < 0:
		keep = 0
	}
	s := &Server{latency: o.Latency, rec: newRecorder(keep, o.OnEvent)}
	if len(o.WriteKeys) > 0 {
		s.known = make(map[string]bool, len(o.WriteKeys))
		for _, k := range o.WriteKeys {
			s.known[k] = true
		}
	}
	s.bufs.New = func() any { return new(buffers) }
	return s
}

// Events returns the last events that match q, oldest first.
func (s *Server) Events(q Query) []Received { return s.rec.events(q) }

// Stats returns what was counted since New or the last Reset.
func (s *Server) Stats() Stats { return s.rec.snapshot() }

// Reset forgets every event, messageId and count. The script stays, and requests under way are
// counted on.
func (s *Server) reset() { s.rec.reset() }

// route is what a path of the Tracking API takes: a batch, or one event of a type that the path
// names.
type route struct {
	batch bool
	typ   string
}

// routeOf knows the paths that Segment's SDKs call: full names, the browser's first letters, Ruby's
// and Java's import, and /b bare, which the mobile SDKs make when they are configured with a host
// that has no /v1.
func routeOf(path string) (route, bool) {
	switch path {
	case "/v1/batch", "/v1/b", "/v1/import", "/b":
		return route{batch: true}, true
	case "/v1/track", "/v1/t":
		return route{typ: "track"}, true
	case "/v1/identify", "/v1/i":
		return route{typ: "identify"}, true
	case "/v1/page", "/v1/p":
		return route{typ: "page"}, true
	case "/v1/screen", "/v1/s":
		return route{typ: "screen"}, true
	case "/v1/group", "/v1/g":
		return route{typ: "group"}, true
	case "/v1/alias", "/v1/a":
		return route{typ: "alias"}, true
	}
	return route{}, false
}

// ServeHTTP answers the Tracking API, and the questions under /_segmentd/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPrefix) {
		s.serveAdmin(w, r)
		return
	}
	s.rec.begin()
	status := 0 // what the client was told; 0 where it was told nothing
	defer func() { s.rec.end(status) }()

	path := r.URL.Path
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	rt, ok := routeOf(path)
	if !ok {
		status = answerError(w, http.StatusNotFound, "not_found",
			"no such path: the Tracking API has POST /v1/batch, /v1/import and one path for each type")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		status = answerError(w, http.StatusMethodNotAllowed, "method_not_allowed", "use POST")
		return
	}
	status = s.serveTracking(w, r, path, rt)
}

// serveTracking reads the request, lets the script decide, takes the events, waits, answers: in
// this order, because Segment has an event long before a slow network tells the client so.
func (s *Server) serveTracking(w http.ResponseWriter, r *http.Request, path string, rt route) int {
	bufs := s.bufs.Get().(*buffers)
	status, p, refusal := s.take(bufs, r, path, rt)
	bufs.release()
	s.bufs.Put(bufs)
	return s.answer(w, r, p, status, refusal)
}

// take does everything that needs the request's bytes, so that their buffers are free again while
// the answer waits. The status is Segment's own; refusal explains a 400, and p is the script's
// wish.
func (s *Server) take(bufs *buffers, r *http.Request, path string, rt route) (status int, p plan, refusal *refusal) {
	now := time.Now()
	body, wire, refusal := bufs.read(r, rt)
	s.rec.bytes(wire, len(body))
	b := &bufs.batch
	if refusal == nil {
		refusal = b.parse(body, rt)
	}
	if key := headerKey(r); key != "" {
		b.writeKey = key
	}
	if active := s.script.Load(); active != nil {
		p = active.decide(now, path, b)
	}
	if refusal != nil {
		if !p.overrules() {
			s.rec.refused(refusal.code)
		}
		return http.StatusBadRequest, p, refusal
	}
	if p.takesEvents() {
		s.rec.take(b, s.known, path, now)
	}
	return http.StatusOK, p, nil
}

// headerKey returns the write key of the Authorization header: Bearer, or Basic with the key as the
// user name. The colon after it may be missing; Segment tolerates that, and net/http's BasicAuth
// does not.
func headerKey(r *http.Request) string {
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok {
		return ""
	}
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return value
	case strings.EqualFold(scheme, "Basic"):
		user, _, _ := strings.Cut(decodeBase64(value), ":")
		return user
	}
	return ""
}

// maxDuration bounds the waits of a script, so that sums of them can't overflow.
const maxDuration = time.Duration(math.MaxInt64 / 4)
