package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestForgetRemovesAUserEverywhere(t *testing.T) {
	t.Parallel()
	p := archiving(t, nil)
	dir := t.TempDir()
	run := func(args ...string) (out string) {
		t.Helper()
		out, errOut, err := spillway(t.Context(), "", append([]string{"forget", queueFlag(p)}, args...)...)
		if err != nil {
			t.Fatalf("%q: %v\n%s%s", args, err, out, errOut)
		}
		return out
	}
	dry := run("--user=anna", "--dry-run", "--file="+filepath.Join(dir, "dry"))
	for _, want := range []string{
		"archive: 2 events found; 1 object searched, 1 to be rewritten without them\n",
		"dead letters: 1 event found; 2 dead letters searched, 1 to be rewritten without them\n",
		"found: 2 records that can't be read",
		"kept: 1 event of other users with one of the IDs elsewhere",
		"1 of the user's events has the anonymousId device-1: ",
		"Nothing waits in the queues",
	} {
		if !strings.Contains(dry, want) {
			t.Errorf("the dry run does not say %q:\n%s", want, dry)
		}
	}
	list := filepath.Join(dir, "list")
	out := run("--user=anna", "--unreadable", "--yes", "--file="+list)
	if !strings.Contains(out, "archive: 3 events removed; 1 object searched, 1 rewritten without them\n") ||
		!strings.Contains(out, "dead letters: 2 events removed; 2 dead letters searched, 1 rewritten without them, 1 deleted\n") {
		t.Errorf("%s", out)
	}
	text, err := os.ReadFile(list)
	if err != nil || strings.Count(string(text), "\n") != 5 || strings.Count(string(text), `"messageId":"a2"`) != 2 {
		t.Errorf("the list is %s, %v", text, err)
	}
	for id, want := range map[string]string{"a1": "", "a2": "", "b1": "delivered", "b2": "dead letter"} {
		out, _, err := spillway(t.Context(), "", "why", id, queueFlag(p))
		if want == "" && err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %s%v", id, out, err)
		}
	}
	again := run("--user=anna", "--unreadable", "--yes", "--file="+filepath.Join(dir, "again"))
	if !strings.Contains(again, "archive: 0 events removed; ") || !strings.Contains(again, "dead letters: 0 events removed; ") {
		t.Errorf("run again: %s", again)
	}
	if _, err := os.Stat(filepath.Join(dir, "again")); err == nil {
		t.Error("a list of nothing is left")
	}
	// What is delivered afterwards is archived in another object.
	put(t, p, topology.DefaultNames().EventsQueue, `{"type":"track","event":"Run","userId":"anna","messageId":"a3"}`)
	await(t, "the next event", func() bool { return p.Status().Archive.Events == 6 })
	if out := run("--user=anna", "--yes", "--file="+filepath.Join(dir, "third")); !strings.Contains(out, "archive: 1 event removed; 2 objects searched, 1 deleted\n") {
		t.Errorf("the next one: %s", out)
	}
}

func TestForgetSaysThatMessagesWait(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Archive: &local.ArchiveBounds{Bytes: 64 << 20}, Hold: true})
	put(t, p, topology.DefaultNames().EventsQueue, `{"type":"track","event":"Run","userId":"anna","messageId":"a1"}`)
	var out bytes.Buffer
	forget := (&forgetFlags{watchFor: 50 * time.Millisecond}).command()
	forget.SetArgs([]string{"--user=anna", "--dry-run", queueFlag(p)})
	forget.SetOut(&out)
	err := forget.ExecuteContext(t.Context())
	if err != nil || !strings.Contains(out.String(), "1 message in the queues may hold events of this user, and they do not drain at present") {
		t.Errorf("%s%v", &out, err)
	}
}

func TestForgetRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give the user with --user":                    nil,
		"--user and --anonymous-id must not be empty":  {"--user="},
		"--dry-run removes nothing":                    {"--user=u", "--dry-run", "--yes"},
		"standard input is not a terminal: give --yes": {"--user=u"},
		"nothing listens at":                           {"--user=u", "--yes", "--queue-url=" + unreachableQueue(t)},
	} {
		if _, _, err := spillway(t.Context(), "", append([]string{"forget"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}
