package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	targetPrefix = "AmazonSQS."
	contentType  = "application/x-amz-json-1.0"
	// maxRequestBytes is a batch of 1 MiB in which JSON takes six bytes for every character, with
	// some room for the rest of the request.
	maxRequestBytes = 8 << 20
	// QueuesPath is the path of the state of all queues: GET answers
	// {"queues":[{"name","visible","inFlight","delayed","events","sent","received","deleted",
	// "oldestAgeSeconds"}]}.
	QueuesPath = "/_spillway/queues"
)

// call is one request to an action.
type call struct {
	s     *Server
	ctx   context.Context
	host  string // for the URLs in the answer
	trace string // the request's X-Ray header
}

// queue finds the queue of a QueueUrl by its last element: the rest may differ from client to client.
func (c call) queue(url string) (*Queue, error) {
	if url == "" {
		return nil, errMissingParameter("QueueUrl")
	}
	q, ok := c.s.Queue(path.Base(url))
	if !ok {
		return nil, errNoSuchQueue()
	}
	return q, nil
}

func (c call) queueByARN(arn, parameter string) (*Queue, error) {
	q, ok := c.s.Queue(arnName(arn))
	if !ok || q.ARN() != arn {
		return nil, errResourceNotFound(parameter)
	}
	return q, nil
}

func (c call) urlOf(name string) string { return "http://" + c.host + "/" + c.s.account + "/" + name }

func (c call) urlsOf(names []string) []string {
	urls := make([]string, len(names))
	for i, n := range names {
		urls[i] = c.urlOf(n)
	}
	return urls
}

// action decodes a request, runs it, and returns what to encode, which does not refer to body. If
// undo is not nil, it is called when the client is gone before it has the answer.
type action func(c call, body []byte) (answer any, undo func(), err error)

// ServeHTTP answers one request of an SQS client, or the GET of QueuesPath.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := s.buffers.get()
	defer s.buffers.put(b)
	if err := s.enter(); err != nil {
		writeError(w, b, err)
		return
	}
	defer s.exit()
	if r.Method == http.MethodGet && r.URL.Path == QueuesPath {
		s.writeQueues(w, b)
		return
	}
	answer, undo, err := s.serve(r, b)
	if err != nil {
		if r.Context().Err() == nil {
			s.logFault(r, err)
		}
		writeError(w, b, err)
		return
	}
	if r.Context().Err() != nil {
		if undo != nil {
			undo()
		}
		return
	}
	if writeJSON(w, b, http.StatusOK, contentType, answer) != nil && undo != nil {
		undo()
	}
}

// serve reads a request into b and runs it.
func (s *Server) serve(r *http.Request, b *bytes.Buffer) (any, func(), error) {
	// First, whatever the answer will be: some clients lose an answer that comes before they have sent
	// all of the body.
	body, err := readBody(r, b)
	if err != nil {
		return nil, nil, err
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if r.Method != http.MethodPost || !ok {
		return nil, nil, errUnsupported("The SQS emulator speaks the AWS JSON protocol: a request must be a POST with " +
			"the header X-Amz-Target: AmazonSQS.SendMessage (or another action). " +
			"Upgrade a client that uses the older Query protocol. GET " + QueuesPath +
			" shows the queues.")
	}
	act, ok := s.actions[name]
	if !ok {
		return nil, nil, errInvalidAction(name)
	}
	return act(call{s, r.Context(), r.Host, r.Header.Get("X-Amzn-Trace-Id")}, body)
}

// readBody reads a request into b. The result is valid as long as b is not used for something else.
func readBody(r *http.Request, b *bytes.Buffer) ([]byte, error) {
	if r.ContentLength > maxRequestBytes {
		return nil, errTooLarge()
	}
	b.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(r.Body, maxRequestBytes+1))
	if err != nil {
		return nil, errSerialization("the request could not be read: %v", err)
	}
	if n > maxRequestBytes {
		return nil, errTooLarge()
	}
	return b.Bytes(), nil
}

func errTooLarge() error {
	return &apiError{http.StatusRequestEntityTooLarge, coralShape + "RequestEntityTooLarge", "RequestEntityTooLarge",
		"The request is larger than " + strconv.Itoa(maxRequestBytes) + " bytes."}
}

// decode reads a request. It refuses invalid UTF-8 and half of a surrogate pair, which encoding/json
// would replace.
func decode[T any](body []byte, into *T) error {
	lone := loneSurrogate(body)
	if in, ok := any(into).(quick); ok && !lone {
		if quickly(body, in) {
			return nil
		}
		*into = *new(T)
	}
	if !utf8.Valid(body) {
		return errSerialization("the request is not valid UTF-8")
	}
	if lone {
		return errSerialization("the request has half of a surrogate pair")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errSerialization("the request is not valid JSON of this action: %v", err)
	}
	return nil
}

// loneSurrogate reports whether b has an escape \ud800 to \udfff without its other half.
func loneSurrogate(b []byte) bool {
	if !bytes.Contains(b, []byte(`\u`)) {
		return false // at once: JSON in JSON has an escape every few bytes
	}
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 || i+1 >= len(b) {
			return false
		}
		b = b[i:]
		v, ok := escapedUnit(b)
		switch {
		case !ok:
			b = b[2:]
		case v >= 0xDC00 && v < 0xE000:
			return true
		case v >= 0xD800 && v < 0xDC00:
			if low, ok := escapedUnit(b[6:]); !ok || low < 0xDC00 || low >= 0xE000 {
				return true
			}
			b = b[12:]
		default:
			b = b[6:]
		}
	}
}

// escapedUnit reads \uXXXX at the start of b.
func escapedUnit(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return v, err == nil
}

// writeJSON writes an answer, which it makes in b.
func writeJSON(w http.ResponseWriter, b *bytes.Buffer, status int, contentType string, v any) error {
	b.Reset()
	if err := encodeJSON(b, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return err
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

func encodeJSON(b *bytes.Buffer, v any) error {
	if a, ok := v.(jsonAppender); ok {
		b.Write(a.appendJSON(b.AvailableBuffer()))
		return nil
	}
	if v == nil {
		v = struct{}{}
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func writeError(w http.ResponseWriter, b *bytes.Buffer, err error) {
	e := asAPIError(err)
	fault := "Sender"
	if !e.senderFault() {
		fault = "Receiver"
	}
	w.Header().Set("X-Amzn-Query-Error", e.code+";"+fault)
	// If the write fails, the client is gone.
	_ = writeJSON(w, b, e.status, contentType, struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.shape, e.message})
}

// logFault logs errors of the server, not those of the client.
func (s *Server) logFault(r *http.Request, err error) {
	if _, ok := errors.AsType[*apiError](err); ok {
		return // the client's error, or logged where it occurred
	}
	s.log.ErrorContext(r.Context(), "an SQS request failed", "action", r.Header.Get("X-Amz-Target"), "error", err)
}

// queueState is one queue in the answer to GET QueuesPath.
type queueState struct {
	Name     string `json:"name"`
	Visible  int64  `json:"visible"`
	InFlight int64  `json:"inFlight"`
	Delayed  int64  `json:"delayed"`
	Events   int64  `json:"events"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
	Deleted  int64  `json:"deleted"`
	// Seconds since the oldest message was sent; 0 if there is none.
	OldestAge float64 `json:"oldestAgeSeconds"`
}

func (s *Server) writeQueues(w http.ResponseWriter, b *bytes.Buffer) {
	answer := struct {
		Queues []queueState `json:"queues"`
	}{[]queueState{}}
	for _, q := range s.queues.list("") {
		st := q.Stats()
		state := queueState{
			Name: q.name, Visible: st.Visible, InFlight: st.InFlight, Delayed: st.Delayed, Events: st.Events,
			Sent: st.Sent, Received: st.Received, Deleted: st.Deleted,
		}
		if !st.OldestSent.IsZero() {
			state.OldestAge = time.Since(st.OldestSent).Seconds()
		}
		answer.Queues = append(answer.Queues, state)
	}
	// If the write fails, the client is gone.
	_ = writeJSON(w, b, http.StatusOK, "application/json", answer)
}
