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
	// readHeaderTimeout and readTimeout end clients that stop sending; half a megabyte needs
	// nowhere near a minute.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	// idleTimeout is above that of Go's default client (90 s), so that the client is the one to
	// close: a server that closes first makes requests fail that are just being sent.
	idleTimeout = 2 * time.Minute
	// shutdownTimeout is how long Serve waits for answers under way. They don't wait for their
	// latency by then.
	shutdownTimeout = 5 * time.Second
)

// Serve answers requests on ln until ctx is done, lets those under way finish, and returns nil.
// Latencies and hangs end at once then. It closes ln. An error means that the listener failed, or
// that answers had to be cut off after 5 s. There is no write time-out: how slow an answer is, is
// the script's business.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		ConnState:         s.connState,
		BaseContext:       func(net.Listener) context.Context { return ctx },
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

// ConnState counts connections in Stats. Serve uses it; another http.Server, httptest's for
// example, can be given it.
func (s *Server) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.rec.opened()
	}
}
