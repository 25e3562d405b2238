package local_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/status"
)

func TestStartFindsMessagesOfAPipelineOfAnotherName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("staging", func(t *testing.T) {
		p := localtest.Start(t, local.Config{Dir: dir, Name: "staging", Hold: true})
		if len(p.OtherQueues) != 0 {
			t.Errorf("a new data directory has %v", p.OtherQueues)
		}
		for _, queue := range []string{"staging-events", "staging-bulk", "staging-dead-letters"} {
			_, err := localtest.Client(p.SQSURL).SendMessage(t.Context(), &sqs.SendMessageInput{
				QueueUrl: aws.String(p.QueueURL(queue)), MessageBody: aws.String(`{"userId":"u1"}`),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	p := localtest.Start(t, local.Config{Dir: dir, Hold: true})
	want := []local.OtherQueue{{Name: "staging-bulk", Pipeline: "staging", Messages: 1},
		{Name: "staging-events", Pipeline: "staging", Messages: 1}}
	slices.SortFunc(p.OtherQueues, func(a, b local.OtherQueue) int { return strings.Compare(a.Name, b.Name) })
	if !slices.Equal(p.OtherQueues, want) {
		t.Errorf("found %v, want %v", p.OtherQueues, want)
	}
}

func TestAWriteKeysFileHasKeysAndQuotasAndIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "write-keys.json")
	write := func(document string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"writeKeys":[{"name":"web","writeKey":"known"},{"name":"partner","writeKey":"limited","quota":0.001,"burst":1}]}`)
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{Name: "staging", IngestAddr: "127.0.0.1:0", WriteKeysFile: path, Canary: true,
		OnEvent: arrivals.Add})
	track := func(writeKey, id string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.IngestURL+"/v1/track",
			strings.NewReader(`{"userId":"u1","event":"Run Started","messageId":"`+id+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(writeKey, "")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for _, c := range []struct {
		writeKey string
		status   int
	}{
		{"known", http.StatusOK}, {"unknown", http.StatusBadRequest}, {"new", http.StatusBadRequest},
		{"limited", http.StatusOK},
	} {
		if got := track(c.writeKey, "first-"+c.writeKey); got != c.status {
			t.Errorf("the write key %s is answered %d, want %d", c.writeKey, got, c.status)
		}
	}
	// A quota admits a request as long as its account is above zero: one or two here.
	track("limited", "more-limited")
	if got := track("limited", "too-much"); got != http.StatusTooManyRequests {
		t.Errorf("a write key above its quota is answered %d", got)
	}
	if s := p.Status(); s.Degraded != "" {
		t.Errorf("with a good file it is degraded: %s", s.Degraded)
	}
	write(`{"writeKeys":[{"name":"new","writeKey":"new",}]}`)
	arrivals.Await(t, "the mistake in the status", func() bool {
		return strings.Contains(p.Status().Degraded, "an earlier set is used: the write keys must be")
	})
	if got := track("known", "second-known"); got != http.StatusOK {
		t.Errorf("with a mistake in the file, a write key of the earlier set is answered %d", got)
	}
	if body := health(t, p.IngestURL); body != `{"success":true,"warning":"write_keys_old"}` {
		t.Errorf("health with a mistake in the file: %s", body)
	}
	write(`{"writeKeys":[{"name":"new","writeKey":"new\n"}]}`)
	arrivals.Await(t, "the repaired file", func() bool { return track("new", "second-new") == http.StatusOK })
	arrivals.Await(t, "the repair in the status", func() bool { return p.Status().Degraded == "" })
	if got := track("known", "third-known"); got != http.StatusBadRequest {
		t.Errorf("a write key that was taken out of the file is answered %d", got)
	}
	for _, id := range []string{"first-known", "first-limited", "second-known", "second-new"} {
		arrivals.AwaitEvent(t, id)
	}
	arrivals.Await(t, "the canary, whose write key is not in the file",
		func() bool { return !p.Status().Canary.At.IsZero() })
	if _, ok := p.SQS().Queue("staging-events"); !ok {
		t.Error("the queues do not have the pipeline's name")
	}
}

// health is the answer to GET /health.
func health(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

func TestAnEndpointOfSegmentThatIsNoURLFailsTheStart(t *testing.T) {
	t.Parallel()
	_, err := local.Start(local.Config{Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", Segment: "api.segment.io"})
	if err == nil || !strings.Contains(err.Error(), "https://api.segment.io") ||
		strings.Contains(err.Error(), "SPILLWAY_") {
		t.Errorf("%v", err)
	}
}

func TestAStoreThatHasFailedIsInTheStatusAndIngestRefusesEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := localtest.Start(t, local.Config{Dir: dir, IngestAddr: "127.0.0.1:0", Hold: true})
	post := func() int {
		t.Helper()
		r, err := http.Post(p.IngestURL+"/v1/track", "application/json",
			strings.NewReader(`{"writeKey":"wk","type":"track","userId":"u1","event":"e"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		return r.StatusCode
	}
	if code, s := post(), p.Status(); code != http.StatusOK || s.Store != "" {
		t.Fatalf("at the start: status %d, store %q", code, s.Store)
	}
	if err := os.RemoveAll(filepath.Join(dir, "sqs")); err != nil {
		t.Fatal(err)
	}
	once := func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} }
	_, err := localtest.Client(p.SQSURL, once).SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: aws.String(p.QueueURL("spillway-events")), MessageBody: aws.String(`{"userId":"u1"}`),
	})
	if err == nil || !strings.Contains(err.Error(), "was removed while it is in use") {
		t.Errorf("send: %v", err)
	}
	code, s := post(), p.Status()
	if code != http.StatusTooManyRequests || !strings.Contains(s.Store, "events are refused") || s.Degraded == "" {
		t.Errorf("status %d, store %q, degraded %q", code, s.Store, s.Degraded)
	}
}

func TestTheStatusSiteOfAPipelineHasWhatThePipelineHas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config     local.Config
		components []string
	}{
		"everything":         {local.Config{IngestAddr: "127.0.0.1:0"}, []string{"ingest-local", "delivery-local"}},
		"it only accepts":    {local.Config{IngestAddr: "127.0.0.1:0", Hold: true}, []string{"ingest-local"}},
		"no ingest endpoint": {local.Config{}, []string{"delivery-local"}},
	} {
		c.config.StatusSite = true
		p, stop := localtest.StartStoppable(t, c.config)
		get := func() string {
			w := httptest.NewRecorder()
			p.StatusSite().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+status.DocumentFile, nil))
			return w.Body.String()
		}
		localtest.NewArrivals().Await(t, "the status site", func() bool { return strings.Contains(get(), `"version"`) })
		stop()
		d, err := status.Parse([]byte(get()))
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, component := range d.Components {
			found = append(found, component.ID)
			if component.Part == status.Ingest && component.State != status.Operational {
				t.Errorf("%s: %s is %s", name, component.ID, component.State)
			}
		}
		if !slices.Equal(found, c.components) || p.Status().StatusSite != "" {
			t.Errorf("%s: the components are %v, want %v; %s", name, found, c.components, p.Status().StatusSite)
		}
	}
}
