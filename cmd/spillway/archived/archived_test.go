package archived

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
)

// open opens what the command line names.
func open(t *testing.T, args ...string) (*Pipeline, error) {
	t.Helper()
	var f Flags
	c := &cobra.Command{}
	f.Register(c)
	if err := c.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f.Open(t.Context())
}

// running answers as the SQS emulator of `spillway up` does.
func running(t *testing.T, s local.Status) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != local.StatusPath {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestWhatCanNotBeOpenedIsSaidWithItsRemedy(t *testing.T) {
	for _, v := range []string{"AWS_REGION", "AWS_PROFILE", "AWS_DEFAULT_REGION"} {
		t.Setenv(v, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/does/not/exist")
	names := topology.DefaultNames()
	bulk := "http://elsewhere/000000000000/" + names.BulkQueue
	without := running(t, local.Status{BulkQueueURL: bulk})
	other := running(t, local.Status{BulkQueueURL: "http://elsewhere/000000000000/other-bulk", ArchiveDir: t.TempDir()})
	older := running(t, local.Status{})
	for want, args := range map[string][]string{
		"keeps no archive: start it without --archive-days=0": {"--queue-url=" + local.QueueURL(without, names.EventsQueue)},
		"does not deliver " + other:                           {"--queue-url=" + local.QueueURL(other, names.EventsQueue)},
		"does not deliver " + older:                           {"--queue-url=" + local.QueueURL(older, names.EventsQueue)},
		"is `spillway up` running?":                           {"--queue-url=http://127.0.0.1:1/000000000000/" + names.EventsQueue},
		"must be an events queue":                             {"--queue-url=" + local.QueueURL(without, names.DeadLetterQueue)},
		"the queue URL must be that of a standard SQS queue":  {"--queue-url=nowhere"},
		"remove --queue-url":                                  {"--name=spillway", "--queue-url=" + bulk},
		"--name: the pipeline's name must begin":              {"--name=No"},
		"no AWS region":                                       {"--name=spillway"},
		"name the pipeline with --name":                       {"--queue-url=https://sqs.eu-west-1.amazonaws.com/123456789012/mine"},
	} {
		if _, err := open(t, args...); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

func TestARunningPipelineSaysWhereItsArchiveAndItsQueuesAre(t *testing.T) {
	names := topology.DefaultNames()
	dir := t.TempDir()
	// A container may know its queue by another host than who asks.
	up := running(t, local.Status{BulkQueueURL: "http://inside:9324/000000000000/" + names.BulkQueue, ArchiveDir: dir})
	p, err := open(t, "--queue-url="+local.QueueURL(up, names.EventsQueue)+"/")
	if err != nil {
		t.Fatal(err)
	}
	if p.BulkURL != local.QueueURL(up, names.BulkQueue) || p.DeadLetterURL != local.QueueURL(up, names.DeadLetterQueue) ||
		p.Place != dir || !p.Local || p.Names != names {
		t.Errorf("opened %+v", p)
	}
	for _, err := range p.Store.Objects(t.Context(), time.Time{}, time.Now()) {
		t.Errorf("the archive is empty, and gives %v", err)
	}
	gone := running(t, local.Status{BulkQueueURL: "http://x/0/" + names.BulkQueue, ArchiveDir: dir + "/gone"})
	if _, err := open(t, "--queue-url="+local.QueueURL(gone, names.EventsQueue)); err == nil ||
		!strings.Contains(err.Error(), "only its user on its machine can read") {
		t.Errorf("a directory of another machine: %v", err)
	}
}
