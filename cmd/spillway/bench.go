package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

type benchFlags struct {
	events, single, baseline int
	latency                  time.Duration
	dir                      string
	gzip                     bool
}

func newBench() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure on this machine how fast a backlog is accepted and delivered",
		Long: "Fills the queue with a backlog, ends the process, starts it again and takes the time until the stand-in, " +
			"in a process of its own,\n" +
			"has every event: once packed, once with a message an event. Then, in the same run, two ways without Spillway: a " +
			"job an event with an\n" +
			"analytics-go client, 100 at a time, as in the outage that Spillway comes from; and ready-made batches posted, " +
			"which is the limit.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.events < 0 || f.single < 0 || f.baseline < 0 {
				return fmt.Errorf("counts can't be negative: write 0 to leave a part out")
			}
			if f.events+f.single+f.baseline == 0 {
				return fmt.Errorf("there is nothing to measure: write at least one count above 0")
			}
			if f.latency < 0 {
				return fmt.Errorf("--latency is %v: write 0 or more, like 50ms", f.latency)
			}
			return bench(c.Context(), c.OutOrStdout(), f)
		},
	}
	c.Flags().IntVar(&f.events, "events", 100_000, "packed events; 0 leaves that part out")
	c.Flags().IntVar(&f.single, "single", 100_000, "events that are a message each; 0 leaves that part out")
	c.Flags().IntVar(&f.baseline, "baseline", 5_000, "events for the way without Spillway; 0 leaves that part out")
	c.Flags().DurationVar(&f.latency, "latency", 50*time.Millisecond, "how long the stand-in takes to answer")
	c.Flags().StringVar(&f.dir, "dir", os.TempDir(),
		"where a data directory is made and removed again: a real disk, to be fair")
	c.Flags().BoolVar(&f.gzip, "gzip", true, "compress what goes to Segment")
	return c
}

// result is one row. What does not apply is 0.
type result struct {
	what                string
	events              int
	accepted, delivered time.Duration
	cpu                 time.Duration // of the delivering process
	rss                 int64         // its peak, in bytes
}

func bench(ctx context.Context, out io.Writer, f benchFlags) error {
	dir, err := os.MkdirTemp(f.dir, "spillway-bench-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w: name another place with --dir", err)
	}
	defer os.RemoveAll(dir)
	standIn, err := spawn(ctx, "segmentd", "--port=0", "--latency="+f.latency.String())
	if err != nil {
		return err
	}
	defer standIn.kill() // it would wait for the connections that analytics-go leaves behind
	segmentURL := standIn.url

	var results []result
	for _, part := range []struct {
		what   string
		count  int
		single bool
	}{{"packed messages", f.events, false}, {"a message an event", f.single, true}} {
		if part.count == 0 {
			continue
		}
		fmt.Fprintf(out, "%s: %s events …\n", part.what, number(int64(part.count)))
		r, err := drain(ctx, filepath.Join(dir, part.what), segmentURL, part.count, part.single, f.gzip)
		if err != nil {
			return fmt.Errorf("%s: %w", part.what, err)
		}
		r.what = part.what
		results = append(results, r)
	}
	if f.baseline > 0 {
		fmt.Fprintf(out, "without Spillway …\n")
		jobs, err := analyticsJobs(ctx, segmentURL, f.baseline)
		if err != nil {
			return err
		}
		posted, err := readyMade(ctx, segmentURL, max(f.events, f.baseline))
		if err != nil {
			return err
		}
		results = append(results, jobs, posted)
	}
	report(out, results)
	return nil
}

func report(out io.Writer, results []result) {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tevents\taccepted in\tdelivered in\tevents/s\tCPU an event\tpeak RSS\t")
	for _, r := range results {
		accepted, cpu, rss := "–", "–", "–"
		if r.accepted > 0 {
			accepted = fmt.Sprintf("%.2f s", r.accepted.Seconds())
		}
		if r.cpu > 0 {
			cpu = fmt.Sprintf("%.1f µs", float64(r.cpu.Nanoseconds())/1000/float64(r.events))
		}
		if r.rss > 0 {
			rss = fmt.Sprintf("%d MB", r.rss>>20)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f s\t%s\t%s\t%s\t\n", r.what, number(int64(r.events)), accepted, r.delivered.Seconds(),
			number(int64(float64(r.events)/r.delivered.Seconds())), cpu, rss)
	}
	w.Flush()
}

// drain fills a queue that nobody empties, ends the process, and takes the time from the start of
// another one until the stand-in has every event.
func drain(ctx context.Context, dir, segmentURL string, count int, single, gzip bool) (r result, err error) {
	r.events = count
	common := []string{"up", "--data-dir=" + dir, "--sqs-port=0", "--ingest-port=0", "--segment=" + segmentURL,
		"--write-key=bench", "--gzip=" + strconv.FormatBool(gzip)}
	holding, err := spawn(ctx, append(common, "--deliver=false")...)
	if err != nil {
		return r, err
	}
	defer holding.stop()
	start := time.Now()
	if err := run(ctx, "send", "--count="+strconv.Itoa(count), "--single="+strconv.FormatBool(single),
		"--queue-url="+holding.url); err != nil {
		return r, err
	}
	r.accepted = time.Since(start)
	if _, _, err := holding.stop(); err != nil {
		return r, err
	}
	if err := ask(ctx, http.MethodPost, segmentURL+"/_segmentd/reset", nil); err != nil {
		return r, err
	}
	start = time.Now()
	delivering, err := spawn(ctx, common...)
	if err != nil {
		return r, err
	}
	defer delivering.stop()
	var stats segmentd.Stats
	for stats.Distinct+stats.Duplicates < int64(count) {
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
		if err := ask(ctx, http.MethodGet, segmentURL+"/_segmentd/stats", &stats); err != nil {
			return r, err
		}
	}
	r.delivered = time.Since(start)
	r.cpu, r.rss, err = delivering.stop()
	return r, err
}

func ask(ctx context.Context, method, url string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return nil
}

// child is another process of this program.
type child struct {
	cmd *exec.Cmd
	url string // of the queue or of the stand-in
}

var childURL = regexp.MustCompile(`(?:events queue\s+|listens on )(http://\S+)`)

// spawn starts a verb that listens, and waits until it says where.
func spawn(ctx context.Context, args ...string) (*child, error) {
	cmd, err := self(ctx, args...)
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start spillway %s: %w", args[0], err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if found := childURL.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return &child{cmd, found[1]}, nil
		}
	}
	return nil, fmt.Errorf("spillway %s ended before it listened: %w", args[0], cmd.Wait())
}

// stop ends the process in good order and returns what it used. Twice does no harm.
func (c *child) stop() (cpu time.Duration, rss int64, err error) {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Signal(os.Interrupt)
		if err := c.cmd.Wait(); err != nil {
			return 0, 0, fmt.Errorf("stop %s: %w", c.cmd.Args[1], err)
		}
	}
	state := c.cmd.ProcessState
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		rss = int64(usage.Maxrss) << 10 // Linux counts in KB
	}
	return state.UserTime() + state.SystemTime(), rss, nil
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func run(ctx context.Context, args ...string) error {
	cmd, err := self(ctx, args...)
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("spillway %s: %w", args[0], err)
	}
	return nil
}

func self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
