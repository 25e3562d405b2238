// Package segmentd is the Segment emulator: it answers as Segment's Tracking API does, for the local
// pipeline and the tests.
//
// It exists because Segment can't be asked what it received, can't be told to fail, and answers 200
// to events that it then drops. The emulator enforces Segment's limits where Segment does (400 for
// what it can't read, 200 for nearly everything else), counts the events that Segment would reject
// later without saying so, and runs a script of faults: slow, failing, resetting, hanging. Events
// and counts are read over HTTP under /_segmentd/, or in Go.
//
// It shares no code with the client that it tests: otherwise a rule that is misread once would be
// wrong in both, and the tests would pass.
//
// Memory is bounded however long it runs: a ring holds the last events, and hashes in two
// generations recognise duplicates. A test that needs every event sets Options.OnEvent. Bodies are
// read into pooled buffers and scanned in place, because the emulator shares its processor with the
// system that it measures.
//
// # Not emulated
//
// Destinations, tracking plans, schema filters, settings and the CDN; Segment's own deduplication
// (duplicates are counted, not dropped); TLS; any limit on requests that no script sets.
package segmentd

import (
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// defaultEventLimit is the default of Options.EventLimit.
const defaultEventLimit = 1000

// Options configure a Server. The zero value works: every write key is known, and the answer is sent
// at once.
type Options struct {
	// WriteKeys are the known write keys. Events with another key are answered 200 and dropped, as
	// Segment does. If it is empty, every key is known that can be one.
	WriteKeys []string
	// Latency is added before every answer. The events are accepted before it, so a client that
	// gives up meanwhile and retries makes duplicates, as with Segment.
	Latency time.Duration
	// OnEvent is called with every event received, duplicates too, before the answer is sent. The
	// calls come one at a time, in the order of arrival; a call that blocks delays every other
	// request. It may call the Server's methods and may retain its argument.
	OnEvent func(Received)
	// EventLimit is how many of the last events Events can return: 0 means 1,000, below 0 none.
	EventLimit int
	// Wrap goes around the Server where Serve serves it; nil: nothing does.
	Wrap func(http.Handler) http.Handler
	// Bound bounds the connections that Serve takes, and returns the listener for that; nil:
	// nothing does.
	Bound func(*http.Server, net.Listener) net.Listener
}

// Received is an event that was accepted.
type Received struct {
	WriteKey string
	// Path is the request's path without a slash at the end, "/v1/batch" for example.
	Path string
	// MessageID is empty where the event's is missing or not a string. Segment would assign one.
	MessageID string
	// Raw is the event as it arrived, byte for byte.
	Raw []byte
	// At is when it arrived.
	At time.Time
	// SentAt is the batch's sentAt as it was sent, or else the event's own.
	SentAt string

	context, integrations string // the batch's, raw; Merged adds them
}

// Server emulates Segment's Tracking API as an http.Handler. It is safe for concurrent use. Make one
// with New.
type Server struct {
	latency time.Duration
	wrap    func(http.Handler) http.Handler
	bound   func(*http.Server, net.Listener) net.Listener
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
	s := &Server{latency: o.Latency, wrap: o.Wrap, bound: o.Bound, rec: newRecorder(keep, o.OnEvent)}
	if len(o.WriteKeys) > 0 {
		s.known = make(map[string]bool, len(o.WriteKeys))
		for _, k := range o.WriteKeys {
			s.known[k] = true
		}
	}
	s.bufs.New = func() any { return new(buffers) }
	return s
}

// Events returns copies of the last events that match q, oldest first; at most Options.EventLimit.
func (s *Server) Events(q Query) []Received { return s.rec.events(q) }

// Stats returns the counts since New or the last POST /_segmentd/reset.
func (s *Server) Stats() Stats { return s.rec.snapshot() }

// reset forgets every event, messageId and count. It does not change the script or the count of
// requests under way.
func (s *Server) reset() { s.rec.reset() }

// route says what a path of the Tracking API accepts: a batch, or one event of the type that the
// path names.
type route struct {
	batch bool
	typ   string
}

// routeOf returns the route of a path that Segment's SDKs call: full names, the browser's
// abbreviations, import (Ruby and Java), and /b, which the mobile SDKs call when their configured
// host has no /v1.
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

// ServeHTTP answers the Tracking API, and the requests under /_segmentd/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPrefix) {
		admin{s}.serve(w, r)
		return
	}
	s.rec.begin()
	status := 0 // of the answer; 0 if the client got no whole answer
	defer func() { s.rec.end(status) }()

	path := r.URL.Path
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if rt, ok := pixelRoute(path); ok && r.Method == http.MethodGet {
		status = s.servePixel(w, r, path, rt)
		return
	}
	rt, ok := routeOf(path)
	if !ok {
		status = answerError(w, http.StatusNotFound, "not_found",
			"unknown path: the Tracking API has POST /v1/batch, /v1/import and one path for each type, and GET /v1/pixel/track")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		status = answerError(w, http.StatusMethodNotAllowed, "method_not_allowed", "the method must be POST")
		return
	}
	status = s.serveTracking(w, r, path, rt)
}

// serveTracking reads the request, applies the script, accepts the events, waits, and answers: in
// this order, because Segment has an event long before a slow network tells the client so.
func (s *Server) serveTracking(w http.ResponseWriter, r *http.Request, path string, rt route) int {
	bufs := s.bufs.Get().(*buffers)
	status, p, refusal := s.accept(bufs, r, path, rt)
	bufs.release()
	s.bufs.Put(bufs)
	return s.answer(w, r, p, status, refusal)
}

// accept does everything that needs the request's bytes, so that their buffers are free while the
// answer waits. status is Segment's own, refusal the reason for a 400, p what the script asks for.
func (s *Server) accept(bufs *buffers, r *http.Request, path string, rt route) (status int, p plan, refusal *refusal) {
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
	if p.acceptsEvents() {
		s.rec.accept(b, s.known, path, now)
	}
	return http.StatusOK, p, nil
}

// headerKey returns the write key of the Authorization header: Bearer, or Basic with the key as the
// user name. The colon after it may be missing: Segment accepts that, net/http's BasicAuth does not.
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

// maxDuration limits the waits of a script, so that their sum can't overflow.
const maxDuration = time.Duration(math.MaxInt64 / 4)
