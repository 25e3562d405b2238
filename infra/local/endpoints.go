package local

import (
	"context"
	"encoding/json"
	"net"
	"net/http"

	"github.com/spillwayhq/spillway/shared/httpserver"
)

// StatusPath answers GET, on the port of the SQS emulator, with the Status as JSON.
const StatusPath = "/_spillway/status"

// serveSQS serves the SQS emulator, and the status and outcomes of the pipeline.
func (p *Pipeline) serveSQS(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("/", p.sqs)
	mux.HandleFunc("GET "+StatusPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Status()) // an error is the client's, who has gone
	})
	mux.HandleFunc("POST "+PausePath, p.switches.serve(p.switches.pause, "pause"))
	mux.HandleFunc("POST "+ResumePath, p.switches.serve(p.switches.resume, "resume"))
	mux.Handle("GET "+OutcomesPath, &p.watchers)
	mux.Handle("GET "+SendersPath, p.senders)
	server := httpserver.New(p.guard.Wrap(mux), p.logger)
	server.BaseContext = func(net.Listener) context.Context { return ctx } // long polls end with it
	return httpserver.Serve(ctx, server, l, shutdownGrace, func(context.Context) error { return nil })
}
