// Package ingest is the ingest endpoint: an http.Handler that takes the requests of Segment's SDKs
// and answers when the queue has their events.
//
// It implements the Tracking API as the SDKs use it, which is more than Segment documents (see
// routeOf), and answers as their retry rules require: 200 and {"success":true} only when SQS has
// every event; 400 when no retry would succeed; 429 with Retry-After while the queue is unavailable
// or the endpoint is overloaded. Any other answer makes some SDK drop events or send them
// endlessly.
//
// Segment itself answers 200 to nearly everything and silently drops events that break its rules.
// So this package applies the rules: it refuses a request without any valid event, and otherwise
// makes dead letters of the invalid events.
//
// An event's bytes are sent on unchanged, except that messageId, timestamp and the client's address
// are inserted where they are missing (see event.Received).
//
// Concurrent requests share messages and calls, because SQS and Lambda take money and time for each
// message, not for each event: see [Config].Linger.
//
// The package knows neither Lambda nor the environment.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/message"
)

// Sender sends messages; *sqsclient.Sender is one. The error is nil or, if only some messages
// failed, a *sqsclient.SendError. Send must return when ctx ends, and be safe for concurrent use.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// A Queue is a Sender that may know that it takes no message now; *sqsclient.Failover is one.
type Queue interface {
	Sender
	Refusing(now time.Time) bool
}

// Config is the configuration of a Handler. Queue and DeadLetters are required.
type Config struct {
	Queue       Queue
	DeadLetters Sender // gets the invalid events of requests that also have valid ones

	// Archive is called with the dead letters that DeadLetters has taken, before their requests are
	// answered, and keeps nothing of them. It must return when ctx ends, and be safe for concurrent
	// use. nil: nobody is told.
	Archive func(ctx context.Context, written []*message.DeadLetter)

	// Keys are the accepted write keys. nil: any well-formed one.
	Keys KeySet
	// ClientIP returns the address that client events are enriched with, like [ForwardedAddr]. nil:
	// the address of the connection's other end, or what a platform sets as RemoteAddr; headers are
	// ignored, because any client can write them.
	ClientIP func(*http.Request) netip.Addr

	// PublicURL is scheme and host under which clients reach the endpoint, like
	// https://events.example.com, for the settings that SDKs load. Empty: those of the request.
	PublicURL string
	// PathPrefix is what precedes the endpoint's paths at a proxy in front, like /events, whether
	// or not the proxy passes it on. The settings that SDKs load name it too.
	PathPrefix string
	// TrustForwardedProto says that X-Forwarded-Proto comes from a proxy and names the clients'
	// scheme.
	TrustForwardedProto bool

	// Linger is how long the first of the requests that share messages waits for others while a
	// call is under way, at most: a few milliseconds in a server. With no call under way none
	// waits. A Lambda, which has one request at a time, uses 0: then requests share messages only
	// while all MaxSends calls are under way.
	Linger time.Duration
	Limits Limits

	// Fair reports whether messages get the group of their write key, see message.Message.Group. It
	// is called for each group of requests, and must be safe for concurrent use. nil: they get
	// none.
	Fair func() bool
	// Senders counts the events of requests by who sends them, accepted and refused. nil: nothing
	// does.
	Senders *heavy.Counter
	// CanaryWriteKey is the write key of canaries, whom Senders does not count. Empty: there are
	// none.
	CanaryWriteKey string
	Report         func(Summary) // is called once for each request, before the answer; must be safe for concurrent use
	Logger         *slog.Logger  // gets no payload, no write key and no address
}

// A Handler is the ingest endpoint. It is safe for concurrent use.
type Handler struct {
	config     Config
	inFlight   inFlight
	memory     memoryBudget
	arrivals   arrivals
	pool       requestPool
	quotas     quotas
	compressor *message.Compressor
	committer  committer
	pixels     pixelLog
	keyID      event.LastKeyID
	// deadLetters may take half of QueueTimeout, because the valid events still have to reach the
	// queue.
	deadLetters deadLetterWriter
}

// New validates the configuration and returns a Handler.
func New(c Config) (*Handler, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	h := &Handler{
		config: c, inFlight: newInFlight(c.Limits.MaxInFlight), memory: memoryBudget{limit: int64(c.Limits.MaxMemory)},
		compressor: compressor,
	}
	h.arrivals = arrivals{limit: c.Limits.maxArriving(), memory: &h.memory, known: h.namesKnownKey}
	h.committer = committer{
		queue: c.Queue, linger: c.Linger, timeout: c.Limits.QueueTimeout, compressor: compressor, logger: c.Logger,
		fair: c.Fair, slots: make(chan struct{}, c.Limits.MaxSends), draining: h.inFlight.draining,
	}
	h.deadLetters = deadLetterWriter{
		queue: c.DeadLetters, lingers: c.Linger > 0, timeout: c.Limits.QueueTimeout / 2, compressor: compressor,
		draining: h.inFlight.draining, logger: c.Logger, archive: c.Archive,
	}
	return h, nil
}

// complete validates c and sets the defaults.
func (c *Config) complete() error {
	if c.Queue == nil || c.DeadLetters == nil {
		return errors.New("ingest: Queue and DeadLetters must be given")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("the public URL must be scheme and host, like https://events.example.com, is %q", c.PublicURL)
		}
	}
	var err error
	if c.PathPrefix, err = ParsePathPrefix(c.PathPrefix); err != nil {
		return err
	}
	if c.Linger < 0 || c.Linger > time.Second {
		return fmt.Errorf("the linger must be between 0 and %v, is %v", time.Second, c.Linger)
	}
	if err := c.Limits.complete(); err != nil {
		return err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Report == nil {
		c.Report = func(Summary) {}
	}
	if c.Fair == nil {
		c.Fair = func() bool { return false }
	}
	if c.ClientIP == nil {
		c.ClientIP = peerAddr
	}
	if c.Keys == nil {
		c.Logger.Warn("no set of write keys is configured: any well-formed write key is accepted")
	}
	return nil
}

// Shutdown answers 429 to new requests and to those whose body is still arriving, and returns when
// all requests in flight have been answered, which takes at most QueueTimeout. If ctx ends first,
// Shutdown returns its error, and the requests in flight go on. It may be called more than once.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.inFlight.drain()
	h.pixels.flush(h.config.Logger)
	select {
	case <-h.inFlight.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the requests in flight: %w", ctx.Err())
	}
}

// Close is Shutdown without a deadline.
func (h *Handler) Close() error { return h.Shutdown(context.Background()) }
