package api

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Fault is how a queue fails. The zero value: it is well.
type Fault struct {
	Delay  time.Duration // its answers come so much later
	Refuse bool          // connections are refused, and those that were open are closed: the process is gone
	Silent bool          // connections are accepted and nothing is answered: the network is gone
}

// A proxy stands in front of a TCP server and makes it fail. It is safe for concurrent use. Its
// address never changes.
type proxy struct {
	addr, target string

	delay  atomic.Int64 // time.Duration
	silent atomic.Bool

	mu       sync.Mutex
	listener net.Listener // nil: connections are refused
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

func newProxy(target string) (*proxy, error) {
	p := &proxy{addr: "127.0.0.1:0", target: target, conns: map[net.Conn]bool{}}
	if err := p.listen(); err != nil {
		return nil, err
	}
	p.addr = p.listener.Addr().String()
	return p, nil
}

// set begins a fault, or ends it: then connections that have hung are closed.
func (p *proxy) set(f Fault) error {
	wasSilent := p.silent.Swap(f.Silent)
	p.delay.Store(int64(f.Delay))
	if f.Refuse || wasSilent && !f.Silent {
		p.drop(f.Refuse)
	}
	if f.Refuse {
		return nil
	}
	return p.listen()
}

func (p *proxy) close() {
	p.drop(true)
	p.running.Wait()
}

// listen begins to accept connections, unless it does already.
func (p *proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen in front of %s: %w", p.target, err)
	}
	p.listener = l
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.carry(client) })
		}
	})
	return nil
}

// drop closes all connections, and the port too.
func (p *proxy) drop(port bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port && p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
}

// carry carries a connection's bytes until one end closes it.
func (p *proxy) carry(client net.Conn) {
	if !p.keep(client) {
		return
	}
	defer p.forget(client)
	if p.silent.Load() {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.forget(server)
	var answers sync.WaitGroup
	answers.Go(func() {
		p.answer(client, server)
		_ = client.Close()
	})
	_, _ = io.Copy(quieter{p, server}, client)
	_ = server.Close()
	answers.Wait()
}

// keep makes a connection one that drop closes. It closes it and reports false while connections
// are refused.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// A quieter writes to a server, and nowhere while the proxy is silent.
type quieter struct {
	p  *proxy
	to io.Writer
}

func (q quieter) Write(b []byte) (int, error) {
	if q.p.silent.Load() {
		return len(b), nil
	}
	return q.to.Write(b)
}

// answer carries what the server answers, each piece after the delay. It reads on while pieces
// wait, so that an answer of many pieces is not delayed many times.
func (p *proxy) answer(client io.Writer, server io.Reader) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	pieces := make(chan piece, 256)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer close(pieces)
	writing.Go(func() {
		var failed error
		for next := range pieces {
			if wait := time.Until(next.due); wait > 0 {
				time.Sleep(wait)
			}
			if failed == nil && !p.silent.Load() {
				_, failed = client.Write(next.bytes)
			}
		}
	})
	buffer := make([]byte, 16<<10)
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			pieces <- piece{append([]byte(nil), buffer[:n]...), time.Now().Add(time.Duration(p.delay.Load()))}
		}
		if err != nil {
			return
		}
	}
}
