package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A viewer reads what the stream sends to one page.
type viewer struct {
	cancel context.CancelFunc
	mu     sync.Mutex
	sent   [][]byte // parts, as JSON
	ended  bool
	status int
}

// watch lets a page follow the stream of a console.
func watch(ctx context.Context, c *Console, target string) *viewer {
	ctx, cancel := context.WithCancel(ctx)
	v := &viewer{cancel: cancel}
	reader, writer := io.Pipe()
	w := &pipedAnswer{PipeWriter: writer, header: http.Header{}, viewer: v}
	go func() {
		r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost:9326"+target, nil)
		c.ServeHTTP(w, r)
		writer.Close()
	}()
	go func() {
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
				v.mu.Lock()
				v.sent = append(v.sent, bytes.Clone(data))
				v.mu.Unlock()
			}
		}
		v.mu.Lock()
		v.ended = true
		v.mu.Unlock()
	}()
	return v
}

// got returns what was sent of a part.
func (v *viewer) got(id string) (all []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, data := range v.sent {
		var part struct{ ID, HTML string }
		if err := json.Unmarshal(data, &part); err != nil {
			panic(err)
		}
		if part.ID == id {
			all = append(all, part.HTML)
		}
	}
	return all
}

func (v *viewer) has(text string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Contains(bytes.Join(v.sent, nil), []byte(text))
}

func (v *viewer) over() (bool, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended, v.status
}

// A pipedAnswer is an http.ResponseWriter into a pipe.
type pipedAnswer struct {
	*io.PipeWriter
	header http.Header
	viewer *viewer
}

func (p *pipedAnswer) Header() http.Header { return p.header }

func (p *pipedAnswer) WriteHeader(status int) {
	p.viewer.mu.Lock()
	p.viewer.status = status
	p.viewer.mu.Unlock()
}

func (p *pipedAnswer) FlushError() error { return nil }

func (p *pipedAnswer) SetReadDeadline(time.Time) error { return nil }

func (p *pipedAnswer) SetWriteDeadline(time.Time) error { return nil }

// counted is a pipeline whose backlog the test sets.
func counted() (*fake, func(waits int64)) {
	f := newFake()
	var mu sync.Mutex
	n := Now{CanaryAge: Unknown, OldestAge: Unknown}
	f.now = func() (Now, error) {
		mu.Lock()
		defer mu.Unlock()
		n.At = time.Now().Truncate(time.Hour) // so that nothing but the number changes
		return n, nil
	}
	return f, func(waits int64) {
		mu.Lock()
		defer mu.Unlock()
		n.Messages, n.Events = waits, waits
	}
}

func TestAnOpenPageGetsThePartsThatHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, waits := counted()
		c := New(Config{Source: f})
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx)
		time.Sleep(10 * time.Second)
		v := watch(ctx, c, "/events?span=3h")
		synctest.Wait()
		for _, name := range partNames {
			if len(v.got(name)) != 1 {
				t.Errorf("at first the part %s is sent %d times", name, len(v.got(name)))
			}
		}
		waits(1234)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := v.got("status"); len(got) != 2 || !strings.Contains(got[1], "1,234 events wait") {
			t.Errorf("the status is %q", got)
		}
		if got := v.got("keys"); len(got) != 1 {
			t.Errorf("what has not changed is sent %d times", len(got))
		}
		cancel()
		time.Sleep(time.Second)
		if ended, _ := v.over(); !ended || c.stream.viewers != 0 {
			t.Errorf("the stream has not ended, and has %d viewers", c.stream.viewers)
		}
	})
}

func TestAThousandPagesCostOneComputationAndOnlyAHundredAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, waits := counted()
		c := New(Config{Source: f})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Run(ctx)
		synctest.Wait()
		all := make([]*viewer, 1000)
		for i := range all {
			all[i] = watch(ctx, c, "/events?span=15m")
		}
		synctest.Wait()
		followed := 0
		for _, v := range all {
			switch ended, status := v.over(); {
			case !ended && status == 0:
				followed++
			case status != http.StatusServiceUnavailable:
				t.Fatalf("one too many is answered %d", status)
			}
		}
		if followed != maxViewers {
			t.Errorf("%d pages are followed", followed)
		}
		time.Sleep(time.Minute)
		f.mu.Lock()
		before := f.calls["Metrics"]
		f.mu.Unlock()
		waits(5)
		time.Sleep(time.Minute)
		f.mu.Lock()
		calls := f.calls["Metrics"] - before
		f.mu.Unlock()
		if most := 2 * 12; calls > most { // the funnel and one span, once in five seconds
			t.Errorf("100 pages read the metrics %d times a minute, want at most %d", calls, most)
		}
		for _, v := range all {
			if ended, _ := v.over(); !ended && !v.has("5 events wait") {
				t.Fatal("a page has missed a change")
			}
			v.cancel()
		}
		synctest.Wait()
		if c.stream.viewers != 0 || len(c.stream.boards) != 0 {
			t.Errorf("%d viewers of %d spans are left", c.stream.viewers, len(c.stream.boards))
		}
		v := watch(ctx, c, "/events")
		synctest.Wait()
		if ended, _ := v.over(); ended || len(v.got("status")) != 1 {
			t.Error("when others have gone, there is no place")
		}
	})
}

func TestWithoutViewersADeployedPipelineIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := counted()
		f.about.Local, f.about.Region = false, "eu-west-1"
		c := New(Config{Source: f})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Run(ctx)
		time.Sleep(time.Hour)
		if len(f.calls) != 0 {
			t.Errorf("it was read: %v", f.calls)
		}
		v := watch(ctx, c, "/events")
		time.Sleep(10 * time.Minute)
		v.cancel()
		synctest.Wait()
		// Metrics of the funnel and of the charts, once a minute each.
		if n := f.calls["Metrics"]; n < 20 || n > 24 {
			t.Errorf("in ten minutes the metrics are read %d times", n)
		}
	})
}

func TestAPageThatReadsTooSlowlyHoldsUpNobody(t *testing.T) {
	f, waits := counted()
	c := New(Config{Source: f})
	c.pace.tick = 10 * time.Millisecond
	c.now.fresh = 0
	server := httptest.NewServer(c)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	open := func() *http.Response {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	slow, quick := open(), open()
	defer slow.Body.Close()
	defer quick.Body.Close()
	if quick.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream is %s", quick.Header.Get("Content-Type"))
	}
	lines := bufio.NewReader(quick.Body)
	for i := range int64(3) {
		waits(1000 + i)
		for want := fmt.Sprintf("1,00%d events wait", i); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, want) {
				break
			}
		}
	}
}

// brokenSwitches panic when they are asked.
type brokenSwitches struct{ Switches }

func (brokenSwitches) Current() (string, time.Time, time.Time) { panic("a bug <b>") }

func TestAPanicCostsTheOpenPagesAndNotThePipeline(t *testing.T) {
	f := &fake{about: About{Pipeline: "spillway", Local: true}}
	c := New(Config{Source: f})
	if parts := c.parts(t.Context(), spans[0]); len(parts) != len(partNames) {
		t.Errorf("%d parts", len(parts))
	}
	f.switches = brokenSwitches{}
	parts := c.parts(t.Context(), spans[0])
	if said := string(parts["status"]); len(parts) != 1 || !strings.Contains(said, "which is a bug: a bug &lt;b&gt;") {
		t.Errorf("%d parts: %s", len(parts), said)
	}
}
