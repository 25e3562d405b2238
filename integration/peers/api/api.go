package api

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/report"
)

// A part is what is measured at one time, and has a table of its own. The rates are those of one
// process of an API.
type part struct {
	name, title string
	why         string // what the table shows, for people
	conditions  []condition
	load        Load
	turns       int // by which the ways are measured, one at a time; 0: all at the same time
}

// A condition is how the queue is.
type condition struct {
	name, what string
	fault      Fault
}

var (
	isWell  = condition{"well", "well", Fault{}}
	slower  = condition{"slow-200ms", "answers 200 ms later", Fault{Delay: 200 * time.Millisecond}}
	slowest = condition{"slow-2s", "answers 2 s later", Fault{Delay: 2 * time.Second}}
	refused = condition{"refused", "refuses connections", Fault{Refuse: true}}
	silent  = condition{"silent", "never answers", Fault{Silent: true}}
)

// patience is how long an API's own request lives, and so a call: the API's clients have left then.
const patience = 5 * time.Second

// settle is how long what was accepted may take to arrive when the queue is back. The longest pause
// between two attempts of any way is 10 s.
const settle = 12 * time.Second

// parts are what is measured. The queue is away for longer than analytics-go tries again: 33 s, ten
// attempts.
func parts() []part {
	return []part{
		{"well", "The API's side: the call that hands over an event, while the queue is well",
			"The publisher writes the event's JSON in the call, analytics-go after it. `SendMessage` and ingest return " +
				"when the " +
				"SQS emulator has synced the event to disk; SQS itself takes some 20 ms. Ingest lets requests share a " +
				"message for " +
				"up to 5 ms. " + columns,
			[]condition{isWell}, Load{Rate: 1000, For: 1500 * time.Millisecond, Patience: patience}, 3},
		{"slow", "… while the queue is slow",
			"asynq's client has ten connections a core, and a call keeps one until its answer: two cores make 100 calls " +
				"a second " +
				"of 200 ms. The SDK and ingest take as many connections as calls wait, and memory for each. With a spill " +
				"directory " +
				"ingest goes on without the queue when that does not answer in time; what arrives twice for that has one " +
				"messageId, by which Segment drops the second.",
			[]condition{slower, slowest}, Load{Rate: 200, For: 8 * time.Second, Patience: patience}, 0},
		{"away", "… while the queue is away, and then back",
			"analytics-go tries ten times, for 33 s when connections are refused, and then drops a batch: `Enqueue` has " +
				"returned " +
				"no error, and only its log says so. With asynq and the SDK each call fails, and what becomes of its event " +
				"is up to " +
				"the API; without an answer the calls wait, and the memory is theirs. The publisher keeps what waits in " +
				"20 MB, or " +
				"on disk.",
			[]condition{refused, silent}, Load{Rate: 200, For: 40 * time.Second, Patience: patience}, 0},
	}
}

// smoke tries each kind of measurement once, and its numbers mean nothing.
func smoke() []part {
	small := parts()
	for i := range small {
		p := &small[i]
		p.conditions, p.load.Rate, p.load.For = p.conditions[:1], 100, time.Second/2
		p.turns = min(p.turns, 1)
	}
	return small
}

// Run is the subcommand `api`: it measures all ways and keeps the results in files of --results,
// one for each part; without it, it prints the tables. The subcommand `api call` is a process that
// it starts for each way.
func Run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "call" {
		return runCaller(ctx, args[1:], os.Stdin, os.Stdout)
	}
	f := flag.NewFlagSet("api", flag.ContinueOnError)
	results := f.String("results", "", "directory for the results")
	small := f.Bool("smoke", false, "try each measurement once and shortly")
	only := f.String("only", "", "the part to measure: well, slow or away; default: all")
	binary := f.String("ingest", "", "the built ingest endpoint")
	if err := f.Parse(args); err != nil {
		return err
	}
	all := parts()
	if *small {
		all = smoke()
	}
	if *only != "" {
		all = slices.DeleteFunc(all, func(p part) bool { return p.name != *only })
	}
	if len(all) == 0 {
		return fmt.Errorf("--only must be well, slow or away, is %q", *only)
	}
	r, err := startRig(ctx, *binary)
	if err != nil {
		return err
	}
	defer r.stop()
	var lost []error
	for _, p := range all {
		rows, err := p.run(ctx, r, *results)
		if err != nil {
			return err
		}
		lost = append(lost, check(rows))
	}
	return errors.Join(lost...)
}

// check is the error of a measurement in which Spillway has lost an event that it had accepted.
func check(rows []Row) error {
	var lost []error
	for _, r := range rows {
		if r.Ours && r.Lost > 0 {
			lost = append(lost, fmt.Errorf("%s lost %d events that it had accepted: queue %s", r.Way, r.Lost, r.Condition))
		}
	}
	return errors.Join(lost...)
}

// run measures a part, and keeps or prints its table.
func (p part) run(ctx context.Context, r *rig, results string) ([]Row, error) {
	rows, err := p.measure(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("measure the API's side, part %s: %w", p.name, err)
	}
	table := p.table(rows, r.missing)
	if results == "" {
		table.Write(os.Stdout)
		return rows, nil
	}
	return rows, report.Save(results, "api-"+p.name, report.Part{Tables: []report.Table{table}, Values: rows})
}

// measure measures all ways under the part's conditions.
func (p part) measure(ctx context.Context, r *rig) ([]Row, error) {
	trials, err := p.open(ctx, r)
	defer closeAll(trials)
	if err != nil {
		return nil, err
	}
	if p.turns > 0 {
		err = p.byTurns(trials)
	} else {
		err = p.together(trials)
	}
	if err != nil {
		return nil, err
	}
	return finish(ctx, trials)
}

// byTurns measures the ways one at a time, because a call takes microseconds, and by turns, so that
// what else the machine does meets all of them.
func (p part) byTurns(trials []*trial) error {
	for range p.turns {
		for _, t := range trials {
			if err := errors.Join(t.fail(), t.run(p.load), t.heal()); err != nil {
				return err
			}
		}
	}
	return nil
}

// together measures the ways at the same time: these calls wait, and use little of the machine. The
// way that does nothing shows how much they disturb each other.
func (p part) together(trials []*trial) error {
	failures := make([]error, len(trials))
	var running sync.WaitGroup
	for i, t := range trials {
		running.Go(func() { failures[i] = errors.Join(t.fail(), t.run(p.load), t.heal()) })
	}
	running.Wait()
	return errors.Join(failures...)
}

// open opens a trial of each way that can be measured here under each condition.
func (p part) open(ctx context.Context, r *rig) (trials []*trial, err error) {
	warm := Load{Rate: p.load.Rate, For: 200 * time.Millisecond, Patience: patience}
	for _, c := range p.conditions {
		for _, w := range ways() {
			if w.to == redis && r.redis == nil {
				continue
			}
			t, err := r.open(ctx, w, c)
			if err != nil {
				return trials, fmt.Errorf("%s while the queue is %s: %w", w.name, c.name, err)
			}
			trials = append(trials, t)
			if err := t.warm(warm); err != nil {
				return trials, err
			}
		}
	}
	return trials, nil
}

func closeAll(trials []*trial) {
	for _, t := range trials {
		t.kill()
	}
}

// finish waits until what was accepted has arrived, and ends the processes as an API ends. Those
// that keep events on disk are started once more, as an API is, to send what they still have. Then
// it counts what is missing.
func finish(ctx context.Context, trials []*trial) ([]Row, error) {
	if err := settled(ctx, trials, (*trial).isMissing); err != nil {
		return nil, err
	}
	if err := endAll(trials); err != nil {
		return nil, err
	}
	var again []*trial
	for _, t := range trials {
		if !t.way.keeps {
			continue
		}
		if lost, err := t.hasLost(ctx); err != nil {
			return nil, err
		} else if !lost {
			continue
		}
		if err := t.start(); err != nil {
			return nil, err
		}
		again = append(again, t)
	}
	// What arrives twice hides from a count what is missing.
	if err := errors.Join(settled(ctx, again, (*trial).hasLost), endAll(again)); err != nil {
		return nil, err
	}
	var rows []Row
	for _, t := range trials {
		row, err := t.row(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// settled waits until no trial is missing anything, but not for longer than settle.
func settled(ctx context.Context, trials []*trial, missing func(*trial, context.Context) (bool, error)) error {
	for deadline := time.Now().Add(settle); time.Now().Before(deadline); {
		var failed error
		waits := slices.ContainsFunc(trials, func(t *trial) bool {
			is, err := missing(t, ctx)
			failed = errors.Join(failed, err)
			return is
		})
		if failed != nil || !waits {
			return failed
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
	return nil
}

func endAll(trials []*trial) error {
	ends := make([]error, len(trials))
	var ending sync.WaitGroup
	for i, t := range trials {
		ending.Go(func() { ends[i] = t.end() })
	}
	ending.Wait()
	return errors.Join(ends...)
}

// missingRedis is the note below the tables where Redis is not installed.
func missingRedis(err error) string {
	if errors.Is(err, machine.ErrNoRedis) {
		return "The rows of asynq are missing: " + err.Error() + "."
	}
	return ""
}
