//go:build unix

package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build builds the function of testdata as it would be deployed. Go keeps what go run builds.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap")
	out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp", "-tags", "lambda.norpc",
		"./testdata/function", path).CombinedOutput()
	if err != nil {
		t.Fatalf("build the function: %v\n%s", err, out)
	}
	return path
}

// TestTheBuiltBinaryRunsAsOnLambda shares one build among its parts, of which some mostly wait.
func TestTheBuiltBinaryRunsAsOnLambda(t *testing.T) {
	path := build(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, string)
	}{
		{"a process that passes the deadline is killed", testTimeout},
		{"close kills what ignores SIGTERM", testIgnoredSIGTERM},
		{"an init that ends or hangs is an error", testInit},
		{"it gets the invocation and Lambda's environment", testDescribe},
		{"its process is used again", testReuse},
		{"an error keeps the process, a panic and an exit discard it", testFailures},
		{"a process killed in mid-invocation fails it, and the next gets a new one", testKilledBusy},
		{"a process killed while idle is replaced unnoticed", testKilledIdle},
		{"payloads and answers of megabytes arrive whole", testLarge},
		{"an event source mapping drives it", testMappingOfProcess},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, path)
		})
	}
}

// processes records the PIDs and the output of a function's processes.
type processes struct {
	mu     sync.Mutex
	pids   []int
	output bytes.Buffer
	hangs  chan struct{} // gets one for each line "hanging"
}

func (p *processes) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Contains(b, []byte("hanging")) {
		p.hangs <- struct{}{}
	}
	return p.output.Write(b)
}

func (p *processes) last() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pids[len(p.pids)-1]
}

func (p *processes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pids)
}

func (p *processes) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// processFunction makes a function of the binary and checks at the test's end that none of its
// processes is left.
func processFunction(t *testing.T, path string, config FunctionConfig, env ...string) (*Function, *processes) {
	p := &processes{hangs: make(chan struct{}, 100)}
	config.Name, config.Region = "tested", "eu-west-1"
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	config.NewEnvironment = Process(ProcessConfig{Path: path, Env: env, Output: p, OnStart: func(pid int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pids = append(p.pids, pid)
	}})
	f := NewFunction(config)
	t.Cleanup(func() {
		f.Close()
		for _, pid := range p.pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there (%v)", pid, err)
			}
		}
	})
	return f, p
}

func testDescribe(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{MemoryMB: 256}, "EXTRA=more")
	before := time.Now()
	response, err := f.Invoke(t.Context(), []byte(`{"Do":"describe"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		RequestID, ARN, Name, Region, Handler, Root, Trace, Extra, Home, WD, Version string
		Deadline                                                                     int64
		PID, Memory                                                                  int
	}
	if err := json.Unmarshal(response, &got); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if len(got.RequestID) != 36 || got.ARN != f.info.ARN || got.Name != "tested" || got.Region != "eu-west-1" ||
		got.Handler != "bootstrap" || got.Root != dir ||
		!strings.HasPrefix(got.Trace, "Root=1-") || got.Extra != "more" || got.PID != p.last() || got.Memory != 256 ||
		got.Home != "" || got.WD != dir || got.Version != Latest {
		t.Errorf("the function saw %s", response)
	}
	v := f.Publish()
	if response, err = v.Invoke(t.Context(), []byte(`{"Do":"describe"}`)); err == nil {
		err = json.Unmarshal(response, &got)
	}
	if err != nil || got.Version != "1" || got.ARN != f.info.ARN+":1" {
		t.Errorf("version 1 saw %s, %v", response, err)
	}
	if d := time.UnixMilli(got.Deadline); d.Before(before.Add(59*time.Second)) || d.After(time.Now().Add(time.Minute)) {
		t.Errorf("the deadline is %v, a minute after %v", d, before)
	}
	f.Close() // waits until the output has been copied
	if out := p.text(); !strings.Contains(out, "init on stdout\n") || !strings.Contains(out, "init on stderr\n") {
		t.Errorf("the output is %q", out)
	}
}

func testReuse(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{})
	for i := range 20 {
		if response, err := f.Invoke(t.Context(), fmt.Appendf(nil, `{"Size":%d}`, i)); string(response) != fmt.Sprint(i) ||
			err != nil {
			t.Errorf("invocation %d: %q, %v", i, response, err)
		}
	}
	if p.count() != 1 {
		t.Errorf("%d processes for 20 invocations, one after the other", p.count())
	}
}

func testFailures(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{})
	var failed *FunctionError
	for range 2 {
		if _, err := f.Invoke(t.Context(), []byte(`{"Do":"fail"}`)); !errors.As(err, &failed) || failed.Fatal ||
			string(failed.Payload) != `{"errorMessage":"told to fail","errorType":"errorString"}` {
			t.Errorf("error: %v, %+v", err, failed)
		}
	}
	if p.count() != 1 {
		t.Errorf("%d processes after errors", p.count())
	}
	if _, err := f.Invoke(t.Context(), []byte(`{"Do":"panic"}`)); !errors.As(err, &failed) || !failed.Fatal ||
		failed.Message != "told to panic" || !strings.Contains(string(failed.Payload), "stackTrace") {
		t.Errorf("panic: %v, %+v", err, failed)
	}
	var exit *ExitError
	if _, err := f.Invoke(t.Context(), []byte(`{"Do":"exit"}`)); !errors.As(err, &exit) ||
		!strings.Contains(err.Error(), "Runtime exited with error: exit status 3") {
		t.Errorf("exit: %v", err)
	}
	if p.count() != 2 {
		t.Errorf("%d processes, want a second one after the panic", p.count())
	}
	if response, err := f.Invoke(t.Context(), []byte(`{"Size":7}`)); string(response) != "7" || err != nil ||
		p.count() != 3 {
		t.Errorf("after the exit: %q, %v, %d processes", response, err, p.count())
	}
}

func testKilledBusy(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{ReservedConcurrency: 1})
	ended := make(chan error, 1)
	go func() {
		_, err := f.Invoke(t.Context(), []byte(`{"Do":"hang"}`))
		ended <- err
	}()
	<-p.hangs
	if err := syscall.Kill(p.last(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *ExitError
	if err := <-ended; !errors.As(err, &exit) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v", err)
	}
	if response, err := f.Invoke(t.Context(), []byte(`{"Size":7}`)); string(response) != "7" || err != nil ||
		p.count() != 2 {
		t.Errorf("afterwards: %q, %v, %d processes", response, err, p.count())
	}
}

func testKilledIdle(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{})
	for want := 1; want <= 3; want++ {
		if response, err := f.Invoke(t.Context(), []byte(`{"Size":7}`)); string(response) != "7" || err != nil ||
			p.count() != want {
			t.Fatalf("%q, %v, %d processes, want %d", response, err, p.count(), want)
		}
		idle := f.latest.idle[0].(*process)
		if err := syscall.Kill(idle.pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-idle.exited
	}
}

func testTimeout(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{Timeout: 500 * time.Millisecond})
	var timedOut *TimeoutError
	if _, err := f.Invoke(t.Context(), []byte(`{"Do":"hang"}`)); !errors.As(err, &timedOut) ||
		!strings.HasSuffix(err.Error(), "Task timed out after 0.50 seconds") {
		t.Errorf("got %v", err)
	}
	if err := syscall.Kill(p.last(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there (%v)", err)
	}
	f.timeout = time.Minute // the next must not time out on a busy machine
	if response, err := f.Invoke(t.Context(), []byte(`{"Size":7}`)); string(response) != "7" || err != nil {
		t.Errorf("afterwards: %q, %v", response, err)
	}
}

func testInit(t *testing.T, path string) {
	f, _ := processFunction(t, path, FunctionConfig{}, "INIT=exit")
	if _, err := f.Invoke(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "Runtime.ExitError") ||
		!strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("exit: %v", err)
	}
	config := ProcessConfig{Path: path, Env: []string{"INIT=hang"}}
	if _, err := startWithin(t, config, 200*time.Millisecond); err == nil ||
		!strings.Contains(err.Error(), "Sandbox.Timedout") {
		t.Errorf("hang: %v", err)
	}
	if _, err := startWithin(t, ProcessConfig{Path: path + "-missing"}, time.Minute); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func startWithin(t *testing.T, config ProcessConfig, d time.Duration) (Environment, error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return Process(config)(ctx, FunctionInfo{Name: "tested"})
}

func testIgnoredSIGTERM(t *testing.T, path string) {
	f, p := processFunction(t, path, FunctionConfig{}, "IGNORE_SIGTERM=1")
	if _, err := f.Invoke(t.Context(), []byte(`{"Size":7}`)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := syscall.Kill(p.last(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there (%v)", err)
	}
}

func testLarge(t *testing.T, path string) {
	f, _ := processFunction(t, path, FunctionConfig{})
	const size = 5 << 20
	payload := fmt.Appendf(nil, `{"Do":"large","Size":%d,"Rest":"%s"}`, size, strings.Repeat("y", size))
	if response, err := f.Invoke(t.Context(), payload); len(response) != size+2 || err != nil {
		t.Errorf("%d bytes, %v", len(response), err)
	}
	var failed *FunctionError
	if _, err := f.Invoke(t.Context(), fmt.Appendf(nil, `{"Do":"large","Size":%d}`, maxPayload)); !errors.As(err,
		&failed) || failed.Type != "Function.ResponseSizeTooLarge" {
		t.Errorf("an answer over the limit: %v", err)
	}
}

func testMappingOfProcess(t *testing.T, path string) {
	f, _ := processFunction(t, path, FunctionConfig{ReservedConcurrency: 2})
	queue := newMemQueue(time.Minute)
	queue.send(200, 1000)
	m, err := NewEventSourceMapping(MappingConfig{Queue: queue, QueueARN: testARN, Function: f, MaximumConcurrency: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	queue.empty()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s := m.Stats(); s.Invocations != 20 || s.Failed != 0 || s.Throttled != 0 || s.MessagesDeleted != 200 {
		t.Errorf("%+v", s)
	}
}

func TestTheRuntimeAPIRefusesAnswersToInvocationsThatAreNotUnderWay(t *testing.T) {
	api, err := serveRuntimeAPI()
	if err != nil {
		t.Fatal(err)
	}
	defer api.close()
	for _, path := range []string{"nobody/response", "nobody/error"} {
		response, err := http.Post("http://"+api.address+"/2018-06-01/runtime/invocation/"+path, "application/json",
			strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		var told errorJSON
		if err := json.NewDecoder(response.Body).Decode(&told); err != nil || response.StatusCode != http.StatusBadRequest ||
			told.Type != "InvalidRequestID" {
			t.Errorf("%s: %d, %+v, %v", path, response.StatusCode, told, err)
		}
		_ = response.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTheRuntimeAPIReturnsTheErrorOfTheInit(t *testing.T) {
	api, err := serveRuntimeAPI()
	if err != nil {
		t.Fatal(err)
	}
	defer api.close()
	response, err := http.Post("http://"+api.address+"/2018-06-01/runtime/init/error", "application/json",
		strings.NewReader(`{"errorMessage":"no key","errorType":"Config"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if got := (<-api.initFailed).Error(); response.StatusCode != http.StatusAccepted || got != "Unhandled Config: no key" {
		t.Errorf("%d, %s", response.StatusCode, got)
	}
}
