package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"
)

// ErrNoRedis says how to get Redis.
var ErrNoRedis = errors.New("redis-server is not installed: apt-get install -y --no-install-recommends redis-server, " +
	"or leave the peers on Redis out with --only")

// NeedRedis is the error of a machine without Redis, if it is needed.
func NeedRedis(needed bool) error {
	if _, err := exec.LookPath("redis-server"); needed && err != nil {
		return ErrNoRedis
	}
	return nil
}

// StartRedis starts redis-server with its data in dir, on a free port, with further settings such
// as "--maxmemory", "64mb". The Process's URL is host:port. It saves its data when it is stopped, and
// once an hour: by default it would also after 10,000 changes in a minute, and be slower for it.
func StartRedis(ctx context.Context, dir string, settings ...string) (*Process, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoRedis
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := runForeign(ctx, "redis-server", path, append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "3600 1", "--daemonize", "no"}, settings...)...)
	if err != nil {
		return nil, err
	}
	p.URL = net.JoinHostPort("127.0.0.1", port)
	for {
		connection, err := net.DialTimeout("tcp", p.URL, time.Second)
		if err == nil {
			return p, connection.Close()
		}
		select {
		case <-p.exited:
			return nil, p.failed("ended before it served", p.err)
		case <-ctx.Done():
			p.Kill()
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// freePort finds a port that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
