package ingest

import (
	"net/http"

	"github.com/spillwayhq/spillway/shared/heavy"
)

// sender is who sends a request.
type sender struct {
	known  bool // also: the request's events have been read
	canary bool
	key    heavy.Key
}

// count counts a request's events by their names and by its write key. Events of a refused request
// count as refused, an invalid one for its own problem.
func (h *Handler) count(q *request, refused *refusal) {
	c := h.config.Senders
	if c == nil || q.sender.canary {
		return
	}
	code := ""
	if refused != nil {
		code = refused.code
	}
	c.Count(q.sender.key, len(q.content.events), func(i int) heavy.Event {
		e := &q.content.events[i]
		counted := heavy.Event{Name: e.Name(), Size: len(e.Raw), Code: code}
		if c.Users {
			counted.User = e.User()
		}
		if e.Problem != nil {
			counted.Code = e.Problem.Code
		}
		return counted
	})
}

// countUnread counts a request whose events were not read as one, by the write key in its header,
// which it returns.
func (h *Handler) countUnread(r *http.Request, refused *refusal) (counted heavy.Key) {
	if h.config.Senders == nil || refused == nil {
		return heavy.Key{}
	}
	key, _, ok := headerKey(r.Header.Get("Authorization"))
	if !ok {
		key = ""
	}
	known, _ := lookup(h.config.Keys, key)
	counted = h.counted(key, &known)
	if !h.isCanary(key) {
		h.config.Senders.CountRequest(counted, refused.code)
	}
	return counted
}

func (h *Handler) isCanary(writeKey string) bool {
	return writeKey != "" && writeKey == h.config.CanaryWriteKey
}

// counted returns as what the events of a write key are counted.
func (h *Handler) counted(writeKey string, key *Key) heavy.Key {
	id := key.ID
	if id == "" && writeKey != "" && h.config.Senders != nil {
		id = h.keyID.Of(writeKey)
	}
	return heavy.Key{ID: id, Name: key.Name}
}
