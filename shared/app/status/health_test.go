package status

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealthIsAskedOnANewConnectionEachTime(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stage/health" || !strings.HasPrefix(r.UserAgent(), "spillway-status/") {
			t.Errorf("%s by %s", r.URL, r.UserAgent())
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for range 3 {
		if h := AskHealth(t.Context(), nil, server.URL+"/stage/"); h.Err != nil || h.Status != 200 {
			t.Errorf("%+v", h)
		}
	}
	if connections.Load() != 3 {
		t.Errorf("%d connections, want 3", connections.Load())
	}
}

// A region that has failed must not look well through the one that Route 53 leads to in its place.
func TestARegionIsAskedAtItsOwnHostUnderTheNameThatRegionsShare(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host+r.URL.Path)
	}))
	defer server.Close()
	h := AskHealth(t.Context(), nil, "http://events.invalid#"+server.Listener.Addr().String())
	if h.Err != nil || h.Status != http.StatusOK || !slices.Equal(asked, []string{"events.invalid/health"}) {
		t.Errorf("asked for %v, which says %+v", asked, h)
	}
	if h := AskHealth(t.Context(), nil, "http://events.invalid#a b"); h.Err == nil {
		t.Error("a host that is none is dialed")
	}
}

func TestANameThatDoesNotExistIsTold(t *testing.T) {
	t.Parallel()
	h := AskHealth(t.Context(), nil, "http://spillway.invalid") // RFC 6761: no resolver knows it
	if _, ok := errors.AsType[*net.DNSError](h.Err); !ok {
		t.Errorf("%+v", h)
	}
}

type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func answer(status int) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("{}")), Header: http.Header{}}
}

func TestOneTryThatFailsIsNoOutage(t *testing.T) {
	for name, first := range map[string]answers{
		"5xx":  func(*http.Request) (*http.Response, error) { return answer(503), nil },
		"none": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") },
		"hang": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			h := AskHealth(t.Context(), answers(func(r *http.Request) (*http.Response, error) {
				if tries++; tries == 1 {
					return first(r)
				}
				return answer(200), nil
			}), "https://ingest.test")
			if h.Status != 200 || h.Err != nil || tries != 2 {
				t.Errorf("%s: %+v after %d tries", name, h, tries)
			}
		})
	}
}

func TestAnEndpointThatHangsIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), regionTimeout)
		defer cancel()
		h := AskHealth(ctx, answers(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), "https://ingest.test")
		if took := time.Since(begun); h.Err == nil || took > regionTimeout ||
			!strings.Contains(h.Err.Error(), "no answer within 4s") {
			t.Errorf("%+v after %v", h, took)
		}
	})
}

func TestARedirectIsNoHealth(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("https://example.com/", http.StatusFound))
	defer server.Close()
	if h := AskHealth(t.Context(), nil, server.URL); h.Status != http.StatusFound {
		t.Errorf("%+v", h)
	}
}
