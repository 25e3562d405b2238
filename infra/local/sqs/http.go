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
	// maxRequestBytes is a batch of 1 MiB in which JSON needs six bytes for
	// every character, with as much room again for what is around it.
	maxRequestBytes = 8 << 20
	// QueuesPath answers GET with what each queue holds, as JSON.
	QueuesPath = "/_spillway/queues"
)

// call is one request to an action.
type call struct {
	ctx  context.Context
	host string // for the URLs in the answer
}

// action decodes a request, runs it, and returns what to encode. undo, where
// it is not nil, is called when the client was gone before it got the answer.
type action func(c call, body []byte) (answer any, undo func(), err error)

// ServeHTTP answers one request of an SQS client, or the GET of QueuesPath.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.enter(); err != nil {
		writeError(w, err)
		return
	}
	defer s.exit()
	if r.Method == http.MethodGet && r.URL.Path == QueuesPath {
		s.writeQueues(w)
		return
	}
	answer, undo, err := s.serve(r)
	if err != nil {
		if r.Context().Err() == nil {
			s.logFault(r, err)
		}
		writeError(w, err)
		return
	}
	if r.Context().Err() != nil {
		if undo != nil {
			undo()
		}
		return
	}
	if writeJSON(w, http.StatusOK, contentType, answer) != nil && undo != nil {
		undo()
	}
}

func (s *Server) serve(r *http.Request) (any, func(), error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if r.Method != http.MethodPost || !ok {
		return nil, nil, errUnsupported("This is an SQS endpoint for the AWS JSON protocol: POST with the header " +
			"X-Amz-Target: AmazonSQS.SendMessage (or another action). " +
			"A client of the older Query protocol must be brought up to date. GET " + QueuesPath +
			" shows what the queues hold.")
	}
	act, ok := s.actions[name]
	if !ok {
		return nil, nil, errInvalidAction(name)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, nil, err
	}
	return act(call{r.Context(), r.Host}, body)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > maxRequestBytes {
		return nil, errTooLarge()
	}
	b := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead))
	n, err := b.ReadFrom(io.LimitReader(r.Body, maxRequestBytes+1))
	if err != nil {
		return nil, errSerialization("the request could not be read to its end: %v", err)
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

// decode reads a request. Text that is not UTF-8 is refused, because it would
// come out altered; so is half of a surrogate pair.
func decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return errSerialization("the request is not valid UTF-8")
	}
	if loneSurrogate(body) {
		return errSerialization("the request has an escape of half a surrogate pair")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errSerialization("the request is not the JSON that this action takes: %v", err)
	}
	return nil
}

// loneSurrogate reports an escape \ud800 to \udfff without its other half,
// which encoding/json would replace.
func loneSurrogate(b []byte) bool {
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

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) error {
	var b bytes.Buffer
	if v == nil {
		v = struct{}{}
	}
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
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

func writeError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	fault := "Sender"
	if !e.senderFault() {
		fault = "Receiver"
	}
	w.Header().Set("X-Amzn-Query-Error", e.code+";"+fault)
	// A client that is gone needs no error.
	_ = writeJSON(w, e.status, contentType, struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.shape, e.message})
}

// logFault logs what is our own fault.
func (s *Server) logFault(r *http.Request, err error) {
	var e *apiError
	if errors.As(err, &e) {
		return // said to the client, and not ours or logged where it arose
	}
	s.log.Error("an SQS request failed", "action", r.Header.Get("X-Amz-Target"), "error", err)
}

// byURL finds the queue of a QueueUrl by its last element, because the host
// may be another to each client.
func (s *Server) byURL(url string) (*Queue, error) {
	if url == "" {
		return nil, errMissingParameter("QueueUrl")
	}
	q, ok := s.Queue(path.Base(url))
	if !ok {
		return nil, errNoSuchQueue()
	}
	return q, nil
}

func (s *Server) urlOf(host, name string) string {
	return "http://" + host + "/" + s.account + "/" + name
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
	// Seconds since the oldest message was sent; 0 where there is none.
	OldestAge float64 `json:"oldestAgeSeconds"`
}

func (s *Server) writeQueues(w http.ResponseWriter) {
	answer := struct {
		Queues []queueState `json:"queues"`
	}{[]queueState{}}
	for _, q := range s.queueList("") {
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
	// The client may be gone.
	_ = writeJSON(w, http.StatusOK, "application/json", answer)
}
