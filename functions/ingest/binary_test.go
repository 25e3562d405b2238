package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestTheDeployedFunctionAnswersAGateway(t *testing.T) {
	t.Parallel()
	p, arrivals := pipeline(t)
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"writeKeys":[{"name":"demo","writeKey":"wk-demo"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log testutil.Buffer
	f := lambda.NewFunction(lambda.FunctionConfig{
		Name: "spillway-ingest", Timeout: 10 * time.Second,
		NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: binary(t),
			Env:    localtest.Environment(p.SQSURL, "SPILLWAY_WRITE_KEYS_FILE="+keys),
			Output: &log}),
	})
	t.Cleanup(f.Close)
	invoke := func(t *testing.T, event []byte) (r reply, body string) {
		t.Helper()
		out, err := f.Invoke(t.Context(), event)
		if err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		if body = r.Body; r.IsBase64Encoded {
			data, err := base64.StdEncoding.DecodeString(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = string(data)
		}
		return r, body
	}
	cases := []struct {
		file    string
		status  int
		body    string            // begins so
		headers map[string]string // among them
		events  []string          // that arrive
		path    string            // there
		ip      string            // with this address
	}{
		{file: "http-api-batch", status: 200, body: `{"success":true}`, events: []string{"v2-batch-1", "v2-batch-2"},
			path: "/v1/batch"},
		{file: "http-api-gzip", status: 200, body: `{"success":true}`, events: []string{"v2-gzip-1"}, path: "/v1/b",
			ip: "203.0.113.9"},
		{file: "http-api-gzip-as-text", status: 429, body: `{"success":false,"code":"gzip_mangled"`,
			headers: map[string]string{"Retry-After": "60"}},
		{file: "http-api-pixel", status: 200, body: "GIF89a", headers: map[string]string{"Content-Type": "image/gif"},
			events: []string{"v2-pixel-1"}, path: "/v1/b", ip: "203.0.113.9"},
		{file: "http-api-settings", status: 200,
			body:    `{"integrations":{"Segment.io":{"apiKey":"wk-demo","apiHost":"abc123.execute-api.eu-central-1.amazonaws.com/v1","protocol":"https"`,
			headers: map[string]string{"Access-Control-Allow-Origin": "https://www.acme.example"}},
		{file: "http-api-preflight", status: 204,
			headers: map[string]string{"Access-Control-Allow-Headers": "authorization, content-type, x-retry-count"}},
		{file: "http-api-no-key", status: 400, body: `{"success":false,"code":"invalid_write_key"`},
		{file: "http-api-function-url", status: 200, body: `{"success":true}`, events: []string{"v2-url-1"},
			path: "/v1/batch"},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			event, err := os.ReadFile(filepath.Join("..", "..", "events", "http", c.file+".json"))
			if err != nil {
				t.Fatal(err)
			}
			r, body := invoke(t, event)
			if r.StatusCode != c.status || !strings.HasPrefix(body, c.body) {
				t.Errorf("%d %q, want %d %q", r.StatusCode, body, c.status, c.body)
			}
			for name, want := range c.headers {
				if r.Headers[name] != want {
					t.Errorf("%s is %q, want %q", name, r.Headers[name], want)
				}
			}
		})
	}
	for _, c := range cases { // all of them are delivered together
		for _, id := range c.events {
			e := arrivals.AwaitEvent(t, id)
			var arrived struct{ Context struct{ IP string } }
			if err := json.Unmarshal(e.Raw, &arrived); err != nil {
				t.Fatal(err)
			}
			if e.Path != c.path || e.WriteKey != "wk-demo" || arrived.Context.IP != c.ip {
				t.Errorf("%s: %s at %s under %q: %s", c.file, id, e.Path, e.WriteKey, e.Raw)
			}
		}
	}
	if _, body := invoke(t, invocation(t, func(p *payload) {
		p.Body = `{"writeKey":"not-ours","batch":[{"type":"track","userId":"u","event":"e"}]}`
	})); !strings.Contains(body, "invalid_write_key") {
		t.Errorf("a key that is not in the file: %s", body)
	}
	text, heaviest := log.String(), 0
	for line := range strings.Lines(text) { // one line a minute names events: those that come most
		if strings.Contains(line, `"msg":"heaviest"`) {
			text, heaviest = strings.Replace(text, line, "", 1), heaviest+1
		}
	}
	if heaviest == 0 || !strings.Contains(text, `"EventsAccepted":2`) || strings.Contains(log.String(), "203.0.113.9") ||
		strings.Contains(log.String(), "wk-demo") || strings.Contains(text, "Run Started") {
		t.Errorf("log:\n%s", text)
	}
}

// post sends one event; accepted is true for a 200 that was read whole.
func post(client *http.Client, address, id string) (accepted bool, err error) {
	body := fmt.Sprintf(`{"userId":"u-1","event":"Run Started","messageId":"%s"}`, id)
	r, err := http.NewRequest(http.MethodPost, "http://"+address+"/v1/track", strings.NewReader(body))
	if err != nil {
		return false, err
	}
	r.SetBasicAuth("wk-demo", "")
	response, err := client.Do(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusOK && strings.HasPrefix(string(answer), `{"success":true}`), err
}

func TestEveryAcceptedEventArrivesWhenTheServerEndsUnderLoad(t *testing.T) {
	t.Parallel()
	p, arrivals := pipeline(t)
	s := start(t, localtest.Environment(p.SQSURL))
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	var mu sync.Mutex
	var accepted []string
	var count atomic.Int64
	enough := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 16 {
		workers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("load-%d-%d", w, i)
				ok, err := post(client, s.Address, id)
				if err != nil {
					return // the server takes no more
				}
				if !ok {
					continue
				}
				mu.Lock()
				accepted = append(accepted, id)
				mu.Unlock()
				if count.Add(1) == 1000 {
					close(enough)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(2 * time.Minute):
		t.Fatalf("only %d requests were accepted:\n%s", count.Load(), &s.Log)
	}
	if err := s.Stop(t); err != nil {
		t.Errorf("it did not end in good order: %v\n%s", err, &s.Log)
	}
	workers.Wait()
	for _, id := range accepted {
		arrivals.AwaitEvent(t, id)
	}
	if !strings.Contains(s.Log.String(), `"EventsAccepted"`) || !strings.Contains(s.Log.String(), `"msg":"ended"`) {
		t.Errorf("log:\n%s", &s.Log)
	}
	t.Logf("%d requests were answered 200", len(accepted))
}

func TestIdleConnectionsDoNotKeepRequestsOut(t *testing.T) {
	t.Parallel()
	p, arrivals := pipeline(t)
	s := start(t, localtest.Environment(p.SQSURL))
	for range 300 {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Len"); err != nil {
			t.Fatal(err)
		}
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	if ok, err := post(&http.Client{Transport: transport}, s.Address, "among-slow-ones"); !ok {
		t.Errorf("%v\n%s", err, &s.Log)
	}
	arrivals.AwaitEvent(t, "among-slow-ones")
	response, err := (&http.Client{Transport: transport}).Get("http://" + s.Address + "/health")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("health: %d", response.StatusCode)
	}
}

func TestForwardedHeadersCountOnlyBehindTrustedProxies(t *testing.T) {
	t.Parallel()
	p, arrivals := pipeline(t)
	for _, c := range []struct{ proxies, want string }{{"0", "127.0.0.1"}, {"1", "203.0.113.9"}, {"2", "198.51.100.66"}} {
		t.Run(c.proxies, func(t *testing.T) {
			t.Parallel()
			s := start(t, localtest.Environment(p.SQSURL, "SPILLWAY_TRUSTED_PROXIES="+c.proxies))
			body := `{"userId":"u-1","event":"Run Started","messageId":"proxies-` + c.proxies + `","writeKey":"wk-demo"}`
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Address+"/v1/t",
				strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Close = true
			r.Header.Set("X-Forwarded-For", "192.0.2.1, 198.51.100.66, 203.0.113.9")
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if raw := string(arrivals.AwaitEvent(t, "proxies-"+c.proxies).Raw); !strings.Contains(raw, `"ip":"`+c.want+`"`) {
				t.Errorf("with %s proxies: %s", c.proxies, raw)
			}
			if err := s.Stop(t); err != nil {
				t.Errorf("%v\n%s", err, &s.Log)
			}
		})
	}
}

// A container without a shell asks the server so.
func TestTheBinaryIsItsOwnHealthCheck(t *testing.T) {
	t.Parallel()
	p, _ := pipeline(t)
	s := start(t, localtest.Environment(p.SQSURL))
	ask := func(listen string, args ...string) (string, error) {
		c := exec.Command(binary(t), args...)
		c.Env = []string{"SPILLWAY_LISTEN=" + listen}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := ask(s.Address, "health"); err != nil || out != "{\"success\":true}\n" {
		t.Errorf("of a server that runs: %q, %v", out, err)
	}
	if out, err := ask("", "version"); err != nil || !strings.HasPrefix(out, "ingest devel") {
		t.Errorf("its version: %q, %v", out, err)
	}
	for _, c := range [][3]string{
		{"127.0.0.1:1", "health", "ingest: http://127.0.0.1:1/health can't be asked: "},
		{"8080", "health", "ingest: SPILLWAY_LISTEN must be host:port"},
		{s.Address, "helth", "ingest: the arguments must be none, for a server, or health"},
	} {
		if out, err := ask(c[0], c[1]); err == nil || !strings.HasPrefix(out, c[2]) {
			t.Errorf("%s of %s: %q, %v, want %s", c[1], c[0], out, err, c[2])
		}
	}
}
