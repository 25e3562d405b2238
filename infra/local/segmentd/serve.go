package segmentd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	// readHeaderTimeout and readTimeout end clients that stop sending; half a megabyte needs far
	// less than a minute.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	// idleTimeout is above that of Go's default client (90 s), so that the client closes first: a
	// server that closes first makes requests fail that are being sent.
	idleTimeout = 2 * time.Minute
	// shutdownTimeout is how long Serve waits for answers under way, which no longer wait for their
	// latency.
	shutdownTimeout = 5 * time.Second
)

// Serve answers requests on ln until ctx is done, then ends latencies and hangs, finishes the
// requests under way, and returns nil. It closes ln. An error means that the listener failed, or
// that answers took longer than 5 s to finish. There is no write timeout: the script decides how
// slow an answer is.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	handler := http.Handler(s)
	if s.wrap != nil {
		handler = s.wrap(s)
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		ConnState:         s.connState,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if s.bound != nil {
		ln = s.bound(srv, ln)
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("segmentd: serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		_ = srv.Close()
	}
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err != nil {
		return fmt.Errorf("segmentd: shut down: %w", err)
	}
	return nil
}

// connState counts connections in Stats.
func (s *Server) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.rec.opened()
	}
}
