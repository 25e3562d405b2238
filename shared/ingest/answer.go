package ingest

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A fault is why a request is not answered 200: status and code are for programs, the message is
// for people and holds nothing of the request.
type refusal struct {
	status  int
	code    string
	message string
	after   time.Duration // Retry-After of a 429; 0: a second or a few
}

func (f *refusal) Error() string { return f.code + ": " + f.message }

// The faults of requests. Those that a second try would not mend are 400: of all 4xx only that
// makes every SDK give up. Those that it would are 429: every SDK tries again then, and some only
// then honour Retry-After.
var (
	refusalNotFound = &refusal{status: http.StatusNotFound, code: "not_found",
		message: "there is nothing here: send events to /v1/batch, /v1/track and so on"}
	refusalMethod = &refusal{status: http.StatusMethodNotAllowed, code: "method_not_allowed",
		message: "the method is not allowed here: the header Allow names those that are"}
	refusalWriteKey = &refusal{status: http.StatusBadRequest, code: "invalid_write_key",
		message: "the write key is missing or not known: send it by Basic authentication, as a bearer token or as " +
			"writeKey in the body"}
	refusalDisabled     = &refusal{status: http.StatusBadRequest, code: "source_disabled", message: "the write key is disabled"}
	refusalBodyTooLarge = &refusal{status: http.StatusBadRequest, code: "body_too_large",
		message: "the body is larger than a request may be: send smaller batches"}
	refusalChunks = &refusal{status: http.StatusBadRequest, code: "malformed_body",
		message: "the body is not in the chunks that its header announces"}
	refusalGzip = &refusal{status: http.StatusBadRequest, code: "invalid_gzip",
		message: "the body says that it is gzip and is not, or is damaged"}
	refusalJSON      = &refusal{status: http.StatusBadRequest, code: "invalid_json", message: "the body is not JSON"}
	refusalNotObject = &refusal{status: http.StatusBadRequest, code: "invalid_body", message: "the body must be a JSON object"}
	refusalNotBatch  = &refusal{status: http.StatusBadRequest, code: "invalid_batch",
		message: "the body must be an object with a batch, an array of events"}
	refusalEmptyBatch    = &refusal{status: http.StatusBadRequest, code: "empty_batch", message: "the batch holds no event"}
	refusalTooManyEvents = &refusal{status: http.StatusBadRequest, code: "too_many_events",
		message: "the batch holds more events than a request may: send smaller batches"}
	refusalContext = &refusal{status: http.StatusBadRequest, code: "invalid_context",
		message: "the batch's context and integrations must be objects in UTF-8, not nested too deep, and leave room " +
			"for events"}
	refusalPixel = &refusal{status: http.StatusBadRequest, code: "invalid_pixel",
		message: "the query's data must be the base64 of an event's JSON"}
	refusalInternal = &refusal{status: http.StatusInternalServerError, code: "internal",
		message: "the request could not be handled"}

	refusalBodyIncomplete = &refusal{status: http.StatusTooManyRequests, code: "body_incomplete",
		message: "the body did not arrive whole and in time: send it again"}
	refusalOverloaded = &refusal{status: http.StatusTooManyRequests, code: "overloaded",
		message: "there is too much to do: send it again later"}
	refusalShutdown = &refusal{status: http.StatusTooManyRequests, code: "shutting_down",
		message: "this instance shuts down: send it again"}
	refusalQueue = &refusal{status: http.StatusTooManyRequests, code: "queue_unavailable",
		message: "the queue can't be reached: send it again later"}
	refusalDeadLetters = &refusal{status: http.StatusTooManyRequests, code: "dead_letters_unavailable",
		message: "invalid events could not be put aside, and so nothing was accepted: send it again later"}
	refusalHealth = &refusal{status: http.StatusServiceUnavailable, code: "queue_unavailable",
		message: "the queue can't be reached"}
)

// quotaFault is what a write key gets that is over its quota.
func quotaRefusal(after time.Duration) *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: "quota_exceeded",
		message: "the write key has used up its quota: send it again later", after: after}
}

// MaxRetryAfter is the longest wait that is asked for: the SDKs for browsers and Node wait no
// longer, whatever the header says.
const maxRetryAfter = 300 * time.Second

// spread is the most seconds of a Retry-After that nothing in particular asks for. It is random so
// that clients do not come again all at once.
const spread = 5

// retryAfter is the header's value: whole seconds, rounded up.
func retryAfter(after time.Duration) int {
	if after <= 0 {
		return 1 + rand.IntN(spread)
	}
	return int((min(after, maxRetryAfter) + time.Second - 1) / time.Second)
}

// Answers that are always the same. The slices are never written to.
var (
	success          = []byte(`{"success":true}`)
	jsonType         = []string{"application/json"}
	gifType          = []string{"image/gif"}
	vary             = []string{"Origin"}
	trueValue        = []string{"true"}
	exposed          = []string{"Retry-After"}
	allowed          = []string{"authorization, content-type, x-retry-count"}
	preflightSeconds = []string{"7200"} // seconds; Chromium keeps it no longer
	neverCached      = []string{"no-store"}
)

// transparent is a GIF of one transparent pixel.
var transparentGIF = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// cors lets pages of any origin read the answer. The origin is echoed because browsers take no *
// for requests with credentials, which the browser SDK may be told to send; nothing here is kept in
// cookies, so that gives nobody anything.
func allowOrigin(header http.Header, r *http.Request) {
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return
	}
	header["Access-Control-Allow-Origin"] = origin[:1]
	header["Access-Control-Allow-Credentials"] = trueValue
	header["Access-Control-Expose-Headers"] = exposed
	header["Vary"] = vary
}

// options answers an OPTIONS request. The browser SDK sends Authorization, so every event of a page
// has its preflight.
func writeOptions(w http.ResponseWriter, rt route) {
	header := w.Header()
	header.Set("Allow", rt.methods())
	header.Set("Access-Control-Allow-Methods", rt.methods())
	header["Access-Control-Allow-Headers"] = allowed
	header["Access-Control-Max-Age"] = preflightSeconds
	w.WriteHeader(http.StatusNoContent)
}

// writeJSON answers with a body.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = jsonType
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // an error is the client's, who has gone
}

// writeFault answers with a fault.
func writeRefusal(w http.ResponseWriter, f *refusal) {
	if f.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter(f.after)))
	}
	w.Header()["Cache-Control"] = neverCached
	if f == refusalBodyTooLarge || f == refusalBodyIncomplete || f == refusalChunks {
		// What is left of the body is not worth reading.
		w.Header().Set("Connection", "close")
	}
	writeJSON(w, f.status, f.body())
}

// body is a fault's JSON. Python's SDK drops what it is told to only if there are both code and
// message; error is what others look for.
func (f *refusal) body() []byte {
	b := append([]byte(`{"success":false,"code":"`), f.code...)
	b = rawjson.AppendQuoted(append(b, `","message":`...), f.message)
	b = rawjson.AppendQuoted(append(b, `,"error":`...), f.code)
	return append(b, '}')
}

// writePixel answers with the image, be what may: a page must not show a broken one.
func writePixel(w http.ResponseWriter) {
	header := w.Header()
	header["Content-Type"] = gifType
	header["Cache-Control"] = neverCached
	header.Set("Content-Length", strconv.Itoa(len(transparentGIF)))
	w.WriteHeader(http.StatusOK)
	w.Write(transparentGIF)
}
