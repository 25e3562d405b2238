package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/httpserver"
)

// metricsInterval is how often a server writes its metrics; CloudWatch adds them up by the minute.
const metricsInterval = 10 * time.Second

// ListenAndServe serves where the options say until ctx ends, and finishes the requests that are
// under way then.
func (e *Endpoint) ListenAndServe(ctx context.Context) error {
	l, err := net.Listen("tcp", e.Options.Server.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: set another address in %s, or stop what uses it", err, envListen), e.Close())
	}
	err = e.Serve(ctx, l)
	if err == nil {
		e.logger.InfoContext(ctx, "ended", "reason", context.Cause(ctx).Error())
	}
	return err
}

// Serve is ListenAndServe with a listener, which it closes.
func (e *Endpoint) Serve(ctx context.Context, l net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { e.values.Run(background) })
	running.Go(func() { e.queues.run(background) })
	running.Go(func() {
		t := time.NewTicker(metricsInterval)
		defer t.Stop()
		for {
			select {
			case <-background.Done():
				return
			case <-t.C:
				e.writeMetrics(background)
			}
		}
	})
	e.logger.InfoContext(ctx, "listening", "address", l.Addr().String())
	server := httpserver.New(e.guarded, e.logger)
	if e.Options.Server.TrustedProxies == 0 { // otherwise all connections are the proxy's
		server.Limits.PerClient = httpserver.MaxConnsPerClient
	}
	err := httpserver.Serve(ctx, server, l, e.Options.Server.ShutdownGrace, e.handler.Shutdown)
	stop()
	running.Wait()
	e.writeMetrics(background)
	if err := e.senders.Write(e.lines, time.Now()); err != nil {
		e.logger.WarnContext(background, "the heaviest senders could not be written", "error", err)
	}
	return errors.Join(err, e.Close())
}
