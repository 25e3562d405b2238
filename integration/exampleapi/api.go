package main

import (
	"expvar"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/analytics-go/v3"
)

// handler serves the API. A request is answered the same way whether or not its event could be
// tracked.
func handler(tracker analytics.Client, work time.Duration, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /runs", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		if id == "" {
			id = uuid.NewString()
		}
		note, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNote))
		if err != nil {
			http.Error(w, "the note must have at most 16 KB", http.StatusRequestEntityTooLarge)
			return
		}
		time.Sleep(work) // the database
		if err := tracker.Enqueue(runStarted(r, id, string(note))); err != nil {
			log.ErrorContext(r.Context(), "event lost", "message_id", id, "error", err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":` + strconv.Quote(id) + `}`)) // the client may be gone
	})
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET /debug/vars", expvar.Handler())
	return mux
}

// maxNote leaves room for the rest of an event, which may have 32 KB.
const maxNote = 16 << 10

// runStarted returns an event of the usual size, about 1 KB without its note.
func runStarted(r *http.Request, id, note string) analytics.Track {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return analytics.Track{
		MessageId: id, UserId: "user-1207", Event: "Run Started",
		Properties: analytics.Properties{
			"runId": id, "plan": "team", "workspace": "a4f0c2d1", "pipeline": "nightly-export", "trigger": "schedule",
			"steps": 14, "durationMs": 1832.5, "cached": true, "region": "eu-west-1",
			"tags": []string{"prod", "export", "nightly"}, "note": note,
		},
		Context: &analytics.Context{
			IP: net.ParseIP(host), Locale: "en-GB", Timezone: "Europe/London", UserAgent: r.UserAgent(),
			App: analytics.AppInfo{Name: "exampleapi", Version: "1.4.2", Build: "20261124.1"},
		},
	}
}
