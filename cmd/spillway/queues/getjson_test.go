package queues

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestARunningUpIsAskedForALimitedTime(t *testing.T) {
	hangs, half := make(chan struct{}), `{"name":"`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hangs":
			<-hangs
		case "/half":
			_, _ = io.WriteString(w, half)
			_ = http.NewResponseController(w).Flush()
			<-hangs
		case "/json":
			_, _ = io.WriteString(w, half+`up"}`)
		case "/page":
			_, _ = io.WriteString(w, "<html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	defer close(hangs)
	ask := func(path string, patience time.Duration, most int64) (name string, err error) {
		var got struct{ Name string }
		err = getJSON(t.Context(), patience, server.URL+path, most, &got)
		return got.Name, err
	}
	if name, err := ask("/json", time.Minute, 100); err != nil || name != "up" {
		t.Errorf("got %q, %v", name, err)
	}
	for _, path := range []string{"/hangs", "/half"} {
		want := server.URL + path + " has not answered within 20ms: is that `spillway up` stopped"
		if _, err := ask(path, 20*time.Millisecond, 100); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	for path, most := range map[string]int64{"/page": 100, "/json": 5, "/other": 100} {
		_, err := ask(path, time.Minute, most)
		if wrong := (*AnswerError)(nil); !errors.As(err, &wrong) || (wrong.Status == "200 OK") == (path == "/other") {
			t.Errorf("%s, of which %d bytes are read: %v", path, most, err)
		}
	}
	why := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := getJSON(ctx, time.Minute, server.URL+"/hangs", 100, new(any)); !errors.Is(err, why) {
		t.Errorf("interrupted: %v", err)
	}
	if err := GetJSON(t.Context(), "http://127.0.0.1:1/", 100, new(any)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nothing listens: %v", err)
	}
}
