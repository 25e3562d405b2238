package segmentd

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func ask(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://segment/_segmentd/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err = joinClose(err, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func TestAScriptIsSetReadAndDeletedOverHTTP(t *testing.T) {
	s := New(Options{})
	if status, body := ask(t, s, "GET", "script", ""); status != 200 || strings.TrimSpace(body) != `{"rules":[]}` {
		t.Errorf("at first: %d %s", status, body)
	}
	script := `{"rules":[{"until":"1m0s","status":503}]}`
	if status, body := ask(t, s, "PUT", "script", script); status != 200 || strings.TrimSpace(body) != script {
		t.Errorf("put: %d %s", status, body)
	}
	wantStatus(t, post(t, s, "/v1/batch", tracks(1)), 503)
	if status, body := ask(t, s, "PUT", "script", `{"rules":[{"status":1}]}`); status != 400 ||
		!strings.Contains(body, "rule 1: status must be 200 to 599, is 1") {
		t.Errorf("put of a bad one: %d %s", status, body)
	}
	if _, body := ask(t, s, "GET", "script", ""); strings.TrimSpace(body) != script {
		t.Errorf("after the bad one: %s", body)
	}
	if status, _ := ask(t, s, "DELETE", "script", ""); status != 200 {
		t.Errorf("delete: %d", status)
	}
	wantStatus(t, post(t, s, "/v1/batch", tracks(1)), 200)
}

func TestATooLargeScriptIsRefused(t *testing.T) {
	status, body := ask(t, New(Options{}), "PUT", "script", `{"rules":[`+strings.Repeat(" ", maxScriptBytes)+`]}`)
	if status != 400 || !strings.Contains(body, "too large") {
		t.Errorf("%d %s", status, body)
	}
}

func TestStatsAndResetOverHTTP(t *testing.T) {
	s := New(Options{})
	post(t, s, "/v1/batch", batchOf(track("a"), track("a"), `{"type":"track","userId":"u"}`))
	_, body := ask(t, s, "GET", "stats", "")
	var got Stats
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Requests != 1 || got.Received != 2 || got.Duplicates != 1 || got.ByStatus[200] != 1 ||
		got.Rejected[codeEventNotDefined] != 1 || got.InFlight != 0 {
		t.Errorf("stats %s", body)
	}
	if status, _ := ask(t, s, "POST", "reset", ""); status != 200 {
		t.Errorf("reset: %d", status)
	}
	wantReceived(t, s, 0)
}

func TestTheLastEventsAreNDJSONOrAnArray(t *testing.T) {
	s := New(Options{})
	post(t, s, "/v1/batch", `{"context":{"ip":"1"},"batch":[`+track("a")+",\n"+`{"type":"track","event":"<b>","userId":"u",`+"\n"+`"messageId":"b"}]}`)
	_, lines := ask(t, s, "GET", "events", "")
	if got := strings.Split(strings.TrimSpace(lines), "\n"); len(got) != 2 ||
		!strings.Contains(got[1],
			`"event":{"type":"track","event":"<b>","userId":"u","messageId":"b","context":{"ip":"1"}}`) {
		t.Errorf("lines:\n%s", lines)
	}
	_, raw := ask(t, s, "GET", "events?limit=1&raw=true", "")
	if strings.Count(raw, "\n") != 1 || strings.Contains(raw, "context") || !strings.Contains(raw, `"messageId":"b"`) {
		t.Errorf("raw: %s", raw)
	}
	_, array := ask(t, s, "GET", "events?format=json&messageId=a&writeKey=key", "")
	var events []map[string]any
	if err := json.Unmarshal([]byte(array), &events); err != nil || len(events) != 1 || events[0]["messageId"] != "a" {
		t.Errorf("array: %s: %v", array, err)
	}
	if _, none := ask(t, s, "GET", "events?format=json&writeKey=x", ""); strings.TrimSpace(none) != "[]" {
		t.Errorf("none: %s", none)
	}
	if status, _ := ask(t, s, "GET", "events?limit=many", ""); status != 400 {
		t.Errorf("limit=many: %d", status)
	}
}

func TestUnknownAdminRequestsAreAnsweredWithTheKnownOnes(t *testing.T) {
	s := New(Options{})
	for call, want := range map[string]int{"GET nothing": 404, "POST stats": 405, "GET reset": 405, "DELETE events": 405} {
		method, path, _ := strings.Cut(call, " ")
		if status, body := ask(t, s, method, path, ""); status != want || !strings.Contains(body, "GET stats") {
			t.Errorf("%s: %d %s", call, status, body)
		}
	}
	if got := s.Stats().Requests; got != 0 {
		t.Errorf("%d questions were counted as requests", got)
	}
}
