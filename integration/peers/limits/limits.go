// Package limits measures what the machine can do at most, and what Spillway takes for the same,
// beside it: the smaller the multiple, the less there is left to gain.
//
// A limit does the part of the work that nobody can leave out, and nothing else. It is measured in
// turns with ours, each as the median of its turns, on the same input.
package limits

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/report"
)

// A Cost is what some events cost.
type Cost struct {
	Events int
	Spent  time.Duration // CPU time or time, as the comparison says
}

// micros is the cost of one event in microseconds.
func (c Cost) micros() float64 {
	if c.Events == 0 {
		return 0
	}
	return float64(c.Spent.Nanoseconds()) / 1e3 / float64(c.Events)
}

// A task works for about a time and says what that has cost.
type task struct {
	what string
	run  func(ctx context.Context, atLeast time.Duration) (Cost, error)
}

// A comparison is a limit with what Spillway does instead.
type comparison struct {
	unit  string // of the costs
	limit task
	ours  []task
}

// A Row is one of ours beside its limit, in microseconds an event.
type Row struct {
	Unit, Limit, Ours      string
	LimitMicros, OurMicros float64
	Multiple               float64 // ours by the limit
}

// Run is the subcommand `limits`: it measures them and keeps the table in a file of --results;
// without it, it prints the table. The subcommand `limits http` is a process that it starts.
func Run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "http" {
		return serveBare(ctx, os.Stdout)
	}
	f := flag.NewFlagSet("limits", flag.ContinueOnError)
	results := f.String("results", "", "directory for the result")
	small := f.Bool("smoke", false, "try each measurement once and shortly")
	binary := f.String("ingest", "", "the built ingest endpoint")
	if err := f.Parse(args); err != nil {
		return err
	}
	turns, atLeast := 3, 500*time.Millisecond
	if *small {
		turns, atLeast = 1, 50*time.Millisecond
	}
	rows, err := measure(ctx, *binary, turns, atLeast)
	if err != nil {
		return err
	}
	t := table(rows, turns)
	if *results == "" {
		t.Write(os.Stdout)
		return nil
	}
	return report.Save(*results, "limits", report.Part{Tables: []report.Table{t}, Values: rows})
}

// measure makes all comparisons, one after the other.
func measure(ctx context.Context, binary string, turns int, atLeast time.Duration) (rows []Row, err error) {
	if binary == "" {
		return nil, errors.New("--ingest must name the built ingest endpoint: go build ./functions/ingest")
	}
	events, err := madeUp()
	if err != nil {
		return nil, err
	}
	for _, compare := range []func(context.Context, [][]byte, func(comparison) error) error{
		comparePosts, compareScans, compareSyncs,
		func(ctx context.Context, events [][]byte, do func(comparison) error) error {
			return compareServers(ctx, binary, events, do)
		},
	} {
		err := compare(ctx, events, func(c comparison) error {
			more, err := c.measure(ctx, turns, atLeast)
			rows = append(rows, more...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// measure measures the limit and ours by turns, after a turn that does not count: it opens
// connections and fills pools.
func (c comparison) measure(ctx context.Context, turns int, atLeast time.Duration) ([]Row, error) {
	all := append([]task{c.limit}, c.ours...)
	micros := make([][]float64, len(all))
	for turn := range turns + 1 {
		for i, t := range all {
			time := atLeast
			if turn == 0 {
				time = atLeast / 10
			}
			cost, err := t.run(ctx, time)
			if err != nil {
				return nil, fmt.Errorf("measure %s: %w", t.what, err)
			}
			if cost.Events == 0 || cost.Spent <= 0 {
				return nil, fmt.Errorf("measure %s: %d events took %v", t.what, cost.Events, cost.Spent)
			}
			if turn > 0 {
				micros[i] = append(micros[i], cost.micros())
			}
		}
	}
	var rows []Row
	limit := median(micros[0])
	for i, t := range c.ours {
		ours := median(micros[i+1])
		rows = append(rows, Row{c.unit, c.limit.what, t.what, limit, ours, ours / limit})
	}
	return rows, nil
}

// median is the middle value, of an even number the lower one of two. It sorts them.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// cpu is the user and system time of this process.
func cpu() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// onCPU is a task that does work on some events, again and again, and costs CPU time of this
// process.
func onCPU(what string, events int, work func(context.Context) error) task {
	return task{what, func(ctx context.Context, atLeast time.Duration) (c Cost, err error) {
		before, err := cpu()
		if err != nil {
			return c, err
		}
		for start := time.Now(); c.Events == 0 || time.Since(start) < atLeast; c.Events += events {
			if err := work(ctx); err != nil {
				return c, err
			}
		}
		after, err := cpu()
		c.Spent = after - before
		return c, err
	}}
}

func table(rows []Row, turns int) report.Table {
	t := report.Table{Title: "The limit, and ours beside it",
		Head: []string{"the limit", "an event", "Spillway", "an event", "ours by the limit"}}
	for _, r := range rows {
		t.Rows = append(t.Rows, []string{r.Limit, number(r.LimitMicros) + " µs", r.Ours,
			number(r.OurMicros) + " µs " + r.Unit,
			number(r.Multiple)})
	}
	t.Notes = []string{fmt.Sprintf("The median of %d turns. CPU time is user and system time of the process that "+
		"does it: "+
		"not of the Segment emulator, nor of what sends requests to the server.", turns)}
	return t
}

// number writes a number with two digits, or more before the point.
func number(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.2f", v)
	case v < 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}
