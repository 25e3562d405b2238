package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/shared/httpserver"
)

func TestTheEndLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"writeKeys":[{"name":"a","writeKey":"wk-a"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(complete("SPILLWAY_WRITE_KEYS_FILE=" + keys))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d, err := newDoor(t.Context(), c, &log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/m HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", answer, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, `"Requests":1`) || !strings.Contains(text, `"count":1`) ||
		strings.Contains(text, "wk-a") {
		t.Errorf("log:\n%s", text)
	}
}

func TestAPanicIsAnAnswerAndALogLineWithoutTheEvent(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	got, err := function{httpserver.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("secret@example.com")
	}), logger)}.Invoke(t.Context(), event(t, func(*payload) {}))
	if err != nil || !strings.Contains(string(got), `"statusCode":500`) ||
		!strings.Contains(string(got), `\"success\":false`) {
		t.Errorf("%s, %v", got, err)
	}
	if text := log.String(); !strings.Contains(text, "server_test.go") || strings.Contains(text, "secret") {
		t.Errorf("log: %s", text)
	}
}
