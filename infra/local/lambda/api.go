package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// An API answers Lambda's Invoke API for some functions, so that code that is deployed can invoke
// them as it does on AWS. Requests are not authenticated: whoever reaches it may invoke. It is safe
// for concurrent use.
type API struct {
	mux       *http.ServeMux
	functions map[string]*Function
}

// NewAPI makes an API of the functions, which it finds by their names and ARNs.
func NewAPI(functions ...*Function) *API {
	a := &API{mux: http.NewServeMux(), functions: map[string]*Function{}}
	for _, f := range functions {
		a.functions[f.info.Name] = f
	}
	a.mux.HandleFunc("POST /2015-03-31/functions/{function}/invocations", a.invoke)
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// find returns what an invocation's path and query name: a name or an ARN, with a qualifier at its
// end or in the query (API reference, Invoke).
func (a *API) find(named, qualifier string) (Invoker, error) {
	name := named
	if strings.HasPrefix(named, "arn:") {
		name = nameIn(named)
	}
	name, inName, _ := strings.Cut(name, ":")
	if qualifier != "" && inName != "" && inName != qualifier {
		return nil, fmt.Errorf("InvalidParameterValueException: the qualifiers %q and %q differ", inName, qualifier)
	}
	f, ok := a.functions[name]
	if !ok {
		return nil, fmt.Errorf("ResourceNotFoundException: Function not found: %s", named)
	}
	return f.Qualified(or(qualifier, inName))
}

func (a *API) invoke(w http.ResponseWriter, r *http.Request) {
	if kind := or(r.Header.Get("X-Amz-Invocation-Type"), "RequestResponse"); kind != "RequestResponse" {
		refuseCall(w, http.StatusBadRequest, fmt.Errorf("InvalidParameterValueException: the invocation type must be "+
			"RequestResponse, is %q: nothing else is emulated", kind))
		return
	}
	i, err := a.find(r.PathValue("function"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		status := http.StatusNotFound
		if strings.HasPrefix(err.Error(), "Invalid") {
			status = http.StatusBadRequest
		}
		refuseCall(w, status, err)
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	switch {
	case err != nil:
		refuseCall(w, http.StatusBadRequest, fmt.Errorf("InvalidRequestContentException: read the payload: %w", err))
		return
	case len(payload) > maxPayload:
		refuseCall(w, http.StatusRequestEntityTooLarge,
			fmt.Errorf("RequestTooLargeException: the payload must be at most %d bytes", maxPayload))
		return
	}
	version := i.target()
	// A client that hangs up stops nothing, as on Lambda.
	response, err := version.invoke(context.WithoutCancel(r.Context()), i.ARN(), payload)
	if errors.Is(err, ErrThrottled) {
		refuseCall(w, http.StatusTooManyRequests, errors.New("TooManyRequestsException: rate exceeded"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amz-Executed-Version", version.Number())
	if err != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		response = errorPayload(err)
	}
	_, _ = w.Write(response)
}

// errorPayload is the JSON that Lambda answers with when the invocation has failed.
func errorPayload(err error) []byte {
	if failed, ok := errors.AsType[*FunctionError](err); ok {
		return failed.Payload
	}
	kind := "Runtime.ExitError"
	if timedOut := (*TimeoutError)(nil); errors.As(err, &timedOut) {
		kind = "Sandbox.Timedout"
	}
	return newFunctionError(kind, err.Error(), true).Payload
}

// refuseCall writes an error of the API itself. Its text begins with its name.
func refuseCall(w http.ResponseWriter, status int, err error) {
	kind, message, _ := strings.Cut(err.Error(), ": ")
	body, _ := json.Marshal(map[string]string{"Type": "User", "message": message}) // strings can always be marshalled
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
