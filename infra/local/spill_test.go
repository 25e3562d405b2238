package local_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestWithASpillDirectoryEventsAreAcceptedWhenTheQueuesFail(t *testing.T) {
	t.Parallel()
	dir, spillDir := t.TempDir(), t.TempDir()
	arrivals := localtest.NewArrivals()
	t.Run("the queues fail", func(t *testing.T) {
		p := localtest.StartEager(t, local.Config{Dir: dir, SpillDir: spillDir, IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
		if err := p.SQS().Close(); err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(p.IngestURL+"/v1/track", "application/json",
			strings.NewReader(`{"writeKey":"wk","userId":"u","event":"e","messageId":"spilled"}`))
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%v, %v", answer, err)
		}
	})
	if files, _ := filepath.Glob(filepath.Join(spillDir, "events", "*.spill")); len(files) == 0 {
		t.Error("nothing is in the spill directory")
	}
	localtest.StartEager(t, local.Config{Dir: dir, SpillDir: spillDir, IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	arrivals.AwaitEvent(t, "spilled")
}
