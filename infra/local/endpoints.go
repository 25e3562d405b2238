package local

import (
	"encoding/json"
	"net/http"
)

// StatusPath answers GET, on the port of the SQS endpoint, with the Status as JSON.
const StatusPath = "/_spillway/status"

// handler is the SQS endpoint with what the command line asks a running pipeline for.
func (p *Pipeline) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", p.sqs)
	mux.HandleFunc("GET "+StatusPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Status()) // the client may be gone
	})
	mux.Handle("GET "+OutcomesPath, &p.watchers)
	return mux
}
