package httpserver

import (
	"container/list"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/clientaddr"
)

// Limits bound the connections that clients hold. When a bound is reached, a new connection takes
// the place of the one that has waited longest for its client: for a first request rather than for
// a further one, and never of one whose request is being answered. So a client that sends what it
// has promised is served, however many others only connect.
type Limits struct {
	Conns     int // of all clients together; 0: the server's share of what the process may have open
	PerClient int // of one client, see package clientaddr, that have waited for a while; 0: no bound
}

const (
	// maxConns bounds the memory for connections: each takes some 20 KB, so all take 80 MB.
	maxConns = 4096
	// MaxConnsPerClient is for a server that clients reach without a proxy: more than the browsers
	// behind one company's address use at the same time, and a quarter of all connections.
	MaxConnsPerClient = 1024
	// freshFor is how long a connection keeps its place, though its client has too many, as long as
	// there is room in all: when many come at once, the one with a request is among them.
	freshFor = time.Second
	// newFor is how long a connection keeps its place in any case: it takes that long on a busy
	// machine until what it has sent is read. Until then new connections wait, at most fullFor at a
	// time.
	newFor  = 500 * time.Millisecond
	fullFor = 5 * time.Millisecond
	// A body has so long, and a second more for each minBodyRate bytes of it that have come.
	// Apache's mod_reqtimeout asks for 500 bytes/s, Kestrel for 240 after the same 5 s.
	bodyGrace   = 5 * time.Second
	minBodyRate = 1000 // bytes/s
	// sweepInterval is how often slow bodies are looked for.
	sweepInterval = time.Second
)

// servers is how many servers of the process share its handles.
var servers atomic.Int64

// maxOpen is how many connections may be open now. Half of the process's handles are for other
// things than connections, such as the files of a store: the servers share the others.
func (s *connections) maxOpen() int {
	if s.limits.Conns > 0 {
		return s.limits.Conns
	}
	return max(1, min(maxConns, s.handles/2/int(max(1, servers.Load()))))
}

// connections are the open connections of a server. It is safe for concurrent use.
type connections struct {
	limits  Limits
	handles int // of the process

	mu      sync.Mutex
	ends    bool // the server takes no more
	open    int
	waiting waiting
	clients map[netip.Prefix]*client
}

type client struct {
	open    int
	waiting waiting
}

// waiting are the connections that wait for their clients, those that have waited longest first: in
// [0] for a first request, in [1] for a further one.
type waiting [2]list.List

// longest is the connection whose place a new one takes; nil: there is none.
func (w *waiting) longest() *conn {
	for i := range w {
		if e := w[i].Front(); e != nil {
			return e.Value.(*conn)
		}
	}
	return nil
}

// conn is a connection in connections, whose mu guards its fields, except read.
type conn struct {
	net.Conn
	of     *connections
	client netip.Prefix

	closed          bool
	begun           bool          // a byte of a request has come
	since           time.Time     // when it began to wait
	served          bool          // it had a request that was answered
	inAll, inClient *list.Element // of the waiting; nil: its request is being answered
	arriving        time.Time     // since when a body is arriving; zero: none is
	read            atomic.Int64  // bytes of the body
}

// listener is a net.Listener whose connections are bounded.
type listener struct {
	net.Listener
	conns *connections
	leave *sync.Once // for Close
}

// Bound bounds the connections of a server that Serve is not for, with the default limits. It
// returns the listener to serve; the server is changed, and must not be used before.
func Bound(server *http.Server, l net.Listener) net.Listener { return bound(server, l, Limits{}) }

func bound(server *http.Server, l net.Listener, limits Limits) listener {
	conns := &connections{limits: limits, handles: maxHandles(), clients: map[netip.Prefix]*client{}}
	server.Handler = tracked(server.Handler)
	server.ConnContext = withConn
	after := server.ConnState
	server.ConnState = func(c net.Conn, state http.ConnState) {
		conns.changed(c, state)
		if after != nil {
			after(c, state)
		}
	}
	servers.Add(1)
	return listener{l, conns, new(sync.Once)}
}

// Close implements net.Listener. The server ends.
func (l listener) Close() error {
	err := l.Listener.Close()
	l.leave.Do(func() {
		servers.Add(-1)
		l.conns.closeUnused()
	})
	return err
}

// closeUnused closes the connections that have carried nothing, and those to come. Clients open some
// that they then do not need. A server of net/http that ends answers no first request of a
// connection, and yet waits 5 s for it.
func (s *connections) closeUnused() {
	var unused []*conn
	s.mu.Lock()
	s.ends = true
	for e := s.waiting[0].Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); !c.begun {
			unused = append(unused, c)
		}
	}
	s.mu.Unlock()
	for _, c := range unused {
		c.Conn.Close() // the server then counts it out
	}
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.conns.add(inner); c != nil {
			return c, nil
		}
		inner.Close()
	}
}

// add counts a new connection in; nil: there is no place for it.
func (s *connections) add(inner net.Conn) *conn {
	c := &conn{Conn: inner, of: s}
	if addr, err := netip.ParseAddrPort(inner.RemoteAddr().String()); err == nil {
		c.client = clientaddr.Of(addr.Addr())
	}
	s.mu.Lock()
	out, wait, ok := s.makeRoom(c.client)
	for wait > 0 { // it is in no hurry: more than all places were taken in a moment
		s.mu.Unlock()
		time.Sleep(min(wait, fullFor))
		s.mu.Lock()
		out, wait, ok = s.makeRoom(c.client)
	}
	ok = ok && !s.ends
	if ok {
		of := s.clients[c.client]
		if of == nil {
			of = new(client)
			s.clients[c.client] = of
		}
		of.open++
		s.open++
		s.wait(c)
	}
	s.mu.Unlock()
	if out != nil {
		out.Conn.Close()
	}
	if !ok {
		return nil
	}
	return c
}

// makeRoom counts a connection out if a bound is reached, which the caller must close. wait is how
// long until there may be room; ok is false when there is none. It is called with mu held.
func (s *connections) makeRoom(newcomer netip.Prefix) (out *conn, wait time.Duration, ok bool) {
	of, full := s.clients[newcomer], s.open >= s.maxOpen()
	tooMany := s.limits.PerClient > 0 && of != nil && of.open >= s.limits.PerClient
	switch {
	case tooMany:
		out = of.waiting.longest()
	case full:
		out = s.waiting.longest()
	default:
		return nil, 0, true
	}
	switch {
	case !full && (out == nil || time.Since(out.since) < freshFor):
		return nil, 0, true
	case out == nil:
		return nil, 0, false
	case full && time.Since(out.since) < newFor:
		return nil, newFor - time.Since(out.since), false
	}
	s.remove(out)
	return out, 0, true
}

// wait says that a connection waits for its client from now on. It is called with mu held.
func (s *connections) wait(c *conn) {
	s.stopWaiting(c)
	if c.closed {
		return
	}
	c.since = time.Now()
	i := 0
	if c.served {
		i = 1
	}
	c.inAll = s.waiting[i].PushBack(c)
	c.inClient = s.clients[c.client].waiting[i].PushBack(c)
}

// stopWaiting is called with mu held.
func (s *connections) stopWaiting(c *conn) {
	c.arriving = time.Time{}
	if c.inAll == nil {
		return
	}
	of := s.clients[c.client]
	for i := range s.waiting { // Remove ignores an element of another list
		s.waiting[i].Remove(c.inAll)
		of.waiting[i].Remove(c.inClient)
	}
	c.inAll, c.inClient = nil, nil
}

// remove counts a connection out. It is called with mu held.
func (s *connections) remove(c *conn) {
	if c.closed {
		return
	}
	s.stopWaiting(c)
	c.closed = true
	s.open--
	of := s.clients[c.client]
	if of.open--; of.open == 0 {
		delete(s.clients, c.client)
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// SetLinger lets a handler that has taken the connection over reset it.
func (c *conn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// CloseWrite lets net/http end an answer such that a client that still sends can read it.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// changed is http.Server's ConnState.
func (s *connections) changed(inner net.Conn, state http.ConnState) {
	c, ok := inner.(*conn)
	if !ok || state != http.StateActive && state != http.StateIdle {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.begun, c.served = true, c.served || state == http.StateIdle
	s.wait(c)
}

// connKey is the key of a request's conn in its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// tracked tells the request's connection when the request has arrived whole.
func tracked(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			if r.ContentLength == 0 {
				c.arrived()
			} else {
				c.arrives()
				r.Body = &body{r.Body, c}
			}
		}
		handler.ServeHTTP(w, r)
	})
}

func (c *conn) arrived() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.stopWaiting(c)
}

func (c *conn) arrives() {
	c.read.Store(0)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.arriving = time.Now()
}

// body is a request's body that is counted while it arrives.
type body struct {
	io.ReadCloser
	conn *conn
}

// Cut ends the reading of the body: a Read under way returns an error.
func (b *body) Cut() { _ = b.conn.SetReadDeadline(time.Now()) } // of a closed connection it fails

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.conn.read.Add(int64(n))
	if err == io.EOF {
		b.conn.arrived()
	}
	return n, err
}

// sweep ends the reading of the bodies that come too slowly, until ctx ends: their requests are
// answered as any that ends too early.
func (s *connections) sweep(ctx context.Context) {
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s.mu.Lock()
			for i := range s.waiting {
				for e := s.waiting[i].Front(); e != nil; e = e.Next() {
					if c := e.Value.(*conn); c.tooSlow(now) {
						_ = c.SetReadDeadline(now) // of a closed one it fails
					}
				}
			}
			s.mu.Unlock()
		}
	}
}

// tooSlow is called with mu held.
func (c *conn) tooSlow(now time.Time) bool {
	if c.arriving.IsZero() {
		return false
	}
	return now.Sub(c.arriving) >= bodyGrace+time.Duration(c.read.Load())*time.Second/minBodyRate
}
