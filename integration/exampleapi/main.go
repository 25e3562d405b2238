// Command exampleapi is a small HTTP API: a request waits 5 ms for its database, tracks an event
// and is answered. It shows how an API publishes with Spillway (track.go). The integration tests
// run it with tracking and without: they measure its latency, kill it, and take SQS away from it.
//
//	POST /runs?id=ID    starts a run; ID becomes the event's messageId, and the body, a note, one of its properties
//	GET  /health        answers 200
//	GET  /debug/vars    statistics of the process, and of the publisher
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var c config
	listen := flag.String("listen", "127.0.0.1:8090", "address to listen on; port 0 takes a free one")
	flag.StringVar(&c.track, "track", "memory", "how to track: "+modes)
	flag.StringVar(&c.queueURL, "queue-url", "http://localhost:9324/000000000000/spillway-events",
		"URL of the events queue")
	flag.StringVar(&c.dir, "dir", "",
		"directory for events that SQS does not take, for this process alone; required by process and disk")
	flag.StringVar(&c.writeKey, "write-key", "local", "write key of the Segment source")
	work := flag.Duration("work", 5*time.Millisecond, "how long a request waits for its database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, c, *work); err != nil {
		fmt.Fprintln(os.Stderr, "exampleapi:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the requests it has and sends the events that wait.
func run(ctx context.Context, listen string, c config, work time.Duration) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	tracker, err := c.tracker(ctx, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: choose another address with --listen", err), tracker.Close())
	}
	server := &http.Server{Handler: handler(tracker, work, log), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Printf("listening on http://%s\n", l.Addr())
	select {
	case err = <-served:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = server.Shutdown(grace)
		<-served
	}
	return errors.Join(err, tracker.Close())
}
