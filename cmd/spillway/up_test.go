package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestUpRunsUnderAnotherNameAndAcceptsTheWriteKeysOfAFile(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"writeKeys":[{"name":"shop","writeKey":"theshopkey"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stop := inBackground(t, "up", "--name=staging", "--write-keys="+keys, "--sqs-port=0", "--segment-port=0",
		"--ingest-port=0", "--console-port=0", "--data-dir="+t.TempDir())
	await(t, "its addresses", func() bool { return strings.Contains(out.String(), " dlq ls") })
	found := regexp.MustCompile(`events queue +(http\S+/staging-events)`).FindStringSubmatch(out.String())
	ingest := regexp.MustCompile(`ingest endpoint +(http\S+)`).FindStringSubmatch(out.String())
	if found == nil || ingest == nil || !strings.Contains(out.String(), "/staging-dead-letters\n") ||
		!strings.Contains(out.String(), "dlq ls --queue-url "+found[1]) {
		t.Fatalf("it printed\n%s", out)
	}
	if out, _, err := spillway(t.Context(), "", "dlq", "ls", "--queue-url="+found[1]); err != nil ||
		!strings.Contains(out, "There are no dead letters.") {
		t.Errorf("dlq ls: %v, printed %q", err, out)
	}
	for key, want := range map[string]int{"theshopkey": http.StatusOK, "other": http.StatusBadRequest} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ingest[1]+"/v1/track",
			strings.NewReader(`{"userId":"u","event":"E"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, "")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("write key %s: status %d, want %d", key, resp.StatusCode, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestUpPrintsItsAddressesAndStopsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, _, err := spillway(ctx, "", "up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0",
		"--console=false", "--data-dir="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SQS emulator", "events queue", "AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL_SQS=http://",
		"aws sqs send-message", " send --count", "backlog_messages=0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "Warning") {
		t.Errorf("with addresses for this machine alone it warns:\n%s", out)
	}
	if strings.Contains(out, "operator's page") {
		t.Errorf("with --console=false it names a page:\n%s", out)
	}
}

func TestAnAddressForOtherMachinesIsOpenedWithAWarning(t *testing.T) {
	t.Parallel()
	const warning = "Warning: every machine that reaches this one by any of its addresses can send events"
	for _, args := range [][]string{
		{"up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0", "--console=false", "--data-dir=" + t.TempDir()},
		{"segmentd", "--port=0"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		out, _, err := spillway(ctx, "", append(args, "--listen=0.0.0.0")...)
		if err != nil || !strings.Contains(out, warning) || !strings.Contains(out, "http://localhost:") ||
			!strings.Contains(out, "--allow-host") {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
}
