package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	findPath = "/find"
	// FindJSONPath answers with the Story of the query parameter q, of at most limit events, as JSON:
	// it is for `spillway why` of the same version.
	FindJSONPath = "/find.json"
	// maxQuery bounds a messageId or userId, in bytes.
	maxQuery = 500
)

// findView is the page of a story.
type findView struct {
	Query string
	Story *Story // nil: nothing was asked
	Error string
}

// serveFind tells the story of an event, or of a user's events.
func (c deadPages) serveFind(w http.ResponseWriter, r *http.Request) {
	v := findView{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	status := http.StatusOK
	switch {
	case v.Query == "":
	case len(v.Query) > maxQuery:
		v.Error, v.Query, status = "No messageId and no userId is that long: at most 500 bytes.", v.Query[:maxQuery],
			http.StatusBadRequest
	default:
		ctx, cancel := context.WithTimeout(r.Context(), c.patience())
		defer cancel()
		story, err := c.source.Find(ctx, v.Query, MaxStory)
		if v.Story = &story; err != nil {
			v.Story, v.Error, status = nil, err.Error(), http.StatusServiceUnavailable
		}
	}
	c.render(w, r, status, "find", "Find an event", &v)
}

// patience is how long a page of dead letters or of a story may take to read.
func (c deadPages) patience() time.Duration {
	if c.about.Local {
		return 3 * time.Second
	}
	return 10 * time.Second
}

// serveFindJSON is serveFind for a program.
func (c deadPages) serveFindJSON(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query().Get("q")
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if query == "" || err != nil || limit < 1 {
		http.Error(w, "q must be a messageId or a userId, and limit at least 1", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.patience())
	defer cancel()
	story, err := c.source.Find(ctx, query, limit)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(story) // an error is the client's, who has gone
}
