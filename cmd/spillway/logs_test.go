package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// insightsOf is CloudWatch Logs with one answer to every query, which it has after the second time
// that it is asked. It notes the queries.
type insightsOf struct {
	answer  string // the rows, as JSON
	mu      sync.Mutex
	queries []map[string]any
	asked   int
}

func (i *insightsOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch action {
	case "StartQuery":
		var query map[string]any
		_ = json.NewDecoder(r.Body).Decode(&query)
		i.queries, i.asked = append(i.queries, query), 0
		_, _ = w.Write([]byte(`{"queryId":"q"}`))
	case "GetQueryResults":
		if i.asked++; i.asked == 1 {
			_, _ = w.Write([]byte(`{"status":"Running","results":[],"statistics":{"bytesScanned":1}}`))
			return
		}
		_, _ = w.Write([]byte(`{"status":"Complete","results":` + i.answer + `}`))
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

func onInsights(t *testing.T, answer string) *insightsOf {
	t.Helper()
	withoutAWS(t)
	i := &insightsOf{answer: answer}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
		t.Setenv(name, value)
	}
	return i
}

func TestLogsPrintsTheNewestLinesOldestFirst(t *testing.T) {
	i := onInsights(t, `[
		[{"field":"@timestamp","value":"2026-11-24 12:00:02.000"},{"field":"@message","value":"later\u001b[2J\n"},{"field":"@ptr","value":"p"}],
		[{"field":"@timestamp","value":"2026-11-24 12:00:01.000"},{"field":"@message","value":"{\"msg\":\"earlier\"}\n"}]]`)
	out, _, err := spillway(t.Context(), "", "logs", "--name=staging", "deliver", "--last=2", `--match=say "no"`)
	const want = "2026-11-24 12:00:01.000  {\"msg\":\"earlier\"}\n2026-11-24 12:00:02.000  later\uFFFD[2J\n"
	if err != nil || out != want {
		t.Errorf("%v, printed %q, want %q", err, out, want)
	}
	query, text := i.queries[0], i.queries[0]["queryString"].(string)
	if query["logGroupName"] != "/aws/lambda/staging-deliver" ||
		query["endTime"].(float64)-query["startTime"].(float64) != 3600 {
		t.Errorf("it asked %v", query)
	}
	for _, part := range []string{"| sort @timestamp desc | limit 2", `not like /^(START|END|REPORT`,
		`| filter @message like "say \"no\""`} {
		if !strings.Contains(text, part) {
			t.Errorf("the query %q has no %q", text, part)
		}
	}
	if _, _, err := spillway(t.Context(), "", "logs", "--name=staging", "canary", "--all"); err != nil ||
		strings.Contains(i.queries[1]["queryString"].(string), "START") {
		t.Errorf("with --all it asks %v (%v)", i.queries[1], err)
	}
}

func TestLogsPrintsAnAnswerAsATable(t *testing.T) {
	onInsights(t, `[[{"field":"error","value":"AccessDenied\nx"},{"field":"count(*)","value":"12"}],[{"field":"count(*)","value":"3"}]]`)
	const query = "--query=stats count(*) by error"
	out, _, err := spillway(t.Context(), "", "logs", "--name=staging", "deliver", query)
	if want := "error           count(*)\nAccessDenied x  12\n                3\n"; err != nil || out != want {
		t.Errorf("%v, printed %q, want %q", err, out, want)
	}
	out, _, err = spillway(t.Context(), "", "logs", "--name=staging", "deliver", query, "--json")
	if want := `{"count(*)":"12","error":"AccessDenied\nx"}` + "\n" + `{"count(*)":"3"}` + "\n"; err != nil || out != want {
		t.Errorf("%v, printed %q, want %q", err, out, want)
	}
}

func TestLogsSaysThatThereIsNothing(t *testing.T) {
	onInsights(t, `[]`)
	out, told, err := spillway(t.Context(), "", "logs", "--name=staging", "ingest", "--since=15m")
	if err != nil || out != "" || told != "/aws/lambda/staging-ingest has no such lines in the last 15m\n" {
		t.Errorf("%v, printed %q and %q", err, out, told)
	}
}

func TestErrorsOfLogsAreOneLine(t *testing.T) {
	withoutAWS(t)
	for want, args := range map[string][]string{
		"needs the function whose log it reads: one of deliver, ingest, canary, rollout, status": {"--name=x"},
		`unknown function "delivery" (known: deliver, ingest, canary, rollout, status)`:          {"--name=x", "delivery"},
		"--name is missing":                   {"deliver"},
		"must begin with a lower-case letter": {"--name=X", "deliver"},
		"--since must be at least 1s":         {"--name=x", "deliver", "--since=0s"},
		"--last must be between 1 and 10,000": {"--name=x", "deliver", "--last=0"},
		"remove --match":                      {"--name=x", "deliver", "--query=x", "--match=y"},
		"remove --last":                       {"--name=x", "deliver", "--query=x", "--last=3"},
		"--query must not be empty":           {"--name=x", "deliver", "--query="},
		"set AWS_REGION":                      {"--name=x", "deliver"},
	} {
		_, _, err := spillway(t.Context(), "", append([]string{"logs"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
