package ingest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// ServeHTTP implements http.Handler. How long a client may take for its body is the server's to
// bound (http.Server's ReadTimeout); everything else is bounded here.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rt := routeOf(r.URL.Path)
	allowOrigin(w.Header(), r)
	var f *refusal
	switch {
	case rt.kind == routeUnknown:
		f = refusalNotFound
	case r.Method == http.MethodOptions:
		h.config.Report(Summary{Status: http.StatusNoContent, Latency: time.Since(start)})
		writeOptions(w, rt)
		return
	case !rt.allows(r.Method):
		w.Header().Set("Allow", rt.methods())
		f = refusalMethod
	default:
		switch rt.kind {
		case routeEvent, routeBatch:
			h.events(w, r, rt, start)
			return
		case routePixel:
			h.pixel(w, r, rt, start)
			return
		case routeHealth:
			if h.isDraining() || h.health.ask(r.Context()) != nil {
				f = refusalHealth
			}
		case routeSettings:
			if h.settings(w, r, rt, start) {
				return
			}
			f = refusalNotFound
		}
	}
	if f != nil {
		h.config.Report(Summary{Status: f.status, Code: f.code, Latency: time.Since(start)})
		writeRefusal(w, f)
		return
	}
	h.config.Report(Summary{Status: http.StatusOK, Latency: time.Since(start)})
	writeJSON(w, http.StatusOK, success)
}

func (h *Handler) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// settings answers with the settings of a key; false when there is no such key.
func (h *Handler) settings(w http.ResponseWriter, r *http.Request, rt route, start time.Time) bool {
	if _, f := h.lookup(rt.key); f != nil {
		return false
	}
	scheme, host := h.publicURL(r)
	w.Header().Set("Cache-Control", "private, max-age=300")
	w.Header()["Vary"] = vary // also when no origin was named: the next one to be given this answer may have one
	h.config.Report(Summary{Status: http.StatusOK, Latency: time.Since(start)})
	writeJSON(w, http.StatusOK, appendSettings(nil, rt.key, scheme, host))
	return true
}

// lookup finds a write key among those that are taken.
func (h *Handler) lookup(writeKey string) (Key, *refusal) {
	if !event.ValidWriteKey(writeKey) {
		return Key{}, refusalWriteKey
	}
	if h.config.Keys == nil {
		return Key{}, nil
	}
	key, ok := h.config.Keys.Lookup(writeKey)
	switch {
	case !ok:
		return Key{}, refusalWriteKey
	case key.Disabled:
		return Key{}, refusalDisabled
	}
	return key, nil
}

// events answers a request with events in its body.
func (h *Handler) events(w http.ResponseWriter, r *http.Request, rt route, start time.Time) {
	s, f := h.take(r, rt, start, func(q *request) ([]byte, *refusal) { return h.readBody(q, r) })
	h.config.Report(s)
	if f != nil {
		writeRefusal(w, f)
		return
	}
	writeJSON(w, http.StatusOK, success)
}

// pixel takes the event of an image's query. The answer is the image in any case; what went wrong
// is only counted.
func (h *Handler) pixel(w http.ResponseWriter, r *http.Request, rt route, start time.Time) {
	s := Summary{Latency: time.Since(start)}
	if r.Method == http.MethodGet {
		s, _ = h.take(r, rt, start,
			func(q *request) ([]byte, *refusal) { return pixelData(q, r.URL.RawQuery, h.config.Limits.MaxBody) })
	}
	s.Status = http.StatusOK
	h.config.Report(s)
	writePixel(w)
}

// pixelData decodes the query's data: base64 of either alphabet, with padding or without.
func pixelData(q *request, query string, limit int) ([]byte, *refusal) {
	values, err := url.ParseQuery(query)
	data := strings.TrimRight(values.Get("data"), "=")
	if err != nil || data == "" {
		return nil, refusalPixel
	}
	if len(data) > limit {
		return nil, refusalBodyTooLarge
	}
	// A plus that was not escaped has become a space.
	data = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(data)
	if q.raw, err = base64.RawStdEncoding.AppendDecode(q.raw[:0], []byte(data)); err != nil || len(q.raw) == 0 {
		return nil, refusalPixel
	}
	return q.raw, nil
}

// take brings the events of a request into the queue. The fault is nil exactly when the queue has
// every event that is good, and the dead letters every other one.
func (h *Handler) take(r *http.Request, rt route, start time.Time, body func(*request) ([]byte, *refusal)) (s Summary,
	f *refusal) {
	if f = h.full(); f == nil {
		s, f = h.work(r, rt, start, body)
	}
	s.Latency, s.Status = time.Since(start), http.StatusOK
	if f != nil {
		s.Status, s.Code = f.status, f.code
	}
	return s, f
}

func (h *Handler) work(r *http.Request, rt route, start time.Time, body func(*request) ([]byte, *refusal)) (s Summary,
	f *refusal) {
	q := h.pool.get()
	entered := false
	defer func() {
		p := recover()
		h.waiting.Add(int64(-q.reserved))
		if entered {
			h.leave()
		}
		if p != nil {
			// A mistake of ours with one request is no reason to end the others'. Its buffers are
			// not used again.
			h.complain(p)
			s, f = Summary{}, refusalInternal
			return
		}
		s = q.summary
		q.reset()
		h.pool.put(q)
	}()
	if h.committer.breaker.Refusing(start) {
		return s, refusalQueue
	}
	if !h.hold(q, 0) {
		return s, refusalOverloaded
	}
	text, f := body(q)
	if f != nil {
		return s, f
	}
	// Not before: who announces a body and does not send it must not have the place of one who
	// does.
	if f = h.enter(); f != nil {
		return s, f
	}
	entered = true
	if f = q.content.parse(text, rt); f != nil {
		return s, f
	}
	writeKey := requestKey(r.Header, q.content.writeKey)
	key, f := h.lookup(writeKey)
	if f != nil {
		return s, f
	}
	q.enrichment = event.Enrichment{
		DefaultType: rt.event, ReceivedAt: start, SentAt: q.content.sentAt, WriteKey: writeKey, Client: rt.client,
		Shared: event.ScanContext(q.content.context), AppendID: appendID,
	}
	if addr := h.config.ClientIP(r); addr.IsValid() {
		q.enrichment.IP = addr.String()
	}
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		q.enrichment.UserAgent = agent[0][:min(len(agent[0]), maxUserAgent)]
	}
	if !h.hold(q, len(text)) { // spliced, it is at least as large
		return s, refusalOverloaded
	}
	if f = q.partition(); f != nil {
		return s, f
	}
	if !h.hold(q, sendCost*len(q.enriched)) {
		return s, refusalOverloaded
	}
	n := len(q.content.events)
	wait, ok := h.quotas.take(&key, n)
	if !ok {
		return s, quotaRefusal(wait)
	}
	if f = h.send(r.Context(), q); f != nil {
		h.quotas.refund(&key, n)
	}
	return s, f
}

// send writes the dead letters and then the good events. In this order, because a request of which
// the queue has events must not be answered 429: it would come again, and its events would be there
// twice, with other identities if we gave them theirs. Letters that are written twice have the same
// id.
func (h *Handler) send(ctx context.Context, q *request) *refusal {
	if len(q.bad) > 0 {
		if err := h.writeLetters(ctx, q); err != nil {
			q.summary.DeadLetterErrors++
			h.config.Logger.Error("dead letters of a request could not be written; nothing of it was accepted", "error", err)
			return refusalDeadLetters
		}
	}
	if h.committer.submit(ctx, q.filledParts()) != nil {
		return refusalQueue
	}
	q.summary.Accepted, q.summary.Rejected = len(q.content.events)-len(q.bad), q.rejected()
	return nil
}

// complain logs a panic: its type and its place, for its value may quote an event. What the runtime
// says does not.
func (h *Handler) complain(p any) {
	what := ""
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	h.config.Logger.Error("a request could not be handled", "type", fmt.Sprintf("%T", p), "error", what, "stack",
		string(debug.Stack()))
}
