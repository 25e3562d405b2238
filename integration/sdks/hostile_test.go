package sdks

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// hostilePage resets the Segment emulator, takes all places of tail, and sends an event as an SDK
// does, which it may. Then it tells its own server what happened.
const hostilePage = `<!doctype html><script type="module">
const [sqs, segment, ingest] = %q.split(' ');
await fetch(segment + '/_segmentd/reset', {method: 'POST', mode: 'no-cors'});
await fetch(segment + '/_segmentd/reset', {method: 'POST'}).then(r => fetch('/read'), () => 0);
const form = Object.assign(document.createElement('form'), {method: 'POST', action: segment + '/_segmentd/reset', target: 'f'});
document.body.append(Object.assign(document.createElement('iframe'), {name: 'f'}), form);
form.submit();
for (let i = 0; i < 20; i++) {
  new Image().src = sqs + '/_spillway/outcomes?' + i;
  fetch(sqs + '/_spillway/outcomes?' + i, {mode: 'no-cors'}).catch(() => 0);
}
await new Promise(r => setTimeout(r, 500));
const sdk = await fetch(ingest + '/v1/t', {method: 'POST', headers: {'Content-Type': 'text/plain'},
  body: JSON.stringify({writeKey: 'k', userId: 'u', event: 'Run', messageId: 'from-the-page'})});
await fetch('/done?sdk=' + sdk.status);
</script><body>`

// chromium runs the browser with a page until ctx ends, or until it has printed the page. The name
// evil.example leads to this machine, as after a rebinding.
func chromium(ctx context.Context, t *testing.T, args ...string) (printed string) {
	t.Helper()
	command := exec.CommandContext(ctx, cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium"), append([]string{"--headless",
		"--no-sandbox", "--disable-gpu", "--user-data-dir=" + t.TempDir(),
		"--host-resolver-rules=MAP evil.example 127.0.0.1"},
		args...)...)
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Run(); err != nil && ctx.Err() == nil {
		t.Fatalf("run Chromium: %v", err)
	}
	return out.String()
}

func TestAPageThatADeveloperVisitsChangesAndReadsNothing(t *testing.T) {
	t.Parallel()
	if os.Getenv("SPILLWAY_REQUIRE_SDKS") != "1" {
		t.Skip("it takes several seconds: set SPILLWAY_REQUIRE_SDKS=1; infra/local tests the same without a browser")
	}
	needs(t, "Chromium", cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium"), "--version")
	arrivals := localtest.NewArrivals()
	p := localtest.Start(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	response, err := http.Post(p.IngestURL+"/v1/track", "application/json",
		strings.NewReader(`{"writeKey":"k","userId":"u","event":"Secret","messageId":"kept"}`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	arrivals.AwaitEvent(t, "kept")

	done := make(chan string, 10)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, fmt.Sprintf(hostilePage, strings.Join([]string{p.SQSURL, p.SegmentURL, p.IngestURL}, " ")))
		case "/done", "/read":
			done <- r.URL.RequestURI()
		}
	}))
	defer page.Close()
	ctx, closePage := context.WithTimeout(t.Context(), testTimeout)
	defer closePage()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		chromium(ctx, t, "--remote-debugging-port=0", underEvil(t, page.URL)+"/")
	}()
	select {
	case said := <-done:
		if said != "/done?sdk=200" {
			t.Errorf("the page says %s", said)
		}
	case <-ctx.Done():
		t.Error("the page has not finished")
	}
	follower, err := http.Get(p.SQSURL + local.OutcomesPath) // while the page is open
	if err != nil {
		t.Fatal(err)
	}
	follower.Body.Close()
	if follower.StatusCode != http.StatusOK {
		t.Errorf("a tail is answered %d while the page is open", follower.StatusCode)
	}
	closePage()
	<-closed
	arrivals.AwaitEvent(t, "from-the-page")
	if events := p.Segmentd().Events(segmentd.Query{MessageID: "kept"}); len(events) != 1 {
		t.Error("the page has reset the Segment emulator")
	}
	for _, address := range []string{p.SegmentURL + "/_segmentd/events", p.SQSURL + "/_spillway/queues"} {
		if text := chromium(t.Context(), t, "--dump-dom", underEvil(t, address)); !strings.Contains(text, "--allow-host") ||
			strings.Contains(text, "Secret") {
			t.Errorf("a page under another name reads of %s:\n%s", address, text)
		}
	}
}

// underEvil is the address with the attacker's name.
func underEvil(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = "evil.example:" + u.Port()
	return u.String()
}
