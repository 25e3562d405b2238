package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"time"
)

// process is a verb of this program that runs as a separate process.
type process struct {
	cmd *exec.Cmd
	url string // of its queue or of the Segment emulator
}

// listening finds the URL in what `spillway up` and `spillway segmentd` print.
var listening = regexp.MustCompile(`(?:events queue\s+|listens on )(http://\S+)`)

// start starts a verb and waits until it has printed where it listens.
func start(ctx context.Context, args ...string) (*process, error) {
	cmd, err := command(ctx, args...)
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
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return &process{cmd, found[1]}, nil
		}
	}
	return nil, fmt.Errorf("spillway %s ended before it listened: %w", args[0], cmd.Wait())
}

// stop interrupts the process and waits for its end. It may be called twice.
func (p *process) stop() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stop spillway %s: %w", p.cmd.Args[1], err)
	}
	return nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// used returns the CPU time and the peak memory, in bytes, of a process that has stopped; 0 bytes
// where the system does not say.
func (p *process) used() (cpu time.Duration, peakRSS int64) {
	state := p.cmd.ProcessState
	return state.UserTime() + state.SystemTime(), peakOf(state)
}

// run runs a verb to its end.
func run(ctx context.Context, args ...string) error {
	cmd, err := command(ctx, args...)
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("spillway %s: %w", args[0], err)
	}
	return nil
}

func command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
