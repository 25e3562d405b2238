package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
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
func (ls *listeners) open(addr, flag string, serve func(context.Context, net.Listener) error) (url string, err error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return "", fmt.Errorf("%w: raise the limit of open files (ulimit -n)", err)
	}
	if err != nil {
		return "", fmt.Errorf("%w: name another port with %s, or stop what uses it", err, flag)
	}
	*ls = append(*ls, listener{l, serve})
	return "http://localhost:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

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
