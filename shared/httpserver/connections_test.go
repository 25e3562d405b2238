package httpserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

func (p *pipes) dialFrom(t *testing.T, addr string) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	select {
	case p.conns <- addressed{server, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}:
	case <-p.closed:
		t.Fatal("the listener is closed")
	}
	return client
}

// bounded serves handler with limits in a bubble.
func bounded(t *testing.T, limits Limits, handler http.Handler) (l *pipes, stop func()) {
	t.Helper()
	l = newPipes()
	server := New(handler, quiet)
	server.Limits = limits
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, server, l, 10*time.Second, nothing) }()
	return l, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// exchange sends a request on a connection and returns the status, 0 if the connection is closed.
func exchange(c net.Conn, request string) int {
	go func() { _, _ = io.WriteString(c, request) }()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// open reports whether the server has not closed a connection.
func open(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

const post = "POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"

func TestANewConnectionTakesThePlaceOfTheOneThatHasWaitedLongest(t *testing.T) {
	for name, limits := range map[string]Limits{"of one client": {Conns: 1000, PerClient: 10}, "of all": {Conns: 10}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, stop := bounded(t, limits, readAll)
				served := l.dialFrom(t, "192.0.2.1:1")
				if status := exchange(served, post+"body"); status != 200 {
					t.Errorf("status %d", status)
				}
				var hostile []net.Conn
				for i := range 50 {
					c := l.dialFrom(t, fmt.Sprintf("192.0.2.1:%d", 100+i))
					if i%2 == 0 {
						go func() { _, _ = io.WriteString(c, post+"b") }() // and nothing more
					}
					synctest.Wait()
					time.Sleep(freshFor / 5)
					hostile = append(hostile, c)
				}
				last := 0
				for i, c := range hostile {
					if open(c) {
						last++
					} else if i >= 41 {
						t.Errorf("connection %d is closed", i)
					}
				}
				if last != 9 {
					t.Errorf("%d of the connections are open", last)
				}
				fresh := l.dialFrom(t, "192.0.2.1:2")
				for range 3 {
					for _, c := range []net.Conn{fresh, served} {
						if status := exchange(c, post+"body"); status != 200 {
							t.Errorf("status %d", status)
						}
					}
				}
				for _, c := range append(hostile, fresh, served) {
					c.Close()
				}
				stop()
			})
		})
	}
}

func TestAClientsConnectionsTakeNoPlaceOfAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := bounded(t, Limits{Conns: 1000, PerClient: 10}, readAll)
		var others, hostile []net.Conn
		for _, addr := range []string{"192.0.2.2:1", "[2001:db8:0:2::1]:1"} {
			others = append(others, l.dialFrom(t, addr))
		}
		for i := range 22 {
			time.Sleep(freshFor / 5)
			// an IPv6 customer has 2^64 addresses; and one has both notations of an IPv4 address
			hostile = append(hostile, l.dialFrom(t, fmt.Sprintf("[2001:db8:0:1::%x]:1", i)))
			hostile = append(hostile, l.dialFrom(t, []string{"192.0.2.1:1", "[::ffff:192.0.2.1]:1"}[i%2]))
		}
		synctest.Wait()
		left := 0
		for _, c := range hostile {
			if open(c) {
				left++
			}
		}
		if left != 20 {
			t.Errorf("two clients have %d connections", left)
		}
		for _, c := range others {
			if status := exchange(c, post+"body"); status != 200 {
				t.Errorf("status %d", status)
			}
		}
		for _, c := range append(hostile, others...) {
			c.Close()
		}
		stop()
	})
}

func TestAConnectionWhoseRequestIsAnsweredKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l, stop := bounded(t, Limits{Conns: 2}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-release
		}))
		statuses := make(chan int)
		var all []net.Conn
		for _, request := range []string{post + "body", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
			c := l.dialFrom(t, "192.0.2.1:1")
			all = append(all, c)
			go func() { statuses <- exchange(c, request) }()
		}
		synctest.Wait()
		late := l.dialFrom(t, "192.0.2.2:1")
		if open(late) {
			t.Error("a third connection is open")
		}
		close(release)
		for range 2 {
			if status := <-statuses; status != 200 {
				t.Errorf("status %d", status)
			}
		}
		for _, c := range append(all, late) {
			c.Close()
		}
		stop()
	})
}

func TestNoConnectionIsCountedAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := New(readAll, quiet)
		l := newPipes()
		counted := bound(&server.Server, l, Limits{Conns: 100, PerClient: 5})
		conns := counted.conns
		go func() { _ = server.Serve(counted) }()
		for i := range 200 {
			c := l.dialFrom(t, fmt.Sprintf("192.0.2.%d:1", i%30))
			switch i % 3 {
			case 0:
				exchange(c, post+"body")
			case 1:
				_, _ = io.WriteString(c, post[:i%len(post)])
			}
			c.Close()
		}
		synctest.Wait()
		if conns.open != 0 || len(conns.clients) != 0 || conns.waiting.longest() != nil {
			t.Errorf("%d connections of %d clients are counted", conns.open, len(conns.clients))
		}
		server.Close()
	})
}

func TestABodyThatComesAtTheLeastRateIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := bounded(t, Limits{Conns: 10}, readAll)
		c := l.dialFrom(t, "192.0.2.1:1")
		go func() {
			_, _ = io.WriteString(c, strings.Replace(post, "4", "20000", 1))
			for range 20 {
				_, _ = io.WriteString(c, strings.Repeat("a", minBodyRate))
				time.Sleep(time.Second)
			}
		}()
		if status := exchange(c, ""); status != 200 {
			t.Errorf("status %d", status)
		}
		time.Sleep(time.Second) // for the writer
		c.Close()
		stop()
	})
}

func TestTheServersOfAProcessShareHalfOfItsHandles(t *testing.T) {
	before := servers.Load()
	bind := func() listener {
		l := bound(new(http.Server), newPipes(), Limits{})
		l.conns.handles = 600 * int(before+1)
		return l
	}
	first := bind()
	alone := first.conns.maxOpen()
	if alone != 300 {
		t.Errorf("alone it may have %d connections", alone)
	}
	first.conns.handles = 60 * int(before+3)
	second, third := bind(), bind()
	if got := first.conns.maxOpen(); got != 30 {
		t.Errorf("beside two others it may have %d connections", got)
	}
	for _, l := range []listener{second, third, third, first} { // net/http may close it several times
		l.Close()
	}
	if servers.Load() != before {
		t.Errorf("%d servers are counted after their end, %d before", servers.Load(), before)
	}
	for handles, want := range map[int]int{1: 1, 1 << 40: maxConns} {
		c := connections{handles: handles}
		if got := c.maxOpen(); got != want {
			t.Errorf("of %d handles it may have %d, want %d", handles, got, want)
		}
	}
}

func TestAServerOfAnotherPackageIsBoundAndKeepsItsConnState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		server := &http.Server{Handler: readAll, ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}}
		l := newPipes()
		counted := Bound(server, l).(listener)
		counted.conns.limits.Conns = 10
		go func() { _ = server.Serve(counted) }()
		var conns []net.Conn
		for i := range 20 {
			time.Sleep(freshFor)
			conns = append(conns, l.dialFrom(t, fmt.Sprintf("192.0.2.1:%d", 1+i)))
			synctest.Wait()
		}
		if open(conns[0]) || !open(conns[19]) || opened.Load() != 20 {
			t.Errorf("%d connections were opened; the first is open: %v, the last: %v", opened.Load(), open(conns[0]),
				open(conns[19]))
		}
		_ = conns[19].SetReadDeadline(time.Time{})
		if status := exchange(conns[19], post+"body"); status != 200 {
			t.Errorf("status %d", status)
		}
		for _, c := range conns {
			c.Close()
		}
		server.Close()
	})
}
