package api

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// A turn is what a caller's process answers to a Load.
type turn struct {
	Outcome
	Before, Peak int64 // resident memory in bytes, before the first call and at most since
}

// runCaller is the process of a caller, the subcommand `api call WAY`. It reads Loads from its
// stdin, one JSON document each, and answers each with a turn. At the end of its stdin it sends
// what waits, and ends.
func runCaller(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: peers api call WAY --url URL …")
	}
	w, err := wayNamed(args[0])
	if err != nil {
		return err
	}
	var t target
	f := flag.NewFlagSet("api call", flag.ContinueOnError)
	f.StringVar(&t.URL, "url", "", "where the events go")
	f.StringVar(&t.Name, "name", "events", "of the queue of tasks")
	f.StringVar(&t.Dir, "dir", "", "directory for the events of a publisher")
	prefix := f.String("prefix", "", "of the events' messageIds")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	events, err := madeUp()
	if err != nil {
		return err
	}
	c, err := w.open(t)
	if err != nil {
		return err
	}
	loads, turns := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var l Load
		if err := loads.Decode(&l); errors.Is(err, io.EOF) {
			return c.close()
		} else if err != nil {
			return fmt.Errorf("read what to measure: %w", err)
		}
		result, err := measure(ctx, l, func(ctx context.Context, i int) error {
			event := events[i%len(events)]
			event.MessageId = *prefix + "-" + strconv.Itoa(i)
			return c.call(ctx, event)
		})
		if err != nil {
			return err
		}
		if err := turns.Encode(result); err != nil {
			return fmt.Errorf("write what was measured: %w", err)
		}
	}
}

// measure runs a Load, and measures the memory of this process meanwhile.
func measure(ctx context.Context, l Load, call func(context.Context, int) error) (turn, error) {
	if err := resetPeak(); err != nil {
		return turn{}, err
	}
	before, err := memory("VmRSS")
	if err != nil {
		return turn{}, err
	}
	outcome := l.Run(ctx, call)
	peak, err := memory("VmHWM")
	return turn{outcome, before, peak}, err
}

// madeUp are some of the events that all peers get, as an API has them: not yet as JSON.
func madeUp() ([]analytics.Track, error) {
	events := make([]analytics.Track, 256)
	for i := range events {
		text, err := peer.Event(i)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &events[i]); err != nil {
			return nil, fmt.Errorf("read a made-up event: %w", err)
		}
	}
	return events, nil
}

// resetPeak makes VmHWM the present VmRSS (proc(5), clear_refs).
func resetPeak() error {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of the memory: %w", err)
	}
	return nil
}

// memory reads VmRSS or VmHWM of this process, in bytes.
func memory(field string) (int64, error) { return memoryOf("self", field) }

func memoryOf(pid, field string) (int64, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", field, err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/%s/status has no %s", pid, field)
}
