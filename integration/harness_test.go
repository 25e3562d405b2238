package integration

import (
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// patience ends a test that would hang. It asserts no speed.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { testutil.Main(m) }

// awaitAll waits until all events have arrived, except those that were reported as lost.
func awaitAll(t *testing.T, o *localtest.Arrivals, ids []string, lost map[string]string) {
	t.Helper()
	o.Await(t, "every event that was accepted", func() bool {
		for len(ids) > 0 && (lost[ids[0]] != "" || len(o.Get(ids[0])) > 0) {
			ids = ids[1:]
		}
		return len(ids) == 0
	})
}

var eventsQueue = regexp.MustCompile(`events queue\s+(http://\S+)`)

// spillwayUp starts `spillway up`; its Address is the URL of the events queue.
func spillwayUp(t *testing.T, args ...string) *testutil.Process {
	t.Helper()
	return testutil.Serve(t, exec.Command(testutil.Build(t, "cmd/spillway"),
		append([]string{"up", "--sqs-port=0", "--ingest-port=0", "--segment-port=0", "--console-port=0"}, args...)...), eventsQueue)
}
