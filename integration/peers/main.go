// Command peers measures Spillway beside what one would use instead: the same events, the same
// Segment emulator, the same machine, one run. The script `run` beside it builds and runs all of it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/api"
	"github.com/spillwayhq/spillway/integration/peers/limits"
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// registry are all peers, in the order of the tables.
func registry() []peer.Peer {
	return slices.Concat([]peer.Peer{})
}

// find returns the peer of that name.
func find(name string) (*peer.Peer, error) {
	var known []string
	for _, p := range registry() {
		if p.Name == name {
			return &p, nil
		}
		known = append(known, p.Name)
	}
	return nil, fmt.Errorf("unknown peer %q (known: %s)", name, strings.Join(known, ", "))
}

// verbs are the subcommands. Those that serve print where they listen, and all of them end in good
// order when ctx ends.
func verbs() map[string]func(ctx context.Context, args []string) error {
	return map[string]func(ctx context.Context, args []string) error{
		"api": api.Run, "limits": limits.Run, // measurements
		"worker": runWorker, "queue": runQueue, "segment": runSegment, // processes that they start
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{""}
	}
	verb, ok := verbs()[args[0]]
	if !ok {
		return fmt.Errorf("unknown subcommand %q: see integration/peers/run", args[0])
	}
	return verb(ctx, args[1:])
}

func runWorker(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: peers worker NAME --segment URL (--queue URL | --redis HOST:PORT)")
	}
	var w peer.Working
	f := flag.NewFlagSet("worker", flag.ContinueOnError)
	f.StringVar(&w.QueueURL, "queue", "", "URL of the SQS queue")
	f.StringVar(&w.Redis, "redis", "", "host:port of Redis")
	f.StringVar(&w.Segment, "segment", "", "URL of the Segment emulator")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	p, err := find(args[0])
	if err != nil {
		return err
	}
	if p.Worker == nil {
		return fmt.Errorf("%s is a Lambda function: the queue's process runs it", p.Name)
	}
	return p.Worker(ctx, w)
}

func runQueue(ctx context.Context, args []string) error {
	var c machine.QueueConfig
	f := flag.NewFlagSet("queue", flag.ContinueOnError)
	f.StringVar(&c.Dir, "dir", "", "directory of the queues")
	if err := f.Parse(args); err != nil {
		return err
	}
	return machine.ServeQueue(ctx, os.Stdout, c)
}

func runSegment(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("segment", flag.ContinueOnError)
	latency := f.Duration("latency", 50*time.Millisecond, "how long an answer takes")
	if err := f.Parse(args); err != nil {
		return err
	}
	return machine.ServeSegment(ctx, os.Stdout, *latency)
}
