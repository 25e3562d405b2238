package ingest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A refusal is why a request is not answered 200. Status and code are for programs; the message is
// for people and quotes nothing of the request but the name of an encoding.
type refusal struct {
	status     int
	code       string
	cause      Cause
	message    string
	retryAfter time.Duration // of a 429; 0: a random few seconds
	closes     bool          // the connection, because the rest of the body is not worth reading
}

// A Cause says who can do something about a refused request.
type Cause uint8

// The causes.
const (
	CauseRequest  Cause = iota // its sender: it is malformed, too large or for no path of ours
	CauseWriteKey              // its sender, or who keeps the set: its write key is missing, unknown or disabled
	CauseQuota                 // its sender: its write key is over its quota
	CauseService               // we
	causes
)

// 400 is the only 4xx after which no SDK retries, so it is for requests that no retry can help.
var (
	refusalNotFound = &refusal{status: http.StatusNotFound, code: "not_found",
		message: "no such path: send events to /v1/batch, /v1/track and so on"}
	refusalMethod = &refusal{status: http.StatusMethodNotAllowed, code: "method_not_allowed",
		message: "the path does not allow this method: the header Allow lists the allowed ones"}
	refusalWriteKey = &refusal{status: http.StatusBadRequest, code: event.InvalidWriteKey.Code, cause: CauseWriteKey,
		message: "the write key is missing, malformed or unknown: send it by Basic authentication, as a bearer token or as " +
			"writeKey in the body"}
	refusalDisabled = &refusal{status: http.StatusBadRequest, code: "source_disabled", cause: CauseWriteKey,
		message: "the write key is disabled"}
	refusalChunks = &refusal{status: http.StatusBadRequest, code: "malformed_body", closes: true,
		message: "the body's chunked encoding is malformed"}
	refusalGzip = &refusal{status: http.StatusBadRequest, code: "invalid_gzip",
		message: "the body is announced as gzip, but is not gzip or is damaged"}
	refusalJSON = &refusal{status: http.StatusBadRequest, code: "invalid_json",
		message: "the body is not valid JSON"}
	refusalNotObject = &refusal{status: http.StatusBadRequest, code: "invalid_body",
		message: "the body must be a JSON object"}
	refusalNotBatch = &refusal{status: http.StatusBadRequest, code: "invalid_batch",
		message: "the body must be a JSON object whose batch is an array of events"}
	refusalEmptyBatch = &refusal{status: http.StatusBadRequest, code: "empty_batch",
		message: "the batch has no events"}
	refusalTooManyEvents = &refusal{status: http.StatusBadRequest, code: "too_many_events",
		message: fmt.Sprintf("the batch has more than %d events: send smaller batches", maxEvents)}
	refusalPixel = &refusal{status: http.StatusBadRequest, code: "invalid_pixel",
		message: "the query must have an event's fields, or its JSON or the base64 of that in the parameter data"}
)

// Every SDK retries after a 429, and some honour Retry-After only then.
var (
	refusalBodyIncomplete = &refusal{status: http.StatusTooManyRequests, code: "body_incomplete", closes: true,
		message: "the body did not arrive completely in time, retry"}
	refusalOverloaded = &refusal{status: http.StatusTooManyRequests, code: "overloaded", cause: CauseService,
		message: "overloaded, retry later"}
	// The client's body was good, so its events must not be lost: it retries until the gateway is
	// mended, which an alarm asks for.
	refusalMangled = &refusal{status: http.StatusTooManyRequests, code: "gzip_mangled", retryAfter: time.Minute,
		message: "the gzip body was damaged on its way by a gateway that took it for text: send it with Content-Type " +
			"application/octet-stream, or without gzip"}
	// refusalNoMemory is refusalOverloaded for a request whose body has not arrived whole.
	refusalNoMemory = &refusal{status: http.StatusTooManyRequests, code: refusalOverloaded.code, cause: CauseService,
		message: refusalOverloaded.message, closes: true}
	refusalShutdown = &refusal{status: http.StatusTooManyRequests, code: "shutting_down", cause: CauseService,
		message: "this instance is shutting down, retry"}
	refusalQueue = &refusal{status: http.StatusTooManyRequests, code: "queue_unavailable", cause: CauseService,
		message: "the queue is unavailable, retry later"}
	refusalKeys = &refusal{status: http.StatusTooManyRequests, code: codeKeysUnread, cause: CauseService,
		message: "the set of write keys could not be read, retry later"}
	refusalDeadLetters = &refusal{status: http.StatusTooManyRequests, code: "dead_letters_unavailable",
		cause:   CauseService,
		message: "invalid events could not be stored as dead letters, so no event was accepted, retry later"}
)

var (
	refusalInternal = &refusal{status: http.StatusInternalServerError, code: "internal", cause: CauseService,
		message: "internal error, retry later"}
	refusalHealthQueue = &refusal{status: http.StatusServiceUnavailable, code: refusalQueue.code, cause: CauseService,
		message: "everything that was sent to the queue in the last minute failed"}
	refusalHealthShutdown = &refusal{status: http.StatusServiceUnavailable, code: refusalShutdown.code,
		cause: CauseService, message: "this instance is shutting down"}
	refusalHealthKeys = &refusal{status: http.StatusServiceUnavailable, code: codeKeysUnread, cause: CauseService,
		message: "the set of write keys could not be read: the log says why"}
)

const codeKeysUnread = "write_keys_unread"

// bodyTooLarge refuses a body that is larger than so many bytes, compressed or not.
func bodyTooLarge(limit int) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "body_too_large", closes: true,
		message: fmt.Sprintf("the body is larger than %d bytes: send smaller batches", limit)}
}

// unsupportedEncoding refuses a Content-Encoding that ingest can't decode. It names it, if it is a
// word.
func unsupportedEncoding(encoding string) *refusal {
	const longest = 20
	if !isToken(strings.ReplaceAll(encoding, ", ", "")) || len(encoding) > longest {
		encoding = "of this request"
	}
	return &refusal{status: http.StatusBadRequest, code: "unsupported_encoding",
		message: "the Content-Encoding " + encoding + " is not supported: send gzip or none"}
}

// eventRefusal refuses a request for the problem of its first event.
func eventRefusal(p *event.Problem) *refusal {
	r := &refusal{status: http.StatusBadRequest, code: p.Code, message: p.Message}
	if p.Code == event.InvalidWriteKey.Code {
		r.cause = CauseWriteKey
	}
	return r
}

// quotaRefusal refuses a request whose write key has used up its quota.
func quotaRefusal(retryAfter time.Duration) *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: "quota_exceeded", cause: CauseQuota,
		message: "the write key has used up its quota, retry later", retryAfter: retryAfter}
}

// maxRetryAfter is the longest Retry-After: the SDKs for browsers and Node wait no longer, whatever
// the header says.
const maxRetryAfter = 300 * time.Second

// retrySpread is the most seconds of a Retry-After without a particular reason. It is random so
// that clients do not all retry at once.
const retrySpread = 5

// nodeAgent begins the User-Agent of Segment's SDK for Node. Segment sends X-RateLimit-Reset in
// seconds, and analytics-next 1.73 to 1.83 read nothing else. But analytics-node 2.2 takes it for a
// point in time, so that its wait is negative: it would use up its retries within milliseconds.
const nodeAgent = "analytics-node"

// retrySeconds is the value of Retry-After: whole seconds, rounded up.
func (r *refusal) retrySeconds() int {
	if r.retryAfter <= 0 {
		return 1 + rand.IntN(retrySpread)
	}
	return int((min(r.retryAfter, maxRetryAfter) + time.Second - 1) / time.Second)
}

// refuse makes the answer of a refusal. A refused pixel request is counted and logged, but answered
// with the image, because a page must not show a broken one.
func refuse(header http.Header, request *http.Request, rt route, r *refusal, s *Summary) answer {
	s.Code, s.Message, s.Cause = r.code, r.message, r.cause
	if rt.kind == routePixel && r != refusalMethod {
		return pixel(header)
	}
	if r.status == http.StatusTooManyRequests {
		seconds := strconv.Itoa(r.retrySeconds())
		header.Set("Retry-After", seconds)
		if !strings.HasPrefix(request.UserAgent(), nodeAgent) {
			header.Set("X-RateLimit-Reset", seconds)
		}
	}
	header["Cache-Control"] = neverCached
	if r.closes {
		header.Set("Connection", "close")
	}
	return answer{status: r.status, contentType: jsonType, body: r.body()}
}

// body is a refusal's JSON. Python's SDK drops what is refused only if there are both code and
// message; other SDKs look for error.
func (r *refusal) body() []byte {
	b := append([]byte(`{"success":false,"code":"`), r.code...)
	b = rawjson.AppendQuoted(append(b, `","message":`...), r.message)
	b = rawjson.AppendQuoted(append(b, `,"error":`...), r.code)
	return append(b, '}')
}
