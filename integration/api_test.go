package integration

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

// api is an example API in a process of its own.
type api struct{ *testutil.Process }

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// startAPI starts the example API and waits until it serves.
func startAPI(t *testing.T, args ...string) api {
	t.Helper()
	return api{testutil.Serve(t, exec.Command(testutil.Build(t, "integration/exampleapi"),
		append([]string{"--listen=127.0.0.1:0"}, args...)...), listening)}
}

// stop stops the API and checks that it ends without an error.
func (a api) stop(t *testing.T) {
	t.Helper()
	if err := a.Stop(t); err != nil {
		log := a.Log.String()
		t.Errorf("the example API ended with %v and said %s", err, log[max(0, len(log)-2000):])
	}
}

// lost returns the errors of the events that the API has logged as lost, by messageId.
func (a api) lost() map[string]string {
	lost := map[string]string{}
	for line := range strings.Lines(a.Log.String()) {
		var entry struct {
			Msg, Error string
			MessageID  string `json:"message_id"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "event lost" {
			lost[entry.MessageID] = entry.Error
		}
	}
	return lost
}
