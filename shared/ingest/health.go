package ingest

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// healthSpan is how far GET /health looks back: a minute has at least one send, the canary's,
// wherever there is one environment.
const healthSpan = time.Minute

// oldKeys is the answer to GET /health while an earlier set of write keys is used: requests are
// accepted, so no load balancer must go elsewhere.
var oldKeys = answerAlways(http.StatusOK, jsonType, `{"success":true,"warning":"write_keys_old"}`)

// healthy answers GET /health from what this process knows. It calls nothing, because anyone may
// ask as often as they like.
func (h *Handler) healthy(now time.Time) (answer, *refusal) {
	keys := KeysCurrent
	if h.config.Keys != nil {
		keys = h.config.Keys.State()
	}
	switch {
	case h.inFlight.isDraining():
		return answer{}, refusalHealthShutdown
	case h.committer.sends.failing(now):
		return answer{}, refusalHealthQueue
	case keys == KeysUnread:
		return answer{}, refusalHealthKeys
	case keys == KeysOld:
		return oldKeys, nil
	}
	return success, nil
}

// sends remembers when the queue last accepted something, and when it last failed to. The zero
// value is ready for use and safe for concurrent use.
type sends struct {
	accepted, failed atomic.Int64 // Unix nanoseconds; 0: never
}

// note notes the end of a call with so many messages, of which these failed. What a queue refused
// for its content says nothing about the queue.
func (s *sends) note(now time.Time, messages int, failed map[int]error) {
	if len(failed) < messages {
		s.accepted.Store(now.UnixNano())
		return
	}
	for _, err := range failed {
		if refused, ok := errors.AsType[*sqsclient.RefusedError](err); !ok || !refused.SenderFault {
			s.noteFailure(now)
			return
		}
	}
}

// noteFailure notes that something was not even sent, because no queue takes anything now.
func (s *sends) noteFailure(now time.Time) { s.failed.Store(now.UnixNano()) }

// failing reports whether all sends of the last minute failed, and there was at least one. What was
// noted before the clock was set back by more than that says nothing.
func (s *sends) failing(now time.Time) bool {
	since, until := now.Add(-healthSpan).UnixNano(), now.Add(healthSpan).UnixNano()
	lately := func(at int64) bool { return at > since && at < until }
	return lately(s.failed.Load()) && !lately(s.accepted.Load())
}
