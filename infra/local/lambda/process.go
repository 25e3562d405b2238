package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	// shutdownGrace is the time between SIGTERM and SIGKILL (Lambda developer guide, execution
	// environment lifecycle: 500 ms with an internal extension, without which a function gets no
	// SIGTERM).
	shutdownGrace = 500 * time.Millisecond

	// pipeGrace limits the wait for output that a grandchild holds open after its parent has ended.
	pipeGrace = time.Second
)

// ProcessConfig says which binary to run, and how. Only Path is required.
type ProcessConfig struct {
	// Path is the binary, built for this machine with -tags lambda.norpc.
	Path string
	// Env (NAME=value) is added to what Lambda sets. Of this process's environment only PATH is
	// inherited.
	Env []string
	// Output gets stdout and stderr, one Write at a time. Nil discards them.
	Output io.Writer
	// OnStart is called for each started process before the end of its init. Calls may be
	// concurrent. It may be nil.
	OnStart func(pid int)
}

// Process makes environments that each run the binary as a process and serve it the Lambda Runtime
// API on a loopback port, so that tests can run what is deployed, and kill it. An environment ends
// with its process; no process is restarted. A process whose parent dies loses its Runtime API and
// ends by itself.
func Process(config ProcessConfig) EnvironmentFactory {
	output := io.Discard
	if config.Output != nil {
		output = &lockedWriter{w: config.Output}
	}
	return func(ctx context.Context, info FunctionInfo) (Environment, error) {
		return startProcess(ctx, config, output, info)
	}
}

type process struct {
	api    *runtimeAPI
	cmd    *exec.Cmd
	exited chan struct{}
	cause  error // how the process ended; read it after exited is closed
}

// startProcess starts the binary and waits for the end of its init, which is its request for the
// first invocation.
func startProcess(ctx context.Context, config ProcessConfig, output io.Writer, info FunctionInfo) (*process, error) {
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fmt.Errorf("find the function's binary %s: %w", config.Path, err)
	}
	api, err := serveRuntimeAPI()
	if err != nil {
		return nil, err
	}
	p := &process{api: api, cmd: exec.Command(path), exited: make(chan struct{})}
	p.cmd.Dir = filepath.Dir(path)
	p.cmd.Env = append(lambdaEnv(info, api.address, p.cmd.Dir), config.Env...)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.WaitDelay = pipeGrace
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		api.close()
		return nil, fmt.Errorf("start the function's binary (built with -tags lambda.norpc?): %w", err)
	}
	go func() {
		p.cause = p.cmd.Wait()
		close(p.exited)
	}()
	if config.OnStart != nil {
		config.OnStart(p.pid())
	}
	select {
	case <-api.ready:
		return p, nil
	case failure := <-api.initFailed:
		err = failure
	case <-p.exited:
		err = fmt.Errorf("Runtime.ExitError: the process ended in its init: %w", orExit0(p.cause))
		select {
		case failure := <-api.initFailed: // it reported why before it ended
			err = failure
		default:
		}
	case <-ctx.Done():
		err = fmt.Errorf("Sandbox.Timedout: the process requested no invocation within the time for the init: %w", ctx.Err())
	}
	p.Close()
	return nil, err
}

func orExit0(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// Invoke answers the process's request for an invocation. As on Lambda, the invocation ends when the
// process requests the next one; if the process answers and then dies, the invocation has failed.
func (p *process) Invoke(ctx context.Context, invocation Invocation) ([]byte, error) {
	d := &delivery{Invocation: invocation, result: make(chan answer, 1), written: make(chan struct{})}
	d.deadline, _ = ctx.Deadline()
	select {
	case <-p.exited: // checked first: the last request of an ended process may still look pending
		return nil, ErrEnvironmentGone
	default:
	}
	select {
	case <-p.api.waiting: // a repeated request does not end an invocation
	default:
	}
	select {
	case p.api.pending <- d:
	case <-p.exited:
		return nil, ErrEnvironmentGone
	case <-ctx.Done():
		p.kill()
		return nil, ctx.Err()
	}
	var a answer
	select {
	case a = <-d.result:
	case <-p.exited:
		return nil, p.exit(d)
	case <-ctx.Done():
		p.kill()
		return nil, ctx.Err()
	}
	for _, done := range []<-chan struct{}{p.api.waiting, d.written} {
		select {
		case <-done:
		case <-p.exited:
			d.result <- a
			return nil, p.exit(d)
		case <-ctx.Done():
			p.kill()
			return nil, ctx.Err()
		}
	}
	return a.response, a.err
}

// exit returns the error of an invocation whose process has ended: the one that the process
// reported, if it did (aws-lambda-go reports a panic, then exits), or else an ExitError.
func (p *process) exit(d *delivery) error {
	select {
	case a := <-d.result:
		if failed, ok := errors.AsType[*FunctionError](a.err); ok {
			failed.Fatal = true
			return failed
		}
	default:
	}
	return &ExitError{RequestID: d.RequestID, Cause: p.cause}
}

// Close ends the process: SIGTERM, and SIGKILL for one that has not ended after 500 ms.
func (p *process) Close() {
	terminate(p.cmd)
	timer := time.NewTimer(shutdownGrace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.kill()
		<-p.exited
	}
	p.api.close()
}

func (p *process) kill() { killGroup(p.cmd) }

// lambdaEnv returns the environment variables that Lambda sets (Lambda developer guide, defined
// runtime environment variables), without credentials.
func lambdaEnv(info FunctionInfo, address, root string) []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + address,
		"AWS_LAMBDA_FUNCTION_NAME=" + info.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=" + info.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(info.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + info.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=local",
		"AWS_REGION=" + info.Region,
		"AWS_DEFAULT_REGION=" + info.Region,
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=" + root,
		"LAMBDA_RUNTIME_DIR=" + root,
		"TZ=:UTC",
		"LANG=en_US.UTF-8",
		"PATH=" + os.Getenv("PATH"),
	}
}

// lockedWriter lets the processes of a function share one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
