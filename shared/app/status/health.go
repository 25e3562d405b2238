package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/version"
)

const (
	// healthTimeout bounds one try of /health, which waits for nothing; a cold start of the ingest
	// function takes less than a second.
	healthTimeout = 4 * time.Second
	// healthPause is the time before the second try: one packet that was lost is no outage.
	healthPause = 500 * time.Millisecond
)

// AskHealth asks the ingest endpoint at a URL from outside, as a new client does: with a name
// look-up, a connection and a TLS handshake of its own, so that a connection of the minute before
// hides nothing. What fails is tried once more. Another transport than nil is for tests.
//
// Where several regions share the URL's host, the URL ends with # and the host of the region that is
// asked, which is connected to in place of the shared one: otherwise a region that has failed would
// look as well as the one that Route 53 leads to in its place.
func AskHealth(ctx context.Context, transport http.RoundTripper, ingestURL string) Health {
	ingestURL, dial, _ := strings.Cut(ingestURL, "#")
	if transport == nil {
		fresh := http.DefaultTransport.(*http.Transport).Clone()
		if dial != "" {
			var err error
			if fresh, err = canary.Dialing(dial); err != nil {
				return Health{Err: err}
			}
		}
		fresh.DisableKeepAlives = true
		defer fresh.CloseIdleConnections()
		transport = fresh
	}
	h := tryHealth(ctx, transport, ingestURL)
	if h.Err == nil && h.Status == http.StatusOK && h.Took <= slowHealth {
		return h
	}
	select {
	case <-ctx.Done():
		return h
	case <-time.After(healthPause):
	}
	second := tryHealth(ctx, transport, ingestURL)
	if second.Err != nil && h.Err == nil { // it says more than a try for which no time was left
		return h
	}
	return second
}

func tryHealth(ctx context.Context, transport http.RoundTripper, ingestURL string) (h Health) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	address, err := url.JoinPath(ingestURL, "health")
	if err != nil {
		return Health{Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Health{Err: err}
	}
	r.Header.Set("User-Agent", "spillway-status/"+version.String())
	begun := time.Now()
	// Through a transport no redirect is followed, and each is an answer that a client of ingest
	// would not understand.
	answer, err := transport.RoundTrip(r)
	if err == nil {
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
		h.Status = answer.StatusCode
	}
	h.Took = time.Since(begun)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v: %w", healthTimeout, err)
	}
	h.Err = err
	return h
}
