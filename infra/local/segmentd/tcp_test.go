package segmentd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts s on a free port. stop ends it and returns what Serve returned.
func serve(t *testing.T, s *Server) (url string, client *http.Client, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	transport := &http.Transport{}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		err := <-done
		transport.CloseIdleConnections()
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + ln.Addr().String(), &http.Client{Transport: transport}, stop
}

func send(ctx context.Context, client *http.Client, url, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("key", "")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(resp.Body)
	return string(got), joinClose(err, resp.Body)
}

func TestFaultsOverTCPAreTheErrorsOfANetwork(t *testing.T) {
	s := New(Options{})
	url, client, _ := serve(t, s)
	for _, tc := range []struct {
		fault Fault
		want  error
		body  string
	}{
		{FaultReset, syscall.ECONNRESET, ""},
		{FaultHalfAnswer, io.ErrUnexpectedEOF, successBody[:len(successBody)/2]},
	} {
		setScript(t, s, Rule{Fault: tc.fault})
		got, err := send(t.Context(), client, url+"/v1/batch", tracks(1))
		if !errors.Is(err, tc.want) || got != tc.body {
			t.Errorf("%s: %q, %v, want %v", tc.fault, got, err, tc.want)
		}
	}
	setScript(t, s, Rule{Fault: FaultSlowBody, Over: Duration(time.Millisecond)})
	if got, err := send(t.Context(), client, url+"/v1/batch", tracks(1)); got != successBody || err != nil {
		t.Errorf("slow body: %q, %v", got, err)
	}
}

func TestAHangOverTCPEndsWhenTheClientGoes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Options{OnEvent: func(Received) { cancel() }}) // the client goes once its events have arrived
	setScript(t, s, Rule{Fault: FaultHang, Accept: true})
	ended := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		s.ServeHTTP(w, r)
	}))
	defer srv.Close()
	if _, err := send(ctx, srv.Client(), srv.URL+"/v1/batch", tracks(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-ended
	if got := s.Stats(); got.Aborted != 1 || got.InFlight != 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestConnectionsAreCountedAndReused(t *testing.T) {
	s := New(Options{})
	url, client, _ := serve(t, s)
	for range 5 {
		if _, err := send(t.Context(), client, url+"/v1/batch", tracks(1)); err != nil {
			t.Fatal(err)
		}
	}
	client.CloseIdleConnections()
	if _, err := send(t.Context(), client, url+"/v1/batch", tracks(1)); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Connections != 2 || got.Requests != 6 {
		t.Errorf("stats %+v", got)
	}
}

func TestServeFinishesRequestsUnderWay(t *testing.T) {
	taken := make(chan struct{})
	s := New(Options{Latency: time.Hour, OnEvent: func(Received) { close(taken) }})
	url, client, stop := serve(t, s)
	type result struct {
		body string
		err  error
	}
	answered := make(chan result, 1)
	go func() {
		body, err := send(context.Background(), client, url+"/v1/batch", tracks(1))
		answered <- result{body, err}
	}()
	<-taken
	if err := stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if got := <-answered; got.body != successBody || got.err != nil {
		t.Errorf("answer %q, %v", got.body, got.err)
	}
	if _, err := send(t.Context(), client, url+"/v1/batch", tracks(1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
}

func TestServeReturnsWhyItsListenerFailed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestAFarTooLargeBodyIsStillAnswered(t *testing.T) {
	s := New(Options{})
	url, client, _ := serve(t, s)
	got, err := send(t.Context(), client, url+"/v1/batch", strings.Repeat(" ", 6<<20))
	if err != nil || !strings.Contains(got, "batch_too_large") {
		t.Errorf("%q, %v", got, err)
	}
	if got := s.Stats(); got.WireBytes != 6<<20 || got.ByStatus[400] != 1 {
		t.Errorf("stats %+v", got)
	}
}
