package local_test

import (
	"slices"

	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestStartFindsMessagesOfAPipelineOfAnotherName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("staging", func(t *testing.T) {
		p := localtest.Start(t, local.Config{Dir: dir, Name: "staging", Hold: true})
		if len(p.OtherQueues) != 0 {
			t.Errorf("a new data directory has %v", p.OtherQueues)
		}
		_, err := localtest.Client(p.SQSURL).SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: aws.String(p.QueueURL("staging-events")), MessageBody: aws.String(`{"userId":"u1"}`),
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	p := localtest.Start(t, local.Config{Dir: dir, Hold: true})
	want := []local.OtherQueue{{Name: "staging-events", Pipeline: "staging", Messages: 1}}
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
	p := localtest.Start(t, local.Config{Name: "staging", IngestAddr: "127.0.0.1:0", WriteKeysFile: path, Canary: true,
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
	write(`{"writeKeys":[{"name":"new","writeKey":"new"}]}`)
	arrivals.Await(t, "the changed file", func() bool { return track("new", "second-new") == http.StatusOK })
	if got := track("known", "second-known"); got != http.StatusBadRequest {
		t.Errorf("a write key that was taken out of the file is answered %d", got)
	}
	for _, id := range []string{"first-known", "first-limited", "second-new"} {
		arrivals.AwaitEvent(t, id)
	}
	arrivals.Await(t, "the canary, whose write key is not in the file",
		func() bool { return !p.Status().Canary.At.IsZero() })
	if _, ok := p.SQS().Queue("staging-events"); !ok {
		t.Error("the queues do not have the pipeline's name")
	}
}

func TestAnEndpointOfSegmentThatIsNoURLFailsTheStart(t *testing.T) {
	_, err := local.Start(local.Config{Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", Segment: "api.segment.io"})
	if err == nil || !strings.Contains(err.Error(), "https://api.segment.io") || strings.Contains(err.Error(), "SPILLWAY_") {
		t.Errorf("%v", err)
	}
}
