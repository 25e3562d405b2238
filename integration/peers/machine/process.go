// Package machine runs the parts of a measurement as processes of this program: the Segment
// emulator, the SQS emulator, Redis, and the workers. So each part has CPU time and memory of its
// own, and can be killed.
package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// A Process is a process that was started here. It is safe for concurrent use.
type Process struct {
	URL string // where it listens; empty: it does not say

	name   string
	cmd    *exec.Cmd
	stderr tail
	exited chan struct{}
	err    error        // of Wait; read it after exited is closed
	peak   atomic.Int64 // bytes of memory, when it was last asked to end
}

// Listens is what a process of this program prints, followed by its URL, when it serves.
const Listens = "listens on "

// Start starts a subcommand of this program and waits until it has printed Listens and its URL.
func Start(ctx context.Context, args ...string) (*Process, error) {
	return serve(func(stdout io.Writer) (*Process, error) { return start(ctx, stdout, args...) },
		func(line string) (url string, ok bool) { return strings.CutPrefix(line, Listens) })
}

// serve starts a process and waits until it has printed a line in which find finds its URL.
func serve(start func(stdout io.Writer) (*Process, error), find func(line string) (url string, ok bool)) (*Process,
	error) {
	reader, writer := io.Pipe()
	p, err := start(writer)
	if err != nil {
		return nil, err
	}
	go func() {
		<-p.exited
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		if url, ok := find(lines.Text()); ok {
			p.URL = url
			go func() { _, _ = io.Copy(io.Discard, reader) }()
			return p, nil
		}
	}
	<-p.exited
	return nil, p.failed("ended before it served", p.err)
}

// Worker starts a peer's worker: a program, or `worker` of this one if it is empty.
func Worker(ctx context.Context, name, program string, w peer.Working) (*Process, error) {
	if program == "" {
		return start(ctx, nil, append([]string{"worker", name}, WorkingArgs(w)...)...)
	}
	return run(ctx, nil, "worker of "+name, program, WorkingArgs(w)...)
}

func start(ctx context.Context, stdout io.Writer, args ...string) (*Process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return run(ctx, stdout, strings.Join(args, " "), path, args...)
}

// UntilParentEnds returns a context that ends with ctx, or when the process that has started this
// one is gone, even if it was killed.
func UntilParentEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// run starts a program. It is asked to end when ctx ends.
func run(ctx context.Context, stdout io.Writer, name, path string, args ...string) (*Process, error) {
	return launch(exec.CommandContext(ctx, path, args...), stdout, name)
}

func launch(cmd *exec.Cmd, stdout io.Writer, name string) (*Process, error) {
	return launchWith(cmd, stdout, name, func(*syscall.SysProcAttr) {})
}

func launchWith(cmd *exec.Cmd, stdout io.Writer, name string, set func(*syscall.SysProcAttr)) (*Process, error) {
	p := &Process{name: name, cmd: cmd, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = stdout, &p.stderr
	// A queue's process that is killed could not end its function's processes, which stand still.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches this process alone, which ends the others
	set(p.cmd.SysProcAttr)
	// The pipe is never written to: it ends with this process, see UntilParentEnds.
	if _, err := p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.wait()
	return p, nil
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.exited)
}

// runForeign starts a program that is not ours, and so does not look whether its parent is gone: the
// kernel ends it with this process, even if that was killed.
func runForeign(ctx context.Context, name, path string, args ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	type result struct {
		p   *Process
		err error
	}
	started := make(chan result)
	go func() {
		// The kernel takes the end of the thread that has started it for the end of the parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := launchWith(cmd, nil, name, func(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL })
		started <- result{p, err}
		if err == nil {
			<-p.exited
		}
	}()
	r := <-started
	return r.p, r.err
}

// PID is the process's ID, also after its end.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Failure says how the process ended by itself; nil: it runs.
func (p *Process) Failure() error {
	select {
	case <-p.exited:
		return p.failed("ended", p.err)
	default:
		return nil
	}
}

func (p *Process) failed(what string, err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("%s %s: %w: %s", p.name, what, err, p.stderr.last())
}

// Stop asks the process to end (SIGTERM) and waits for it, at most for a minute: then it is killed.
// A second Stop does nothing.
func (p *Process) Stop() error {
	p.readPeak()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.Kill()
		return fmt.Errorf("%s did not end within a minute of SIGTERM", p.name)
	}
	if p.err != nil && !ended(p.err) {
		return p.failed("ended", p.err)
	}
	return nil
}

// ended reports whether the error only says that the process was signalled.
func ended(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process and its children with SIGKILL, and waits for it.
func (p *Process) Kill() {
	p.readPeak()
	if p.cmd.Process.Kill() == nil { // fails if it has been waited for, so that no other process is killed
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.exited
}

// readPeak reads the peak of the memory while the process is there. What wait4(2) says afterwards is
// never less than what this program had when it started the process.
func (p *Process) readPeak() {
	if peak := UseOf(p.cmd.Process.Pid).PeakRSS; peak > 0 {
		p.peak.Store(peak)
	}
}

// A Use is what a process has used. The zero value is nothing.
type Use struct {
	CPU     time.Duration // user and system
	PeakRSS int64         // bytes
}

// Use returns what the process has used so far, or until its end: its memory until it was asked to
// end, and 0 bytes if it has ended by itself.
func (p *Process) Use() Use {
	select {
	case <-p.exited:
		state := p.cmd.ProcessState
		return Use{CPU: state.UserTime() + state.SystemTime(), PeakRSS: p.peak.Load()}
	default:
		return UseOf(p.cmd.Process.Pid)
	}
}

// UseOf asks the kernel what a running process has used; nothing if it has ended.
func UseOf(pid int) (u Use) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u
	}
	// The clock of all its threads, as clock_getcpuclockid(3) makes it: /proc has but 1/100 s.
	var cpu unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &cpu) == nil {
		u.CPU = time.Duration(cpu.Nano())
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			u.PeakRSS = kb << 10
		}
	}
	return u
}

// tail keeps the end of what is written to it. It is safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4096

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if extra := len(t.b) - tailBytes; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
