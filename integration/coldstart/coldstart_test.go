// Package coldstart measures how long a new environment of a function takes until it can work: from
// exec of the binary as it is deployed to its first call for an invocation.
//
// Lambda charges for that time and a first request waits for it. What a function does then, before
// anything has asked for it, is bought at each cold start: that is what is kept small here.
package coldstart

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// An environment is what Lambda is to a binary: the Runtime API, and SSM beside it. A call for the
// next invocation hangs, as it does while there is none.
type environment struct {
	*httptest.Server
	next chan time.Time

	mu         sync.Mutex
	parameters []string // that were read
}

func (e *environment) read() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.parameters
}

func newEnvironment(tb testing.TB) *environment {
	e := &environment{next: make(chan time.Time, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(_ http.ResponseWriter, r *http.Request) {
		e.next <- time.Now()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Name string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil ||
			r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" {
			tb.Errorf("a function that starts calls %s, %v", r.Header.Get("X-Amz-Target"), err)
		}
		e.mu.Lock()
		e.parameters = append(e.parameters, asked.Name)
		e.mu.Unlock()
		fmt.Fprint(w, `{"Parameter":{"Value":"{\"writeKeys\":[{\"name\":\"a\",\"writeKey\":\"key\"}]}","Version":1}}`)
	})
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		tb.Errorf("a function that starts asks for %s %s", r.Method, r.URL.Path)
	})
	e.Server = httptest.NewServer(mux)
	tb.Cleanup(e.Close)
	return e
}

// variables are those that a deployment and Lambda set.
func (e *environment) variables(more ...string) []string {
	const queues = "https://sqs.us-east-1.amazonaws.com/123456789012/spillway-"
	return append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(e.URL, "http://"),
		"AWS_ENDPOINT_URL_SSM=" + e.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_SESSION_TOKEN=test", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_FUNCTION_VERSION=7",
		"SPILLWAY_QUEUE_URL=" + queues + "events", "SPILLWAY_DEAD_LETTER_QUEUE_URL=" + queues + "dead-letters",
		"SPILLWAY_CANARY_WRITE_KEY=canary"}, more...)
}

// functions are those whose start somebody waits for, with the variables of a deployment.
var functions = []struct {
	name      string
	parameter string // that it reads
	variables []string
}{
	{"deliver", "/spillway/write-key", []string{"SPILLWAY_WRITE_KEY_PARAMETER=/spillway/write-key"}},
	{"ingest", "/spillway/write-keys", []string{"SPILLWAY_WRITE_KEYS_PARAMETER=/spillway/write-keys"}},
}

// start starts a binary and ends it once it has called for an invocation. It returns how long that
// took, and the CPU time until then.
func (e *environment) start(tb testing.TB, path string, variables []string) (took, cpu time.Duration) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, path)
	var log strings.Builder
	c.Env, c.Stdout, c.Stderr = variables, &log, &log
	began := time.Now()
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	var called time.Time
	select {
	case called = <-e.next:
	case <-ctx.Done():
	}
	_ = c.Process.Kill() // of one that has ended it fails
	_ = c.Wait()         // it was killed
	if called.IsZero() {
		tb.Fatalf("%s does not call for an invocation:\n%s", path, &log)
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	return called.Sub(began), time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkColdStart measures the start of a binary of this machine. The median is the figure to
// compare: another process that wants the cores adds to the others.
func BenchmarkColdStart(b *testing.B) {
	for _, f := range functions {
		b.Run(f.name, func(b *testing.B) {
			b.Setenv("CGO_ENABLED", "0") // as it is deployed: with cgo the dynamic linker runs first
			e, path := newEnvironment(b), testutil.Build(b, "functions/"+f.name)
			variables := e.variables(f.variables...)
			e.start(b, path, variables) // reads the binary from disk
			var all []time.Duration
			var used time.Duration
			for b.Loop() {
				took, cpu := e.start(b, path, variables)
				all = append(all, took)
				used += cpu
			}
			slices.Sort(all)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(all[len(all)/2]), "ms/start")
			b.ReportMetric(ms(all[0]), "ms/fastest")
			b.ReportMetric(ms(used)/float64(len(all)), "CPU-ms/start")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// What a function calls before it is asked for something delays its first request.
func TestAFunctionThatStartsReadsItsParametersAndNothingElse(t *testing.T) {
	for _, f := range functions {
		e := newEnvironment(t)
		e.start(t, testutil.Build(t, "functions/"+f.name), e.variables(f.variables...))
		if got := e.read(); !slices.Equal(got, []string{f.parameter}) {
			t.Errorf("%s reads %q", f.name, got)
		}
	}
}
