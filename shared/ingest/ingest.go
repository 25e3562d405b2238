// Package ingest is the door: an http.Handler that takes what any Segment SDK sends and answers
// when the queue has it.
//
// It speaks the Tracking API as the SDKs really use it, which is more than its documentation says
// (see routeOf), and it answers as their retry rules demand: 200 and {"success":true} only when SQS
// has every event, 400 for what no second try would mend, and 429 with Retry-After when the queue
// is away or there is too much to do, because that is what SDKs honour. Everything else makes one
// SDK or another drop events or send them for ever.
//
// Segment itself answers 200 to nearly everything and drops what breaks its rules without a word.
// So the rules are applied here: a request of which nothing can be taken is refused; bad events
// among good ones become dead letters.
//
// Events stay the bytes that came. What has to change is spliced in (event.Received): identity,
// time, the client's address.
//
// The package knows neither Lambda nor the environment. Requests that come at the same time share
// messages and calls, for SQS and what comes behind it are paid and slowed by the message and not
// by the event: see [Config].Window.
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
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Sender sends messages; *sqsclient.Queue is one. The error is nil or, if only some failed, a
// *sqsclient.SendError. It must return when ctx ends, and may be called by several goroutines at
// the same time.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// Config is what a Handler works with. Queue and DeadLetters must be given.
type Config struct {
	Queue       Sender
	DeadLetters Sender // gets the bad events of requests whose others are good, in the format of package message

	// Health tells whether the queue can be reached; GET /health asks it, at most once a second.
	// nil: it always can.
	Health func(context.Context) error
	// Keys are the write keys that are taken. nil: any well-formed one.
	Keys KeySet
	// ClientIP is the address that events of clients are stamped with: [PeerAddr] when nil, or
	// [ForwardedAddr].
	ClientIP func(*http.Request) netip.Addr

	// PublicURL is scheme and host under which clients reach the door, like
	// https://events.example.com, for the settings that SDKs load. Empty: those of the request.
	PublicURL string
	// TrustForwardedProto: X-Forwarded-Proto comes from a proxy and tells the scheme that clients
	// use.
	TrustForwardedProto bool

	// Window is how long the first of the requests that share messages waits for others. A few
	// milliseconds for a server. 0, for a Lambda, which has one request at a time: it does not
	// wait; others join only while all calls to the queue are under way.
	Linger time.Duration
	Limits Limits

	Report func(Summary) // called for each request before it is answered, by several goroutines at the same time
	Logger *slog.Logger  // gets no payload, no write key and no address
}

// Limits bound what requests may cost. A zero is the default, which the constant of the same name
// says.
type Limits struct {
	MaxBody int // bytes of a request's body, compressed as well as decompressed
	// bytes of memory that all requests hold until they are answered, from the body to the call;
	// what needs more is answered 429
	MaxMemory   int
	MaxInFlight int // requests under way whose body has come; more are answered 429
	MaxSends    int // calls to the queue under way
	// how long a request waits for the queue before it is answered 429, and half of it for dead
	// letters
	QueueTimeout time.Duration
}

// Defaults of [Limits].
const (
	// defaultMaxBody is the larger reading of Segment's 500 KB, which the Java SDK takes as its budget.
	// Messages hold less, but a request may fill two.
	defaultMaxBody = 500 << 10
	// defaultMaxMemory: a byte of a body takes about four, as it came, spliced, packed and in the call.
	// So some 20 of the largest requests wait at a time, and with garbage and all else a process
	// stays below 150 MB.
	defaultMaxMemory = 48 << 20
	// defaultMaxInFlight bounds goroutines and what they hold besides bodies.
	defaultMaxInFlight = 4096
	// DefaultMaxSends keeps a queue that hangs from being called by all requests; 16 calls of 20 ms carry
	// 800 groups of requests a second.
	DefaultMaxSends = 16
	// defaultQueueTimeout is below the 10 s after which SDKs give a request up, so that they get an
	// answer.
	defaultQueueTimeout = 5 * time.Second
)

// A Handler is the door. It may be used by several goroutines at the same time.
type Handler struct {
	config     Config
	committer  committer
	compressor *message.Compressor
	health     healthCheck
	quotas     quotas
	waiting    atomic.Int64 // bytes
	pool       requestPool

	mu       sync.Mutex
	active   int
	draining bool
	idle     chan struct{} // closed when draining and nothing is active
}

// New checks the configuration.
func New(c Config) (*Handler, error) {
	if c.Queue == nil || c.DeadLetters == nil {
		return nil, errors.New("an ingest handler needs Queue and DeadLetters")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("the public URL is %q: write scheme and host, like https://events.example.com", c.PublicURL)
		}
	}
	if c.Linger < 0 || c.Linger > time.Second {
		return nil, fmt.Errorf("requests can't wait %v for others: write a few milliseconds, or 0", c.Linger)
	}
	if err := c.Limits.complete(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Report == nil {
		c.Report = func(Summary) {}
	}
	if c.ClientIP == nil {
		c.ClientIP = PeerAddr
	}
	if c.Keys == nil {
		c.Logger.Warn("no set of write keys is configured: any well-formed write key is accepted")
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	h := &Handler{config: c, compressor: compressor, health: healthCheck{check: c.Health}, idle: make(chan struct{})}
	h.committer = committer{
		queue: c.Queue, linger: c.Linger, timeout: c.Limits.QueueTimeout, compressor: compressor, logger: c.Logger,
		slots: make(chan struct{}, c.Limits.MaxSends), drain: make(chan struct{}), breaker: sqsclient.NewBreaker(),
	}
	return h, nil
}

func (l *Limits) complete() error {
	for _, v := range [...]struct {
		name     string
		value    *int
		standard int
	}{{"MaxBody", &l.MaxBody, defaultMaxBody}, {"MaxMemory", &l.MaxMemory, defaultMaxMemory},
		{"MaxInFlight", &l.MaxInFlight, defaultMaxInFlight}, {"MaxSends", &l.MaxSends, DefaultMaxSends}} {
		if *v.value == 0 {
			*v.value = v.standard
		}
		if *v.value < 0 {
			return fmt.Errorf("the limit %s is %d: write a number above 0", v.name, *v.value)
		}
	}
	if l.QueueTimeout == 0 {
		l.QueueTimeout = defaultQueueTimeout
	}
	if l.QueueTimeout < 0 {
		return fmt.Errorf("the limit QueueTimeout is %v: write a duration above 0", l.QueueTimeout)
	}
	if least := largest(l.MaxBody); l.MaxMemory < least {
		return fmt.Errorf("the limit MaxMemory is %d bytes: write at least %d, or there is never room for the "+
			"largest request", l.MaxMemory, least)
	}
	return nil
}

// full says why no request is taken now; nil: one is. Who is told so need not send a body.
func (h *Handler) full() *refusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refuses()
}

// refuses is full, with h.mu held.
func (h *Handler) refuses() *refusal {
	switch {
	case h.draining:
		return refusalShutdown
	case h.active >= h.config.Limits.MaxInFlight:
		return refusalOverloaded
	}
	return nil
}

// enter counts a request in whose body has come, unless there are too many or the Handler shuts
// down.
func (h *Handler) enter() (refused *refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if refused = h.refuses(); refused == nil {
		h.active++
	}
	return refused
}

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active--; h.active == 0 && h.draining {
		close(h.idle)
	}
}

// Shutdown stops taking requests (they are answered 429, also those whose body is still coming) and
// returns when all that were under way have been answered, which the queue's time-out bounds. The
// error is ctx's when it ends first: what was under way goes on. It may be called more than once.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	if !h.draining {
		h.draining = true
		close(h.committer.drain)
		if h.active == 0 {
			close(h.idle)
		}
	}
	h.mu.Unlock()
	select {
	case <-h.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the requests under way: %w", ctx.Err())
	}
}

// Close is Shutdown without an end.
func (h *Handler) Close() error { return h.Shutdown(context.Background()) }
