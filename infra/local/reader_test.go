package local_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// A page that answers with the pipeline's status, and says when it has ended.
type page struct {
	p     *local.Pipeline
	ended chan struct{}
}

func (p *page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, p.p.Status().ConsoleURL)
}

func (p *page) Run(ctx context.Context) {
	<-ctx.Done()
	close(p.ended)
}

func TestAPageIsServedWhileThePipelineRuns(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	shown := &page{ended: make(chan struct{})}
	p, stop := localtest.StartStoppable(t, local.Config{ConsoleAddr: taken.Addr().String(), ConsoleAnyPort: true,
		Console: func(p *local.Pipeline) local.Page { shown.p = p; return shown }})
	if p.ConsoleURL == local.EndpointURL(taken.Addr()) || p.Status().ConsoleURL != p.ConsoleURL {
		t.Errorf("it is at %s, the status says %s", p.ConsoleURL, p.Status().ConsoleURL)
	}
	response, err := http.Get(p.ConsoleURL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || string(body) != p.ConsoleURL {
		t.Errorf("it answers %q, %v", body, err)
	}
	stop()
	<-shown.ended

	_, err = local.Start(local.Config{Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0",
		ConsoleAddr: taken.Addr().String(), Console: func(*local.Pipeline) local.Page { return shown }})
	if err == nil || !strings.Contains(err.Error(), "--console-port") {
		t.Errorf("a port that is in use: %v", err)
	}
}

// read waits until done says that a page can see what happened.
func read(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func TestAReaderKnowsWhatHappened(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"writeKeys":[{"name":"shop web","writeKey":"web","quota":50},`+
		`{"name":"app","writeKey":"app","enabled":false}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", WriteKeysFile: keys})
	if err := p.Segmentd().SetScript(segmentd.Script{Rules: []segmentd.Rule{
		{Match: segmentd.Match{MessageID: "poison"}, Status: 400}, {Match: segmentd.Match{WriteKey: "later"}, Status: 429},
	}}); err != nil {
		t.Fatal(err)
	}
	r := p.Reader()
	for key, body := range map[string]string{
		"web": `{"batch":[{"type":"track","event":"Run","userId":"u","messageId":"good"},` +
			`{"type":"track","event":"Run","userId":"u","messageId":"poison"}]}`,
		"app": `{"batch":[{"type":"track","event":"Run","userId":"u"}]}`, "unknown": `{"batch":[{"type":"track","event":"Run","userId":"u"}]}`,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.IngestURL+"/v1/batch", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(key, "")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	queue, body := p.QueueURL(topology.DefaultNames().EventsQueue),
		`{"writeKey":"later","batch":[{"type":"page","name":"Home","anonymousId":"a","messageId":"late"}]}`
	if _, err := localtest.Client(p.SQSURL).SendMessage(t.Context(),
		&awssqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
	var seen map[string]local.Outcome
	read(t, "samples of everything", func() bool {
		seen = map[string]local.Outcome{}
		for _, o := range r.Samples(100, func(*local.Outcome) bool { return true }) {
			seen[strings.TrimSuffix(o.Outcome+" "+o.Reason, " ")] = o
		}
		return len(seen) == 5
	})
	for kind, want := range map[string][2]string{ // the event or write key, and in its detail
		"delivered": {"good", ""}, "dead_lettered rejected": {"poison", "400"}, "retried throttled": {"late", "429"},
		"refused source_disabled": {"app", "disabled"}, "refused invalid_write_key": {"", "unknown"},
	} {
		o := seen[kind]
		if got := o.MessageID; (o.Outcome == "refused" && want[0] != "" && o.WriteKey != want[0]) ||
			(o.Outcome != "refused" && got != want[0]) || !strings.Contains(o.Detail, want[1]) {
			t.Errorf("%s: %+v", kind, o)
		}
	}
	if all, ok := r.WriteKeys(); !ok || len(all) != 2 || all[0].Name != "app" || !all[0].Disabled || all[1].Quota != 50 {
		t.Errorf("write keys %+v", all)
	}
	// A pause ends after a second or two, and the next 429 begins another.
	read(t, "the pause of a write key", func() bool { return len(r.Pauses(time.Now())) == 1 })
	now := time.Now()
	lines := r.Senders(now.Add(-time.Hour), now.Add(time.Second), 10)
	if len(lines) == 0 {
		t.Error("nobody has sent anything")
	}
	read(t, "refusals", func() bool {
		codes, _, err := r.Refusals(now.Truncate(time.Hour), now.Truncate(time.Hour).Add(2*time.Hour))
		return err == nil && codes["source_disabled"] == 1 && codes["invalid_write_key"] == 1
	})
}
