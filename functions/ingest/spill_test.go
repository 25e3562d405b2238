package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// A link is the way to a pipeline's SQS, which a test can cut.
type link struct {
	url  string
	mode atomic.Int32 // one of the modes
}

const (
	up      = iota
	failing // SQS answers 503
	cutOff  // the connection is closed
	hanging // there is no answer
	modes
)

func newLink(t *testing.T, to string) *link {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	ended, end := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch l.mode.Load() {
		case failing:
			w.WriteHeader(http.StatusServiceUnavailable)
		case cutOff:
			panic(http.ErrAbortHandler)
		case hanging:
			select {
			case <-r.Context().Done():
			case <-ended.Done():
			}
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(end)
	l.url = server.URL
	return l
}

// load sends requests to the server and counts what is acknowledged.
type load struct {
	mu           sync.Mutex
	next         int
	acknowledged []int // by the number in the messageId
	refused      []string
}

// run sends requests from several clients until ctx ends. Each has a valid and an invalid event.
func (l *load) run(ctx context.Context, address string) {
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.mu.Lock()
				n := l.next
				l.next++
				l.mu.Unlock()
				body := fmt.Sprintf(`{"writeKey":"wk","batch":[{"type":"track","userId":"u","event":"e","messageId":"good-%d"},`+
					`{"type":"track","event":"e","messageId":"bad-%d"}]}`, n, n)
				answer, err := http.Post("http://"+address+"/v1/batch", "application/json", strings.NewReader(body))
				if err != nil {
					return // the server was killed
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil {
					return
				}
				l.mu.Lock()
				if answer.StatusCode == http.StatusOK {
					l.acknowledged = append(l.acknowledged, n)
				} else {
					l.refused = append(l.refused, answer.Status+" "+string(text))
				}
				l.mu.Unlock()
			}
		})
	}
	clients.Wait()
}

// count returns how many requests were acknowledged.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

func TestWithASpillDirectoryAQueueThatIsAwayIsA200AndNothingIsLostByKills(t *testing.T) {
	t.Parallel()
	// The server's first acknowledgement after the queue has gone takes some seconds, so each server
	// has one life in which it waits for that.
	for name, lives := range map[string][][]int32{
		"away from the start":  {{failing}},
		"fails":                {{up, failing}},
		"cut off, and hanging": {{cutOff, up}, {up, hanging}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			surviveKills(t, lives)
		})
	}
}

// surviveKills kills a server at the end of each life, and checks that nothing is lost.
func surviveKills(t *testing.T, lives [][]int32) {
	p, arrivals := pipeline(t)
	way := newLink(t, p.SQSURL)
	environment := localtest.Environment(way.url, "SPILLWAY_SPILL_DIR="+t.TempDir())
	var sent load
	serve := func(modes ...int32) {
		t.Helper()
		server := start(t, environment)
		defer server.Kill()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { sent.run(ctx, server.Address) })
		healthy := make(chan struct{})
		for _, mode := range modes {
			way.mode.Store(mode)
			if len(modes) == 1 {
				running.Go(func() {
					if answer, err := http.Get("http://" + server.Address + "/health"); err != nil || answer.StatusCode != 200 {
						t.Errorf("health while the queue is away: %v, %v", answer, err)
					}
					close(healthy)
				})
			}
			if mode == hanging { // whether and when something is acknowledged is the client's timeout's business
				time.Sleep(150 * time.Millisecond)
				continue
			}
			before := sent.count()
			arrivals.Await(t, "requests that are acknowledged", func() bool { return sent.count() >= before+2 })
		}
		if len(modes) == 1 {
			<-healthy
		}
		server.Kill()
		cancel()
		running.Wait()
	}
	for _, modes := range lives {
		serve(modes...)
	}
	way.mode.Store(up)
	last := start(t, environment)
	if len(sent.refused) > 0 || len(sent.acknowledged) < 2*len(lives) {
		t.Errorf("%d requests were acknowledged and %d refused: %.200v", len(sent.acknowledged), len(sent.refused), sent.refused)
	}
	for _, n := range sent.acknowledged {
		arrivals.AwaitEvent(t, fmt.Sprint("good-", n))
	}
	awaitDeadLetters(t, p, sent.acknowledged)
	if err := last.Stop(t); err != nil {
		t.Errorf("%v\n%s", err, &last.Log)
	}
}

// awaitDeadLetters waits until the dead-letter queue has the invalid event of each request.
func awaitDeadLetters(t *testing.T, p *local.Pipeline, requests []int) {
	t.Helper()
	queue := deadletter.New(localtest.Client(p.SQSURL), p.QueueURL(topology.DefaultNames().DeadLetterQueue))
	missing := len(requests)
	for range 20 {
		var exported strings.Builder
		if _, err := queue.Export(t.Context(), deadletter.Filter{}, func(lines []byte) error {
			exported.Write(lines)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		missing = 0
		for _, n := range requests {
			if !strings.Contains(exported.String(), fmt.Sprintf(`"bad-%d"`, n)) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("the dead letters of %d of %d acknowledged requests are lost", missing, len(requests))
}
