package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// generator sends requests to the example API at a constant rate, whether or not earlier ones have
// been answered, and measures each from when it was due. So a stall counts for every request that
// falls into it, as it does for users; a generator that waits for answers would count it once.
type generator struct {
	client *http.Client
	rate   int    // requests a second
	note   string // body of each request
}

func newGenerator(t *testing.T, rate int) *generator {
	transport := &http.Transport{MaxIdleConnsPerHost: 10_000, DialContext: (&net.Dialer{}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &generator{client: &http.Client{Transport: transport, Timeout: patience}, rate: rate}
}

// result holds the outcomes of the requests of one or several runs.
type result struct {
	mu        sync.Mutex
	latencies []time.Duration // of those that were answered 200
	issued    []string        // ids
	accepted  []string        // ids of those that were answered 200
	failed    []error         // of the others
}

// run sends requests for the duration and waits for their answers. Their ids begin with the prefix.
func (g *generator) run(ctx context.Context, url, prefix string, duration time.Duration, r *result) {
	var under sync.WaitGroup
	start := time.Now()
	for i := range int(duration.Seconds() * float64(g.rate)) {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(g.rate))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		id := fmt.Sprint(prefix, "-", i)
		r.mu.Lock()
		r.issued = append(r.issued, id)
		r.mu.Unlock()
		under.Go(func() {
			err := g.request(ctx, url, id)
			latency := time.Since(due)
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				r.failed = append(r.failed, err)
				return
			}
			r.latencies = append(r.latencies, latency)
			r.accepted = append(r.accepted, id)
		})
	}
	under.Wait()
}

func (g *generator) request(ctx context.Context, url, id string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/runs?id="+id, strings.NewReader(g.note))
	if err != nil {
		return err
	}
	response, err := g.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("request %s was answered %s", id, response.Status)
	}
	return nil
}

// quantile is the latency that the fraction q of the requests did not exceed.
func (r *result) quantile(q float64) time.Duration { return quantile(r.latencies, q) }

// add adds the outcomes of another run.
func (r *result) add(other *result) {
	r.latencies = append(r.latencies, other.latencies...)
	r.issued = append(r.issued, other.issued...)
	r.accepted = append(r.accepted, other.accepted...)
	r.failed = append(r.failed, other.failed...)
}

func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
