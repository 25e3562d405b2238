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

// errorTypeHeader is how a runtime names an error's type beside its JSON.
const errorTypeHeader = "Lambda-Runtime-Function-Error-Type"

// maxErrorBody bounds what is read of an error's JSON; stacks are long, but not that long.
const maxErrorBody = 1 << 20

// runtimeAPI is the server that one process asks for its invocations and gives its answers.
type runtimeAPI struct {
	address    string
	server     *http.Server
	served     chan struct{}
	pending    chan *delivery // the invocation that the process is waiting for
	asked      chan struct{}  // the process waits for an invocation; taken by the one that is over
	ready      chan struct{}  // closed with the first question: the init is over
	initFailed chan error
	once       sync.Once

	mu      sync.Mutex
	current *delivery
}

// delivery is an invocation on its way through a process.
type delivery struct {
	Invocation
	deadline time.Time
	result   chan answer   // takes one answer
	written  chan struct{} // closed when nothing reads the payload any more
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
		asked:      make(chan struct{}, 1),
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
		_ = a.server.Serve(listener) // it always ends with ErrServerClosed, or with its listener
	}()
	return a, nil
}

// close ends all connections too.
func (a *runtimeAPI) close() {
	_ = a.server.Close()
	<-a.served
}

// next waits, as long as it takes, for an invocation, and hands it over.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	select {
	case a.asked <- struct{}{}:
	default:
	}
	a.once.Do(func() {
		<-a.asked // the first question ends the init, and no invocation
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
		_, _ = w.Write(d.Payload) // a process that is gone is noticed by its exit
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	switch {
	case err == nil && len(body) > MaxPayload:
		_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be used again
		message := fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxPayload)
		if !a.finish(r.PathValue("id"), answer{err: newFunctionError("Function.ResponseSizeTooLarge", message, false)}) {
			refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
			return
		}
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", message)
	case err != nil:
		refuse(w, http.StatusBadRequest, "InvalidRequest", "The response could not be read")
	case r.Trailer.Get(errorTypeHeader) != "": // it failed while it was streaming its answer
		a.accept(w, r, answer{err: newFunctionError(r.Trailer.Get(errorTypeHeader), "the response was broken off", false)})
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

// finish gives the answer to the invocation that has this id. It is refused if that one is not the
// one under way, or has an answer already.
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

// readFailure makes a FunctionError of what a runtime posts. What is no JSON of Lambda's becomes
// the message as it is.
func readFailure(r *http.Request) *FunctionError {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBody)) // what came counts
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
