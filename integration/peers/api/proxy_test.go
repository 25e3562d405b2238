package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers what it reads.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func started(t *testing.T) *proxy {
	t.Helper()
	p, err := newProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func dial(t *testing.T, p *proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends n bytes and reads them again.
func ask(c net.Conn, n int) error {
	sent := bytes.Repeat([]byte("x"), n)
	wrote := make(chan error, 1)
	go func() { _, err := c.Write(sent); wrote <- err }()
	_, err := io.ReadFull(c, make([]byte, n))
	return errors.Join(err, <-wrote)
}

func TestAProxyCarriesWhatIsSaid(t *testing.T) {
	if err := ask(dial(t, started(t)), 1<<20); err != nil {
		t.Error(err)
	}
}

func TestADelayedAnswerOfManyPiecesIsDelayedOnce(t *testing.T) {
	p := started(t)
	c := dial(t, p)
	const delay = 50 * time.Millisecond
	if err := p.set(Fault{Delay: delay}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := ask(c, 1<<20); err != nil { // 64 pieces
		t.Fatal(err)
	}
	if took := time.Since(begun); took < delay || took > 40*delay {
		t.Errorf("it took %v with a delay of %v", took, delay)
	}
}

func TestAProxyThatRefusesEndsConnectionsAndComesBackOnItsPort(t *testing.T) {
	p := started(t)
	c := dial(t, p)
	if err := ask(c, 10); err != nil {
		t.Fatal(err)
	}
	if err := p.set(Fault{Refuse: true}); err != nil {
		t.Fatal(err)
	}
	if err := ask(c, 10); err == nil {
		t.Error("the connection still works")
	}
	if _, err := net.Dial("tcp", p.addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v, want that it is refused", err)
	}
	if err := p.set(Fault{}); err != nil {
		t.Fatal(err)
	}
	if err := ask(dial(t, p), 10); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestASilentProxyAnswersNothingAndThenClosesWhatHangs(t *testing.T) {
	p := started(t)
	open := dial(t, p)
	if err := ask(open, 10); err != nil {
		t.Fatal(err)
	}
	if err := p.set(Fault{Silent: true}); err != nil {
		t.Fatal(err)
	}
	fresh := dial(t, p)
	for name, c := range map[string]net.Conn{"open before": open, "new": fresh} {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.EAGAIN) && !isTimeout(err) {
			t.Errorf("%s: %v, want no answer", name, err)
		}
		_ = c.SetReadDeadline(time.Time{})
	}
	if err := p.set(Fault{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]net.Conn{"open before": open, "new": fresh} {
		if _, err := c.Read(make([]byte, 10)); err == nil {
			t.Errorf("%s: an answer to what was said into the silence", name)
		}
	}
	if err := ask(dial(t, p), 10); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
