package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spillwayhq/spillway/shared/clientaddr"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// maxUserAgent is how many bytes of a User-Agent are added to events. Browsers send up to 400.
const maxUserAgent = 512

// ServeHTTP implements http.Handler. The server bounds how long a client may take for its body
// (http.Server's ReadTimeout); everything else is bounded here.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rt := routeOf(r.URL.Path, h.config.PathPrefix)
	allowOrigin(w.Header(), r)
	var s Summary
	a := h.handle(w.Header(), r, rt, start, &s)
	s.Status, s.Latency = a.status, time.Since(start)
	h.config.Report(s)
	a.write(w)
}

// handle processes a request. It sets all headers of the answer except those of its body.
func (h *Handler) handle(header http.Header, r *http.Request, rt route, start time.Time, s *Summary) (a answer) {
	defer func() {
		// A bug that one request meets must not end the others.
		if p := recover(); p != nil {
			logPanic(r.Context(), h.config.Logger, p)
			*s = Summary{}
			a = refuse(header, r, rt, refusalInternal, s)
		}
	}()
	switch {
	case r.Method == http.MethodOptions && (rt.kind != routeUnknown || r.Header["Origin"] != nil):
		// A page that uses a wrong path can read the 404 only if the preflight lets it through.
		setOptions(header, r, rt)
		return answer{status: http.StatusNoContent}
	case rt.kind == routeUnknown:
		return refuse(header, r, rt, refusalNotFound, s)
	case !rt.allows(r.Method):
		header.Set("Allow", rt.methods())
		return refuse(header, r, rt, refusalMethod, s)
	}
	a = success
	var refused *refusal
	switch rt.kind {
	case routeEvent, routeBatch:
		refused = h.accept(r, rt, start, s)
	case routePixel:
		a = pixel(header)
		if r.Method == http.MethodGet {
			if refused = h.accept(r, rt, start, s); refused != nil {
				h.pixels.add(r.Context(), h.config.Logger, start, refused.code)
			}
		}
	case routeHealth:
		a, refused = h.healthy(start)
	case routeSettings:
		// Without settings the browser SDK does not start, and loses what happens on the page; with
		// them it sends, and retries while the set is unread.
		_, refused = lookup(h.config.Keys, rt.key)
		if refused == nil || refused == refusalKeys {
			a, refused = settings(header, r, rt, &h.config, refused == nil), nil
		} else {
			refused = refusalNotFound
		}
	}
	if refused != nil {
		return refuse(header, r, rt, refused, s)
	}
	return a
}

// accept sends the events of a request. It returns nil only if the queue has every valid event and
// the dead-letter queue every invalid one.
func (h *Handler) accept(r *http.Request, rt route, start time.Time, s *Summary) (refused *refusal) {
	if refused = h.inFlight.refuse(); refused != nil {
		s.Key = h.countUnread(r, refused)
		return refused
	}
	q := h.pool.get()
	q.budget = &h.memory
	panicked := true
	defer func() {
		q.arrived()
		h.memory.take(-q.reserved)
		if q.inFlight {
			h.inFlight.leave()
		}
		if !panicked { // otherwise something may still use the buffers
			if refused != nil {
				// The next request counts what it gets here, before anything of its body has come:
				// those who do not finish large bodies would leave theirs to each other, outside of
				// what may arrive.
				q.raw, q.unpacked = nil, nil
			}
			q.reset()
			h.pool.put(q)
		}
	}()
	refused = h.process(q, r, rt, start)
	key := q.sender.key
	if q.sender.known {
		h.count(q, refused)
	} else {
		key = h.countUnread(r, refused)
	}
	*s, panicked = q.summary, false
	s.Key = key
	return refused
}

// process takes a request through its phases: read, decode, look up the write key, partition,
// commit.
func (h *Handler) process(q *request, r *http.Request, rt route, start time.Time) *refusal {
	body, refused := h.read(q, r, rt, start)
	if refused != nil {
		return refused
	}
	if refused = q.content.parse(body, rt); refused != nil {
		return refused
	}
	if q.queryKey != "" {
		if _, ok := bodyKey(q.content.writeKey); !ok {
			q.content.writeKey = rawjson.AppendQuoted(nil, q.queryKey)
		}
	}
	writeKey, key, refused := findKey(h.config.Keys, r.Header, q.content.writeKey)
	q.sender = sender{known: true, canary: h.isCanary(writeKey), key: h.counted(writeKey, &key)}
	if refused != nil {
		return refused
	}
	q.leaveRoom(writeKey)
	q.enrichment = h.enrichment(&q.content, r, rt, start, writeKey)
	if !q.reserve(len(body)) { // enriched, the events are about as large
		return refusalOverloaded
	}
	// Who sends a pixel does not see a refusal, so that its event would be gone.
	if refused = q.partition(); refused != nil && !(rt.kind == routePixel && len(q.invalid) > 0) {
		return refused
	}
	if !q.reserve(sendCost * len(q.enriched)) {
		return refusalOverloaded
	}
	return h.commit(r.Context(), q, &key)
}

// read reads the body of a request, or the data of a pixel.
func (h *Handler) read(q *request, r *http.Request, rt route, start time.Time) (body []byte, refused *refusal) {
	if h.config.Queue.Refusing(start) {
		h.committer.sends.noteFailure(start)
		return nil, refusalQueue
	}
	if !q.reserve(0) {
		return nil, refusalOverloaded
	}
	limit := h.config.Limits.MaxBody
	if rt.kind == routePixel {
		body, refused = q.readPixel(r.URL.RawQuery, limit)
	} else {
		h.expect(q, r, start)
		body, refused = q.readBody(r, limit)
	}
	if refused != nil {
		return nil, refused
	}
	// Only now: a client that announces a body and does not send it must not take the place of one
	// that does.
	refused = h.inFlight.enter()
	q.inFlight = refused == nil
	return body, refused
}

// expect says that a request's body is about to arrive.
func (h *Handler) expect(q *request, r *http.Request, start time.Time) {
	q.expected = &h.arrivals
	q.arrival = arrival{client: clientaddr.Of(h.config.ClientIP(r)), since: start}
	q.arrival.cutter, _ = r.Body.(cutter)
	if auth := r.Header["Authorization"]; len(auth) > 0 {
		q.arrival.authorization = auth[0]
	}
}

// namesKnownKey reports whether an Authorization header names an accepted write key of a set.
func (h *Handler) namesKnownKey(authorization string) bool {
	key, _, ok := headerKey(authorization)
	if !ok || h.config.Keys == nil {
		return false
	}
	_, refused := lookup(h.config.Keys, key)
	return refused == nil
}

// lookup returns what is known of the request's write key, or a refusal if the key is not accepted.
func lookup(keys KeySet, writeKey string) (Key, *refusal) {
	if !event.ValidWriteKey(writeKey) {
		return Key{}, refusalWriteKey
	}
	if keys == nil {
		return Key{}, nil
	}
	state := keys.State() // first: the set may be read at any moment
	key, ok := keys.Lookup(writeKey)
	switch {
	case !ok && state == KeysUnread:
		return Key{}, refusalKeys
	case !ok:
		return Key{}, refusalWriteKey
	case key.Disabled:
		return key, refusalDisabled
	}
	return key, nil
}

// enrichment returns what the request adds to its events.
func (h *Handler) enrichment(c *content, r *http.Request, rt route, start time.Time, writeKey string) event.Enrichment {
	e := event.Enrichment{
		PathType: rt.event, ReceivedAt: start, SentAt: c.sentAt, WriteKey: writeKey, Client: rt.client,
		// AMP names its SDK, but not the browser.
		AnyUserAgent: rt.kind == routePixel,
		Shared:       event.ScanContext(c.context), AppendID: appendID,
	}
	if addr := h.config.ClientIP(r); addr.IsValid() {
		e.IP = addr.String()
	}
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		e.UserAgent = agent[0][:min(len(agent[0]), maxUserAgent)]
	}
	return e
}

// commit counts the events against the write key's quota and sends them.
func (h *Handler) commit(ctx context.Context, q *request, key *Key) *refusal {
	n := len(q.content.events)
	wait, ok := h.quotas.take(key, n)
	if !ok {
		return quotaRefusal(wait)
	}
	refused := h.send(ctx, q, key)
	if refused != nil {
		h.quotas.refund(key, n)
	}
	return refused
}

// send writes the dead letters and then the valid events. The order matters: after a 429 the SDK
// retries. If the queue already had the valid events, it would have them twice, with different
// messageIds where ingest made these up. Dead letters that are written twice have the same ID, and
// are recognised unless ingest made up their messageIds.
func (h *Handler) send(ctx context.Context, q *request, key *Key) *refusal {
	if len(q.invalid) > 0 {
		p := rejectedPart{deadLetters: q.deadLetters(), keyName: key.Name}
		if h.deadLetters.submit(ctx, &p) != nil {
			q.summary.DeadLetterErrors++
			return refusalDeadLetters
		}
		q.summary.DeadLettersDropped = p.dropped
	}
	if len(q.invalid) < len(q.content.events) && h.committer.submit(ctx, filled(&q.parts)) != nil {
		return refusalQueue
	}
	q.summary.Accepted, q.summary.Rejected = len(q.content.events)-len(q.invalid), q.rejected()
	q.summary.Omitted = q.omitted.ByField()
	return nil
}

// logPanic logs a panic's type and place, but not its value, which may quote an event. The text of
// a runtime error quotes none.
func logPanic(ctx context.Context, logger *slog.Logger, p any) {
	text := ""
	if err, ok := p.(runtime.Error); ok {
		text = err.Error()
	}
	logger.ErrorContext(ctx, "a request could not be handled", "type", fmt.Sprintf("%T", p), "error", text, "stack",
		string(debug.Stack()))
}
