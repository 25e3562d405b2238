package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestHealthSaysWhetherAnIngestEndpointAcceptsEvents(t *testing.T) {
	t.Parallel()
	up := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0"})
	if out, _, err := spillway(t.Context(), "", "health", "--url="+up.IngestURL); err != nil ||
		out != "{\"success\":true}\n" {
		t.Errorf("of a pipeline that runs it says %q, %v", out, err)
	}
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"success":false,"code":"queue_unavailable"}`, http.StatusServiceUnavailable)
	}))
	defer ill.Close()
	for url, want := range map[string]string{
		ill.URL:                "/health answers 503 Service Unavailable: {\"success\":false,\"code\":\"queue_unavailable\"}",
		"http://127.0.0.1:1":   "http://127.0.0.1:1/health can't be asked: ",
		"127.0.0.1:8080":       "--url must be that of an ingest endpoint, like http://127.0.0.1:8080, is \"127.0.0.1:8080\"",
		"http://":              "--url must be",
		"http://127.0.0.1?a=b": "--url must be",
		"sqs://127.0.0.1":      "--url must be",
	} {
		if out, _, err := spillway(t.Context(), "", "health", "--url="+url); err == nil || out != "" ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %s", url, out, err, want)
		}
	}
}
