package segmentd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func drain(resp *http.Response) error {
	_, err := io.Copy(io.Discard, resp.Body)
	return joinClose(err, resp.Body)
}

func joinClose(err error, c io.Closer) error {
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// try posts body to path in-process with the write key "key", and returns the error of the request
// or of reading its answer.
func try(ctx context.Context, s *Server, path, body string, edit ...func(*http.Request)) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://segment"+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.SetBasicAuth("key", "")
	for _, e := range edit {
		e(req)
	}
	resp, err := s.HTTPClient().Do(req)
	if err != nil {
		return reply{}, err
	}
	var buf bytes.Buffer
	_, err = buf.ReadFrom(resp.Body)
	return reply{resp.StatusCode, resp.Header, buf.String()}, joinClose(err, resp.Body)
}

func post(t *testing.T, s *Server, path, body string, edit ...func(*http.Request)) reply {
	t.Helper()
	r, err := try(t.Context(), s, path, body, edit...)
	if err != nil {
		t.Fatalf("post %s: %v", path, err)
	}
	return r
}

// track is a valid event.
func track(id string) string {
	return fmt.Sprintf(`{"type":"track","event":"Run Started","userId":"u1","messageId":%q}`, id)
}

func batchOf(events ...string) string { return `{"batch":[` + strings.Join(events, ",") + `]}` }

func tracks(n int) string {
	events := make([]string, n)
	for i := range events {
		events[i] = track(fmt.Sprint("m", i))
	}
	return batchOf(events...)
}

func setScript(t *testing.T, s *Server, rules ...Rule) {
	t.Helper()
	if err := s.SetScript(Script{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

func wantStatus(t *testing.T, r reply, status int) {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d (%s), want %d", r.status, r.body, status)
	}
}

func wantReceived(t *testing.T, s *Server, n int64) {
	t.Helper()
	if got := s.Stats().Received; got != n {
		t.Fatalf("received %d events, want %d", got, n)
	}
}
