// Package measure fills, runs, kills and watches the peers, each in the same way.
package measure

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// Config says what is measured.
type Config struct {
	Peers  []peer.Peer
	Events int
	First  int // number of the first round: other rounds' results stand beside it
	// Latencies are those of the Segment emulator in drains.
	Latencies []time.Duration
	Rounds    int // of each drain; the tables have the median
	Work      string
	Results   string
	Bin       string        // folder of the built functions of Spillway
	Away      time.Duration // for how long Segment is away
	// Visibility is the visibility timeout of all queues while a worker is killed or Segment away.
	// A deployment has several minutes, after which the same happens.
	Visibility time.Duration
	// Brief leaves out what takes minutes: asynq's recovery of the jobs of a killed worker.
	Brief bool
}

// The sizes of a smoke run.
const (
	smokeEvents     = 2_000
	smokeAway       = 2 * time.Second
	smokeVisibility = 3 * time.Second
	smokeSample     = 10 // slow peers get a sample as much smaller
)

// parse reads the flags of a measurement.
func parse(verb string, args []string, all []peer.Peer) (*Config, error) {
	c := &Config{Visibility: faultVisibility}
	var only string
	f := flag.NewFlagSet(verb, flag.ContinueOnError)
	f.IntVar(&c.Events, "events", 100_000, "events for each peer, except slow ones, which get fewer")
	f.IntVar(&c.Rounds, "rounds", 3, "runs of each drain, except of slow peers")
	f.IntVar(&c.First, "first", 0, "number of the first run: a result of the same number is replaced")
	latency := f.Duration("latency", -1, "how long the Segment emulator takes in a drain; below 0: each of 0 and 50 ms")
	f.StringVar(&only, "only", "", "names of peers, separated by commas; empty: all")
	f.StringVar(&c.Work, "work", "", "directory of the queues, made and removed by the caller")
	f.StringVar(&c.Results, "results", "", "directory of the results")
	f.StringVar(&c.Bin, "bin", "", "folder of Spillway's built functions")
	f.DurationVar(&c.Away, "away", time.Minute, "how long Segment is away")
	smoke := f.Bool("smoke", false, "only try that everything works: 2,000 events, once")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if c.Work == "" || c.Results == "" || c.Bin == "" || c.Events < 1 || c.Rounds < 1 {
		return nil, errors.New("--work, --results and --bin must be given, --events and --rounds at least 1")
	}
	if c.Latencies = latencies; *latency >= 0 {
		c.Latencies = []time.Duration{*latency}
	}
	var err error
	if c.Peers, err = Choose(all, only); err != nil {
		return nil, err
	}
	if *smoke {
		c.makeBrief()
	}
	return c, machine.NeedRedis(slices.ContainsFunc(c.Peers, func(p peer.Peer) bool { return p.Queue == peer.Redis }))
}

// makeBrief makes a smoke run of it.
func (c *Config) makeBrief() {
	c.Events, c.Rounds, c.Away, c.Visibility, c.Brief = smokeEvents, 1, smokeAway, smokeVisibility, true
	c.Peers = slices.Clone(c.Peers)
	for i := range c.Peers {
		c.Peers[i].Sample = (c.Peers[i].Sample + smokeSample - 1) / smokeSample
	}
}

// Choose returns the peers of those names, in their order; all without names.
func Choose(all []peer.Peer, names string) ([]peer.Peer, error) {
	if names == "" {
		return all, nil
	}
	wanted := strings.Split(names, ",")
	var chosen []peer.Peer
	for _, p := range all {
		if i := slices.Index(wanted, p.Name); i >= 0 {
			chosen, wanted = append(chosen, p), slices.Delete(wanted, i, i+1)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("unknown peers %s in --only", strings.Join(wanted, ", "))
	}
	return chosen, nil
}

// A Verb is a subcommand.
type Verb = func(ctx context.Context, args []string) error

// Drain is the subcommand that measures how fast each peer drains a backlog; Kill and Away what the
// peers lose and double when their workers are killed, and when Segment is away.
func Drain(all []peer.Peer) Verb { return on("drain", all, drains) }

// Fill is the subcommand that only fills the queues, which the others else do.
func Fill(all []peer.Peer) Verb {
	return on("fill", all, func(ctx context.Context, c *Config) error {
		for i := range c.Peers {
			p := &c.Peers[i]
			for _, count := range []int{c.Events, min(c.Events, faultEvents)} {
				if _, err := c.filled(ctx, p, p.Events(count)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Kill is described at Drain.
func Kill(all []peer.Peer) Verb { return on("kill", all, kills) }

// Away is described at Drain.
func Away(all []peer.Peer) Verb { return on("away", all, aways) }

func on(name string, all []peer.Peer, do func(ctx context.Context, c *Config) error) Verb {
	return func(ctx context.Context, args []string) error {
		c, err := parse(name, args, all)
		if err != nil {
			return err
		}
		for _, dir := range []string{c.Work, c.Results} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make a directory: %w", err)
			}
		}
		return do(ctx, c)
	}
}

// program is the path of a program of the folder Bin; empty for none.
func (c *Config) program(name string) string {
	if name == "" {
		return ""
	}
	return filepath.Join(c.Bin, name)
}
