package ingest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestAServerLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"writeKeys":[{"name":"a","writeKey":"wk-a"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log testutil.Buffer
	e, err := FromEnvironment(t.Context(), complete("SPILLWAY_WRITE_KEYS_FILE="+keys), &log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Serve(ctx, l) }()
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
	if text := log.String(); !strings.Contains(text, `"EventsAccepted":0`) || !strings.Contains(text, `"count":1`) ||
		strings.Contains(text, "wk-a") {
		t.Errorf("log:\n%s", text)
	}
}

func TestAPortInUseIsOneClearLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, err := FromEnvironment(t.Context(), complete("SPILLWAY_LISTEN="+l.Addr().String()), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err = e.ListenAndServe(t.Context()); err == nil || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "set another address in SPILLWAY_LISTEN") {
		t.Errorf("%v", err)
	}
}

func TestAWrongPublicURLIsNamed(t *testing.T) {
	_, err := FromEnvironment(t.Context(), complete("SPILLWAY_PUBLIC_URL=events.example.com"), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "SPILLWAY_PUBLIC_URL") ||
		!strings.Contains(err.Error(), "https://events.example.com") {
		t.Errorf("%v", err)
	}
}
