package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// A listener is an open port and the function that serves it.
type listener struct {
	net.Listener
	serve func(context.Context, net.Listener) error
}

// listeners are the open ports of a pipeline.
type listeners []listener

// open opens a port, which run will serve, and returns its URL. flag is the command line's flag for
// another port, for the error text.
func (ls *listeners) open(addr, flag string, serve func(context.Context, net.Listener) error) (string, error) {
	l, err := Listen(addr, flag)
	if err != nil {
		return "", err
	}
	*ls = append(*ls, listener{l, serve})
	return EndpointURL(l.Addr()), nil
}

// Listen opens a port of this machine. flag is the command line's flag for another port: the error
// says what to do.
func Listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, explainListen(err, flag)
	}
	return l, nil
}

// ListenOrFree is Listen, which with anyPort takes a free port if that of addr is in use.
func ListenOrFree(addr, flag string, anyPort bool) (net.Listener, error) {
	l, err := Listen(addr, flag)
	if err == nil || !anyPort || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return Listen(net.JoinHostPort(host, "0"), flag)
}

func explainListen(err error, flag string) error {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%w: raise the limit of open files (ulimit -n)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("%w: this machine does not have the address: name one that it has with --listen, such as ::1 if "+
			"it has IPv6 only", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: name a port above 1023 with %s", err, flag)
	}
	return fmt.Errorf("%w: name another port with %s, or stop what uses it", err, flag)
}

// ParseListen checks an address to listen on, and returns it without brackets: an IP address, or
// localhost, which is 127.0.0.1.
func ParseListen(host string) (string, error) {
	if host == "localhost" {
		return "127.0.0.1", nil
	}
	bare := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(bare)
	if err != nil {
		return "", fmt.Errorf("must be an IP address of this machine without a port, like 127.0.0.1, ::1, or 0.0.0.0 for "+
			"all, is %q", host)
	}
	return addr.String(), nil
}

// Exposed says which machines can reach an address that ParseListen has returned; empty: only this
// one.
func Exposed(host string) string {
	switch addr, err := netip.ParseAddr(host); {
	case err != nil || addr.Unmap().IsLoopback():
		return ""
	case addr.Unmap().IsUnspecified():
		return "every machine that reaches this one by any of its addresses"
	}
	return "every machine that reaches " + host
}

// EndpointURL is the URL under which programs on this machine reach what listens on an address.
func EndpointURL(listening net.Addr) string {
	addr := listening.(*net.TCPAddr)
	host := "localhost"
	if local := addr.AddrPort().Addr().Unmap(); !local.IsUnspecified() && local != loopbackIPv4 {
		host = local.String()
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(addr.Port))}
	return u.String()
}

// loopbackIPv4 is what localhost means everywhere where there is IPv4.
var loopbackIPv4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// run serves all ports until ctx ends. Each error goes to failed.
func (ls listeners) run(ctx context.Context, failed chan<- error) {
	var running sync.WaitGroup
	for _, l := range ls {
		running.Go(func() {
			if err := l.serve(ctx, l.Listener); err != nil {
				failed <- err
			}
		})
	}
	running.Wait()
}

func (ls listeners) close() {
	for _, l := range ls {
		l.Close() // one that was served is closed already
	}
}
