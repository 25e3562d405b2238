package machine

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// FunctionState is what a function has used. Its processes are the environments; the Lambda service
// belongs to the queue's process.
type FunctionState struct {
	Invocations, Failed int64
	Billed              time.Duration // of all invocations, each rounded up to a millisecond as Lambda does
	Environments        int           // that were started
	Concurrent          int64         // the most invocations at the same time
	LogBytes            int64         // that the handlers wrote
	Use                 Use           // CPU of all environments; memory of the largest
}

// host is the Lambda service: the event source mapping, and the function with its environments.
type host struct {
	function *lambda.Function
	mapping  *lambda.EventSourceMapping
	billed   atomic.Int64 // ns
	logged   atomic.Int64 // bytes
	once     sync.Once
	ended    chan struct{} // closed when the mapping has ended; nil: it never began

	mu           sync.Mutex
	environments map[*frozen]bool // that run
	started      int
}

// newHost makes the host. Every design may have as many environments as Spillway's events queue.
func newHost(c QueueConfig, endpoint string, queue lambda.Queue) (*host, error) {
	h := &host{environments: map[*frozen]bool{}}
	env := c.Function.Env(peer.Working{QueueURL: QueueURL(endpoint), Segment: c.Segment})
	source, t := c.Function.Source, topology.Default()
	h.function = lambda.NewFunction(lambda.FunctionConfig{Name: c.Name, Timeout: source.Timeout, MemoryMB: source.MemoryMB,
		NewEnvironment: h.environment(c.Binary, env)})
	var err error
	h.mapping, err = lambda.NewEventSourceMapping(lambda.MappingConfig{
		Queue: queue, QueueARN: local.QueueARN(t.Names.EventsQueue), Function: h.function,
		BatchSize: source.BatchSize, MaximumBatchingWindow: source.Window,
		MaximumConcurrency:      t.EventSources[0].MaximumConcurrency,
		ReportBatchItemFailures: source.ReportBatchItemFailures,
		OnInvocation: func(i lambda.Invoked) {
			h.billed.Add(int64((i.Duration + time.Millisecond - 1).Truncate(time.Millisecond)))
		},
	})
	return h, err
}

// start lets the event source mapping begin; a second start does nothing.
func (h *host) start(ctx context.Context) {
	h.once.Do(func() {
		h.ended = make(chan struct{})
		go func() {
			defer close(h.ended)
			_ = h.mapping.Run(ctx) // fails only when it is run twice
		}()
	})
}

// close waits for the invocations under way, and reclaims the environments as they are.
func (h *host) close() {
	h.once.Do(func() {})
	if h.ended != nil {
		<-h.ended
	}
	h.function.Close()
}

// kill kills all environments and returns how many.
func (h *host) kill() (killed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := range h.environments {
		if e.signal(syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

func (h *host) state() FunctionState {
	stats := h.mapping.Stats()
	s := FunctionState{Invocations: stats.Invocations, Failed: stats.Failed, Concurrent: stats.Peak,
		Billed: time.Duration(h.billed.Load()), LogBytes: h.logged.Load()}
	var ended syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended) == nil {
		s.Use = Use{CPU: time.Duration(ended.Utime.Nano() + ended.Stime.Nano()), PeakRSS: ended.Maxrss << 10}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Environments = h.started
	for e := range h.environments {
		u := UseOf(e.process.Pid)
		s.Use.CPU += u.CPU
		s.Use.PeakRSS = max(s.Use.PeakRSS, u.PeakRSS)
	}
	return s
}

// environment makes the function's environments.
func (h *host) environment(path string, env []string) lambda.EnvironmentFactory {
	return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
		e := &frozen{host: h}
		create := lambda.Process(lambda.ProcessConfig{Path: path, Env: env, Output: bytesCounter{&h.logged},
			OnStart: func(pid int) {
				e.process, _ = os.FindProcess(pid) // never fails on Unix
			}})
		environment, err := create(ctx, info)
		if err != nil {
			return nil, err
		}
		e.Environment = environment
		h.mu.Lock()
		defer h.mu.Unlock()
		h.environments[e] = true
		h.started++
		return e, nil
	}
}

// frozen is an environment that stands still between invocations, as on Lambda: what the function
// has left undone goes on in the next invocation, or never (Lambda developer guide, "Execution
// environment lifecycle").
type frozen struct {
	lambda.Environment
	host    *host
	process *os.Process
}

// signal sends a signal to the process. It names the process by a handle and not by its id, which
// another process may have got.
func (f *frozen) signal(s syscall.Signal) error { return f.process.Signal(s) }

// Invoke implements lambda.Environment.
func (f *frozen) Invoke(ctx context.Context, invocation lambda.Invocation) ([]byte, error) {
	_ = f.signal(syscall.SIGCONT) // fails if the process has ended, which Invoke says
	defer func() { _ = f.signal(syscall.SIGSTOP) }()
	return f.Environment.Invoke(ctx, invocation)
}

// Close implements lambda.Environment. A function without extensions gets no chance to end in
// order.
func (f *frozen) Close() {
	_ = f.signal(syscall.SIGKILL)
	f.Environment.Close()
	f.host.mu.Lock()
	defer f.host.mu.Unlock()
	delete(f.host.environments, f)
}

// bytesCounter counts what is written to it.
type bytesCounter struct{ n *atomic.Int64 }

// Write implements io.Writer.
func (b bytesCounter) Write(p []byte) (int, error) {
	b.n.Add(int64(len(p)))
	return len(p), nil
}

// meter counts what SQS would charge the Lambda service's requests at.
type meter struct {
	lambda.Queue
	requests *atomic.Int64
}

// Receive implements lambda.Queue.
func (m meter) Receive(ctx context.Context, max int, wait time.Duration) ([]lambda.Message, error) {
	messages, err := m.Queue.Receive(ctx, max, wait)
	bytes := 0
	for i := range messages {
		bytes += len(messages[i].Body)
	}
	m.requests.Add(charged(int64(bytes)))
	return messages, err
}

// Delete implements lambda.Queue. The service deletes ten messages a request.
func (m meter) Delete(ctx context.Context, receiptHandles []string) error {
	m.requests.Add(int64(len(receiptHandles)+9) / 10)
	return m.Queue.Delete(ctx, receiptHandles)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client that has gone needs no answer
}
