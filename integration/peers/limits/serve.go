package limits

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/machine"
)

// serveBare is the least that a server does with an event: it reads the body and answers 200. It is
// the subcommand `limits http`.
func serveBare(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(out, "%shttp://%s\n", machine.Listens, l.Addr())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		_, _ = io.WriteString(w, `{"success":true}`)
	})}
	context.AfterFunc(machine.UntilParentEnds(ctx), func() { _ = s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// connections send requests to a server at the same time, each the next one when it has the answer.
const connections = 64

// compareServers compares a server that only reads with the ingest endpoint, whose queue is on
// disk.
func compareServers(ctx context.Context, binary string, all [][]byte, do func(comparison) error) error {
	bare, err := machine.Start(ctx, "limits", "http")
	if err != nil {
		return err
	}
	defer bare.Kill()
	dir, err := os.MkdirTemp("", "spillway-peers-limits-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	queue, err := machine.StartQueue(ctx, dir)
	if err != nil {
		return err
	}
	defer queue.Kill()
	endpoint, err := machine.StartIngest(ctx, binary, machine.QueueURL(queue.URL), "")
	if err != nil {
		return err
	}
	defer endpoint.Kill()
	return do(comparison{"of the server's CPU", loaded("`net/http` that reads 1 KB and answers", bare, all),
		[]task{loaded("ingest, one event a request, into the queue", endpoint, all)}})
}

// loaded sends one event a request, over all connections, and costs the server's CPU time.
func loaded(what string, server *machine.Process, all [][]byte) task {
	requests := make([]string, 256)
	for i := range requests {
		requests[i] = fmt.Sprintf("POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cGVlcnM6\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\n\r\n%s", len(all[i]), all[i])
	}
	address := strings.TrimPrefix(server.URL, "http://")
	return task{what, func(ctx context.Context, atLeast time.Duration) (c Cost, err error) {
		before, until := server.Use().CPU, time.Now().Add(atLeast)
		counts, failures := make([]int, connections), make([]error, connections)
		var sending sync.WaitGroup
		for n := range connections {
			sending.Go(func() { counts[n], failures[n] = sendUntil(ctx, address, requests[n:], until) })
		}
		sending.Wait()
		c.Spent = server.Use().CPU - before
		for _, n := range counts {
			c.Events += n
		}
		for _, err := range failures {
			if err != nil {
				return c, err // the others are the same
			}
		}
		return c, nil
	}}
}

// sendUntil sends the requests over one connection, again and again, and counts them.
func sendUntil(ctx context.Context, address string, requests []string, until time.Time) (n int, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for ; n == 0 || time.Now().Before(until) && ctx.Err() == nil; n++ {
		if _, err := io.WriteString(conn, requests[n%len(requests)]); err != nil {
			return n, err
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return n, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil {
			return n, err
		}
		if response.StatusCode != http.StatusOK {
			return n, fmt.Errorf("the server answered %s", response.Status)
		}
	}
	return n, ctx.Err()
}
