package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// The account's CloudWatch does not know the caller, who may read the queues: the page shows what
// waits, and why the rest is missing.
func TestConsoleServesThePageOfAPipelineOnAWS(t *testing.T) {
	withoutAWS(t)
	p := localtest.Start(t, local.Config{Hold: true})
	inAccount(t, p.SQSURL)
	if _, _, err := spillway(t.Context(), `{"type":"track","userId":"u1","event":"e"}`, "send", queueFlag(p)); err != nil {
		t.Fatal(err)
	}
	out, stop := inBackground(t, "console", "--name=spillway", "--console-port=0")
	await(t, "its address", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	found := regexp.MustCompile(`operator's page +(http://localhost:\d+)\n\nof the pipeline spillway in ` + local.Region).FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("it printed\n%s", out)
	}
	status, body := get(t, found[1])
	for _, want := range []string{"1 message", "read the alarms", "read the metrics", "v1.2.3", "reading has cost"} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, without %q\n%s", status, want, body)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, found[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "rebound.example"
	if answer, err := http.DefaultClient.Do(request); err != nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("a rebound name is answered %v, %v", answer, err)
	}
	if err := stop(); err != nil || !strings.Contains(out.String(), "Reading has cost") {
		t.Errorf("it ended with %v\n%s", err, out)
	}
}

func TestConsoleOfAPipelineThatDoesNotExistSaysSo(t *testing.T) {
	withoutAWS(t)
	p := localtest.Start(t, local.Config{Hold: true})
	inAccount(t, p.SQSURL)
	for _, c := range []struct {
		want string
		args []string
	}{
		// Of its two queues, which are looked up at the same time.
		{" in us-east-1: is a pipeline with --name other deployed", []string{"--name=other"}},
		{"remove one of them", []string{"--name=spillway", "--queue-url=" + p.SQSURL}},
		{"--console-port is for a page that this command serves", []string{"--console-port=1234"}},
		{"must begin with a lower-case letter", []string{"--name=Other"}},
	} {
		_, _, err := spillway(t.Context(), "", append([]string{"console"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	withoutAWS(t)
	if _, _, err := spillway(t.Context(), "", "console", "--name=spillway"); err == nil || !strings.Contains(err.Error(), "no AWS") {
		t.Errorf("without credentials: %v", err)
	}
}
