package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/machine"
)

// A trial is one way under one condition, with a queue and processes of its own.
type trial struct {
	way       way
	condition condition
	prefix    string // of its messageIds, and the name of its queue
	arrivals  arrivals
	proxy     *proxy           // in front of the queue; nil: no fault is planned
	start     func() error     // starts the processes, also after their end
	endpoint  *machine.Process // the ingest endpoint; nil: the way has none

	caller *exec.Cmd
	loads  io.WriteCloser // the caller's stdin
	turns  *json.Decoder  // the caller's stdout

	next     int          // number of the next event
	refused  map[int]bool // numbers of the events that were not accepted
	measured []turn
	grown    int64 // the most that the ingest endpoint has grown by in a turn
}

// closePatience is how long an API waits at its end for what its client still has to send.
const closePatience = 10 * time.Second

// startProcesses starts the ingest endpoint, if the way has one, and the process that calls. The
// queue is at a URL, and dir is for their files.
func (t *trial) startProcesses(ctx context.Context, binary, at, dir string) (err error) {
	if t.way.to == ingest {
		spill := ""
		if t.way.keeps {
			spill = filepath.Join(dir, "spill")
		}
		if t.endpoint, err = machine.StartIngest(ctx, binary, at, spill); err != nil {
			return err
		}
		at = t.endpoint.URL
	}
	return t.startCaller(ctx, "--url="+at, "--name="+t.prefix, "--dir="+dir, "--prefix="+t.prefix)
}

// startCaller starts the process that calls.
func (t *trial) startCaller(ctx context.Context, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	t.caller = exec.CommandContext(ctx, self, append([]string{"api", "call", t.way.name}, args...)...)
	t.caller.Stderr = os.Stderr
	if t.loads, err = t.caller.StdinPipe(); err != nil {
		return err
	}
	out, err := t.caller.StdoutPipe()
	if err != nil {
		return err
	}
	t.turns = json.NewDecoder(out)
	if err := t.caller.Start(); err != nil {
		return fmt.Errorf("start the process of %s: %w", t.way.name, err)
	}
	return nil
}

// id is the messageId of an event.
func (t *trial) id(i int) string { return t.prefix + "-" + strconv.Itoa(i) }

// accepted is how many events were accepted, those of the warm-up too.
func (t *trial) accepted() int { return t.next - len(t.refused) }

// isMissing reports whether fewer events have arrived than were accepted. It is cheap.
func (t *trial) isMissing(ctx context.Context) (bool, error) {
	n, err := t.arrivals.count(ctx)
	return n < t.accepted(), err
}

// hasLost reports whether an event that was accepted has not arrived.
func (t *trial) hasLost(ctx context.Context) (bool, error) {
	ids, err := t.arrivals.ids(ctx)
	lost, _, _ := t.compare(ids)
	return lost > 0, err
}

// fail begins the trial's fault, heal ends it.
func (t *trial) fail() error { return t.set(t.condition.fault) }
func (t *trial) heal() error { return t.set(Fault{}) }

func (t *trial) set(f Fault) error {
	if t.proxy == nil {
		return nil
	}
	return t.proxy.set(f)
}

// warm makes calls that are not measured, which open connections and fill pools.
func (t *trial) warm(l Load) error {
	_, err := t.do(l)
	return err
}

// run makes calls that are measured.
func (t *trial) run(l Load) error {
	before, err := t.endpointMemory("VmRSS")
	if err != nil {
		return err
	}
	result, err := t.do(l)
	if err != nil {
		return err
	}
	t.measured = append(t.measured, result)
	after, err := t.endpointMemory("VmHWM")
	t.grown = max(t.grown, after-before)
	return err
}

func (t *trial) do(l Load) (turn, error) {
	l.From = t.next
	var result turn
	if err := json.NewEncoder(t.loads).Encode(l); err != nil {
		return result, fmt.Errorf("ask the process of %s: %w", t.way.name, err)
	}
	if err := t.turns.Decode(&result); err != nil {
		return result, fmt.Errorf("read what the process of %s measured: %w", t.way.name, err)
	}
	t.next += result.Calls
	for _, i := range result.Refused {
		t.refused[i] = true
	}
	return result, nil
}

// endpointMemory is that of the ingest endpoint, 0 if the way has none.
func (t *trial) endpointMemory(field string) (int64, error) {
	if t.endpoint == nil {
		return 0, nil
	}
	return memoryOf(strconv.Itoa(t.endpoint.PID()), field)
}

// end ends the caller as an API ends: its client may send what waits, but not forever.
func (t *trial) end() error {
	if err := t.loads.Close(); err != nil {
		return err
	}
	late := time.AfterFunc(closePatience, func() { _ = t.caller.Process.Kill() })
	err := t.caller.Wait()
	if !late.Stop() {
		err = nil // killed: what it had is lost, and counted
	}
	t.caller = nil
	if err != nil {
		return fmt.Errorf("the process of %s: %w", t.way.name, err)
	}
	if t.endpoint == nil {
		return nil
	}
	err = t.endpoint.Stop()
	t.endpoint = nil
	return err
}

// kill ends what still runs.
func (t *trial) kill() {
	if t.caller != nil && t.caller.Process != nil {
		_ = t.caller.Process.Kill()
		_ = t.caller.Wait()
	}
	if t.endpoint != nil {
		t.endpoint.Kill()
	}
	t.caller, t.endpoint = nil, nil
	if t.proxy != nil {
		t.proxy.close()
	}
}

// A Row is the result of a trial.
type Row struct {
	Way, Condition string
	What, Queue    string // for people
	Ours           bool   // it is Spillway's
	Rate           int    // calls a second
	Calls          int
	// The percentiles are of a call, from when it was due to its return, with an error or not; with
	// several turns each is the median of the turns'. One that more than that share of the calls
	// exceeded without returning is a lower bound, and AtLeast says so.
	P50, P99, P999, Max Latency
	Errors              map[string]int // calls that returned an error, by its reason
	Failed              int            // of Errors
	NotReturned         int            // calls that had not returned a second after the request's end
	AtOnce              int            // the most calls under way at the same time
	Grew                int64          // bytes by which the process grew at most
	GrewIngest          int64          // bytes by which the ingest endpoint did
	Lost                int            // events that were accepted and did not arrive
	Doubled             int            // events that arrived more than once
	Unasked             int            // events that arrived although the call returned an error
}

// A Latency is a percentile.
type Latency struct {
	Time    time.Duration
	AtLeast bool // some calls had not returned: it may be longer
}

// row sums up a trial that has ended.
func (t *trial) row(ctx context.Context) (Row, error) {
	r := Row{Way: t.way.name, Condition: t.condition.name, What: t.way.what, Queue: t.condition.what, Ours: t.way.ours,
		Errors: map[string]int{}, GrewIngest: t.grown}
	var at [4][]Latency
	for _, m := range t.measured {
		r.Rate, r.Calls = m.Rate, r.Calls+m.Calls
		r.NotReturned += len(m.Waiting)
		r.AtOnce = max(r.AtOnce, m.AtOnce)
		r.Grew = max(r.Grew, m.Peak-m.Before)
		for text, n := range m.Errors {
			r.Errors[text] += n
			r.Failed += n
		}
		for i, l := range m.percentiles(0.5, 0.99, 0.999, 1) {
			at[i] = append(at[i], l)
		}
	}
	for i, to := range []*Latency{&r.P50, &r.P99, &r.P999, &r.Max} {
		*to = medianLatency(at[i])
	}
	ids, err := t.arrivals.ids(ctx)
	if err != nil {
		return r, err
	}
	r.Lost, r.Doubled, r.Unasked = t.compare(ids)
	return r, nil
}

// compare compares what has arrived with what was accepted.
func (t *trial) compare(ids map[string]int) (lost, doubled, unasked int) {
	for i := range t.next {
		times := ids[t.id(i)]
		switch {
		case times > 1:
			doubled++
		case times == 0 && !t.refused[i]:
			lost++
		}
		if times > 0 && t.refused[i] {
			unasked++
		}
	}
	return lost, doubled, unasked
}

// percentiles returns some percentiles of all calls. For one that has not returned it takes how
// long it has waited.
func (o *Outcome) percentiles(qs ...float64) []Latency {
	all := slices.Concat(o.Latencies, o.Waiting)
	slices.Sort(all)
	shortest := time.Duration(1<<63 - 1)
	if len(o.Waiting) > 0 {
		shortest = slices.Min(o.Waiting)
	}
	var result []Latency
	for _, q := range qs {
		p := percentile(all, q)
		result = append(result, Latency{p, p >= shortest})
	}
	return result
}

// medianLatency is the middle one.
func medianLatency(of []Latency) Latency {
	if len(of) == 0 {
		return Latency{}
	}
	slices.SortFunc(of, func(a, b Latency) int { return int(a.Time - b.Time) })
	return of[(len(of)-1)/2]
}
