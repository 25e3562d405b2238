// Command peers measures Spillway beside what one would use instead: the same events, the same
// Segment emulator, the same machine, one run. The script `run` beside it builds and runs all of
// it.
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
	"github.com/spillwayhq/spillway/integration/peers/jobs"
	"github.com/spillwayhq/spillway/integration/peers/lambdas"
	"github.com/spillwayhq/spillway/integration/peers/limits"
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/measure"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/integration/peers/report"
	"github.com/spillwayhq/spillway/integration/peers/streams"
)

// registry are all peers, in the order of the tables.
func registry() []peer.Peer {
	return slices.Concat(jobs.Peers(), lambdas.Peers(), streams.Peers(), lambdas.Spillway())
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
		"fill": measure.Fill(registry()), "drain": measure.Drain(registry()),
		"kill": measure.Kill(registry()), "away": measure.Away(registry()),
		"api": api.Run, "limits": limits.Run, "redis": jobs.RunRedis, "report": runReport,
		"worker": started(runWorker), "queue": started(runQueue), "segment": started(runSegment),
	}
}

// started is for the processes that the measurements start.
func started(do func(ctx context.Context, args []string) error) func(ctx context.Context, args []string) error {
	return func(ctx context.Context, args []string) error { return do(machine.UntilParentEnds(ctx), args) }
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
	w, err := machine.ParseWorking(args[1:])
	if err != nil {
		return err
	}
	p, err := find(args[0])
	if err != nil {
		return err
	}
	if p.Worker == nil {
		return fmt.Errorf("%s is a Lambda function or has a program of its own", p.Name)
	}
	return p.Worker(ctx, w)
}

func runQueue(ctx context.Context, args []string) error {
	var c machine.QueueConfig
	f := flag.NewFlagSet("queue", flag.ContinueOnError)
	f.StringVar(&c.Dir, "dir", "", "directory of the queues")
	f.DurationVar(&c.Visibility, "visibility", 0, "visibility timeout of the events queue; 0: the deployment's")
	f.StringVar(&c.Name, "function", "", "name of the peer whose Lambda function runs; empty: none")
	f.StringVar(&c.Binary, "binary", "", "binary of the function")
	f.StringVar(&c.Segment, "segment", "", "URL of the Segment emulator, for the function")
	if err := f.Parse(args); err != nil {
		return err
	}
	if c.Name != "" {
		p, err := find(c.Name)
		if err != nil {
			return err
		}
		c.Function = p.Function
	}
	return machine.ServeQueue(ctx, os.Stdout, c)
}

// parts are the names of the results beside those of the peers, in the order of the tables.
var parts = []string{"redis", "api-well", "api-slow", "api-away", "limits"}

func runReport(_ context.Context, args []string) error {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	results := f.String("results", "", "directory of the results")
	docs := f.String("docs", "", "folder whose performance.md and chart are written; empty: none")
	only := f.String("only", "", "names of peers, separated by commas; empty: all")
	command := f.String("command", "integration/peers/run", "what has measured")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := measure.Choose(registry(), *only)
	if err != nil {
		return err
	}
	r, err := report.Load(*results, chosen, parts...)
	if err != nil {
		return err
	}
	m := report.ThisMachine(*command)
	fmt.Print(r.Text(m))
	if *docs != "" {
		if err := r.WriteDocs(*docs, m); err != nil {
			return err
		}
	}
	return r.Check()
}

func runSegment(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("segment", flag.ContinueOnError)
	latency := f.Duration("latency", 50*time.Millisecond, "how long an answer takes")
	if err := f.Parse(args); err != nil {
		return err
	}
	return machine.ServeSegment(ctx, os.Stdout, *latency)
}
