package lambda

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The Runtime API's paths (Lambda developer guide, using the Lambda runtime API for custom
// runtimes).
const (
	pathNext      = "GET /2018-06-01/runtime/invocation/next"
	pathResponse  = "POST /2018-06-01/runtime/invocation/{id}/response"
	pathError     = "POST /2018-06-01/runtime/invocation/{id}/error"
	pathInitError = "POST /2018-06-01/runtime/init/error"
)

// errorTypeHeader is the header in which a runtime sends an error's type beside its JSON.
const errorTypeHeader = "Lambda-Runtime-Function-Error-Type"

// maxErrorBody is how much of an error's JSON is read, in bytes: more than any stack.
const maxErrorBody = 1 << 20

// runtimeAPI is the server from which one process gets its invocations and to which it posts its
// answers.
type runtimeAPI struct {
	address    string
	server     *http.Server
	served     chan struct{}
	pending    chan *delivery // hands over the next invocation
	waiting    chan struct{}  // holds an item when the process has requested its next invocation
	ready      chan struct{}  // closed at the first request: the init is over
	initFailed chan error
	once       sync.Once

	mu      sync.Mutex
	current *delivery
}

// delivery is an invocation that a process runs.
type delivery struct {
	Invocation
	deadline time.Time
	result   chan answer   // takes one answer
	written  chan struct{} // closed when the payload is sent
}

func serveRuntimeAPI() (*runtimeAPI, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a function's process on 127.0.0.1: %w", err)
	}
	a := &runtimeAPI{
		address:    listener.Addr().String(),
		served:     make(chan struct{}),
		pending:    make(chan *delivery),
		waiting:    make(chan struct{}, 1),
		ready:      make(chan struct{}),
		initFailed: make(chan error, 1),
	}
	mux := http.NewServeMux()
	mux.HandleFunc(pathNext, a.next)
	mux.HandleFunc(pathResponse, a.response)
	mux.HandleFunc(pathError, a.failure)
	mux.HandleFunc(pathInitError, a.initFailure)
	a.server = &http.Server{Handler: mux}
	go func() {
		defer close(a.served)
		_ = a.server.Serve(listener) // its error is always that it was closed
	}()
	return a, nil
}

// close ends the server and its connections.
func (a *runtimeAPI) close() {
	_ = a.server.Close()
	<-a.served
}

// next waits without limit for an invocation and sends it to the process.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	select {
	case a.waiting <- struct{}{}:
	default:
	}
	a.once.Do(func() {
		<-a.waiting // the first request ends the init, not an invocation
		close(a.ready)
	})
	select {
	case <-r.Context().Done():
		return
	case d := <-a.pending:
		defer close(d.written)
		a.mu.Lock()
		a.current = d
		a.mu.Unlock()
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(d.Payload)))
		header.Set("Lambda-Runtime-Aws-Request-Id", d.RequestID)
		header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(d.deadline.UnixMilli(), 10))
		header.Set("Lambda-Runtime-Invoked-Function-Arn", d.FunctionARN)
		header.Set("Lambda-Runtime-Trace-Id", d.TraceID)
		_, _ = w.Write(d.Payload) // if the process is gone, its exit says so
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	switch {
	case err == nil && len(body) > maxPayload:
		_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be reused
		message := fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxPayload)
		if !a.finish(r.PathValue("id"), answer{err: newFunctionError("Function.ResponseSizeTooLarge", message, false)}) {
			refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
			return
		}
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", message)
	case err != nil:
		refuse(w, http.StatusBadRequest, "InvalidRequest", "The response could not be read")
	case r.Trailer.Get(errorTypeHeader) != "": // the handler failed while it was streaming its answer
		a.accept(w, r, answer{err: newFunctionError(r.Trailer.Get(errorTypeHeader), "the response is incomplete", false)})
	default:
		a.accept(w, r, answer{response: body})
	}
}

func (a *runtimeAPI) failure(w http.ResponseWriter, r *http.Request) {
	a.accept(w, r, answer{err: readFailure(r)})
}

func (a *runtimeAPI) initFailure(w http.ResponseWriter, r *http.Request) {
	select {
	case a.initFailed <- readFailure(r):
	default:
	}
	accepted(w)
}

func (a *runtimeAPI) accept(w http.ResponseWriter, r *http.Request, result answer) {
	if !a.finish(r.PathValue("id"), result) {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	accepted(w)
}

// finish gives the answer to the invocation with this id. It returns false if that invocation is not
// under way or already has an answer.
func (a *runtimeAPI) finish(id string, result answer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil || a.current.RequestID != id {
		return false
	}
	a.current.result <- result
	a.current = nil
	return true
}

// readFailure makes a FunctionError of the error that a runtime posts. A body that is not Lambda's
// error JSON becomes the message.
func readFailure(r *http.Request) *FunctionError {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBody)) // a body that breaks off is used as far as it came
	told := errorJSON{Type: or(r.Header.Get(errorTypeHeader), "Unhandled")}
	if err := json.Unmarshal(body, &told); err != nil {
		return newFunctionError(told.Type, string(body), false)
	}
	return &FunctionError{Type: told.Type, Message: told.Message, Payload: body}
}

func accepted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	body, _ := json.Marshal(errorJSON{Message: message, Type: kind})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
