package machine

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"

	"github.com/spillwayhq/spillway/infra/local"
)

// listening is what the ingest endpoint writes when it serves.
var listening = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)

// StartIngest starts Spillway's built ingest endpoint as a server in front of a queue. It keeps
// messages that the queue does not take in the directory spill; empty: it answers 429 then.
func StartIngest(ctx context.Context, binary, queueURL, spill string) (*Process, error) {
	endpoint, err := url.Parse(queueURL)
	if err != nil {
		return nil, fmt.Errorf("read the URL of the queue: %w", err)
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SPILLWAY_LISTEN=127.0.0.1:0", "SPILLWAY_QUEUE_URL=" + queueURL,
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=" + queueURL, // it gets no invalid events here
		"AWS_ENDPOINT_URL_SQS=" + endpoint.Scheme + "://" + endpoint.Host, "AWS_REGION=" + local.Region,
		"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey}
	if spill != "" {
		cmd.Env = append(cmd.Env, "SPILLWAY_SPILL_DIR="+spill)
	}
	return serve(func(stdout io.Writer) (*Process, error) { return launch(cmd, stdout, "the ingest endpoint") },
		func(line string) (string, bool) {
			found := listening.FindStringSubmatch(line)
			if found == nil {
				return "", false
			}
			return "http://" + found[1], true
		})
}
