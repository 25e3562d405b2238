package local

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/spillwayhq/spillway/shared/httpserver"
)

// A Page is an http.Handler that has something to do besides, until its context ends.
type Page interface {
	http.Handler
	Run(context.Context)
}

// openConsole opens the port of the operator's page.
func (p *Pipeline) openConsole(c *Config) error {
	l, err := ListenOrFree(c.ConsoleAddr, "--console-port", c.ConsoleAnyPort)
	if err != nil {
		return err
	}
	page := c.Console(p)
	p.ConsoleURL = EndpointURL(l.Addr())
	p.listeners = append(p.listeners, listener{l, func(ctx context.Context, l net.Listener) error {
		return ServePage(ctx, page, l, p.logger)
	}})
	return nil
}

// ServePage serves a page until ctx ends, which ends its streams.
func ServePage(ctx context.Context, page Page, l net.Listener, logger *slog.Logger) error {
	stop := background(ctx, page.Run)
	defer stop()
	server := httpserver.New(httpserver.Guard(page, logger), logger)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	return httpserver.Serve(ctx, server, l, shutdownGrace, func(context.Context) error { return nil })
}
