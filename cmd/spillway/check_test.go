package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestCheckSaysWhatIsInADataDirectoryAndWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := sqs.Open(sqs.Options{Dir: filepath.Join(dir, "sqs")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.CreateQueue("events", nil); err != nil {
		t.Fatal(err)
	}
	client := localtest.Client("http://sqs.test", localtest.Via(server.HTTPClient().Transport))
	for _, body := range []string{"first message", "second message", "third message"} {
		if _, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{
			QueueUrl: aws.String("http://sqs.test/000000000000/events"), MessageBody: aws.String(body),
		}); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := check(&out, dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("of a server that runs: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := check(&out, dir); err != nil || !strings.Contains(out.String(), "events: 3 messages") ||
		!strings.Contains(out.String(), "nothing is damaged") {
		t.Errorf("%v, output:\n%s", err, &out)
	}
	names, err := filepath.Glob(filepath.Join(dir, "sqs", "*.log"))
	if err != nil || len(names) != 1 {
		t.Fatalf("files %v, %v", names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(names[0], bytes.Replace(b, []byte("second"), []byte("sEcond"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	err = check(&out, dir)
	if err == nil || !strings.Contains(err.Error(), "1 message lost") || !strings.Contains(out.String(), "events: 2 messages") ||
		!strings.Contains(out.String(), "damaged: "+names[0]) {
		t.Errorf("%v, output:\n%s", err, &out)
	}
	if err := check(&out, filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("of no data directory: %v", err)
	}
}
