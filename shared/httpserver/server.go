// Package httpserver is an http.Server that any client may reach: it bounds the connections, and
// what a client can hold that sends slowly or never ends its headers; it shuts down gracefully, and
// its log names no client. Every server of Spillway uses it.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Limits of a server: what a client can hold that sends slowly or never ends its headers.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second // header and body: 500 KB from a phone at 17 KB/s
	writeTimeout      = 60 * time.Second // from the end of the header: the body, the queue, and the answer
	// above the 60 s of AWS's load balancers, so that they and not we close a connection
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 16 << 10 // net/http adds 4 KB; the SDKs send less than 1 KB
)

// A Server is an http.Server with bounds for its connections. Both may be changed before Serve.
type Server struct {
	http.Server
	Limits Limits
}

// New returns a server with the package's limits, without one for each client. The logger gets
// errors of this machine only, not those that a client can cause.
func New(handler http.Handler, logger *slog.Logger) *Server {
	return &Server{Server: http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(ownErrors{logger.Handler()}, slog.LevelWarn),
	}}
}

// Serve takes requests from l until ctx ends. Then it takes no new connection, lets the requests
// under way finish, and calls flush, all within grace. The error says what did not end within it.
func Serve(ctx context.Context, server *Server, l net.Listener, grace time.Duration,
	flush func(context.Context) error) error {
	bounded := bound(&server.Server, l, server.Limits)
	sweeping, stopSweeping := context.WithCancel(context.WithoutCancel(ctx))
	var swept sync.WaitGroup
	swept.Go(func() { bounded.conns.sweep(sweeping) })
	defer swept.Wait()
	defer stopSweeping()
	served := make(chan error, 1)
	go func() { served <- server.Serve(bounded) }()
	var failed error
	select {
	case err := <-served:
		failed = fmt.Errorf("serve on %s: %w", l.Addr(), err)
		served <- http.ErrServerClosed
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		failed = errors.Join(failed,
			fmt.Errorf("requests still under way after %v were cut off, their clients will retry them: %w",
				grace, err))
		_ = server.Close()
	}
	<-served
	if err := flush(ending); err != nil {
		failed = errors.Join(failed, fmt.Errorf("finish accepted requests: %w", err))
	}
	return failed
}

// Guard answers 500 if the handler panics. net/http would cut the connection off and log the
// client's address; in a Lambda function the process would end, and one event that makes it panic
// could end every environment again and again.
func Guard(handler http.Handler, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				// The value may quote the event. Its type and the place are enough to find the bug.
				logger.ErrorContext(r.Context(), "panic in a request", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		handler.ServeHTTP(w, r)
	})
}

// ownErrors passes on those of net/http's log lines that are about this machine (no file handle is
// left). The others are about a client and name its address, and the client could write as many as
// it likes.
type ownErrors struct{ slog.Handler }

func (o ownErrors) Handle(ctx context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "http: Accept error") {
		return nil
	}
	return o.Handler.Handle(ctx, r)
}
