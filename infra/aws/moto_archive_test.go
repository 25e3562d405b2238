package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive/firehose"
	"github.com/spillwayhq/spillway/shared/archive/s3store"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
)

func TestAStackWithAnArchiveIsDeployedAndWhatDeliverArchivesIsReadInItsBucket(t *testing.T) {
	c := newCloud(t)
	n := topology.DefaultNames()
	s := settings.Default(n, "eu-west-1")
	withArchive(&s)
	c.bootstrap(t, "eu-west-1")

	first := c.deploy(t, &s)
	tmpl := first.templates["eu-west-1"]
	deployed := c.read(t, "eu-west-1", n.Stack("eu-west-1"))
	compare(t, tmpl, deployed)
	if again := c.deploy(t, &s); again.changed["eu-west-1"] || again.said != "" {
		t.Errorf("a second deployment changed something, or said %q", again.said)
	}

	bucket, _ := resolved(tmpl.Outputs[topology.OutputArchiveBucket].Value, deployed).(string)
	// moto applies what the policy denies without TLS to whoever comes, and itself has no TLS.
	c.request(t, http.MethodDelete, "/"+bucket+"?policy", nil, http.StatusNoContent)
	stream := firehose.New(c.config, n.ArchiveStream)
	var want []string
	for i := range 3 {
		want = append(want, fmt.Sprintf(`{"type":"track","event":"äöü\u0000","messageId":"m%d","userId":"u%d"}`, i, i))
		if err := stream.Put(t.Context(), storetest.Frames(t, want[i])); err != nil {
			t.Fatal(err)
		}
	}
	store := s3store.Open(c.config, bucket)
	if got := storetest.Events(t, store); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	c.readByName(t, n)
	want = want[1:] // the first user is forgotten
	if got := storetest.Events(t, store); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a user was forgotten the archive has %q, want %q", got, want)
	}
	c.destroy(t, "eu-west-1", &s)
	if got := storetest.Events(t, store); len(got) != len(want) {
		t.Errorf("%d of %d events survived the stack", len(got), len(want))
	}
	if again := c.deploy(t, &s); !again.changed["eu-west-1"] {
		t.Error("the stack was not made again")
	}
}

// readByName lets the verbs that read an archive find it by the pipeline's name, and use what they
// find.
func (c *cloud) readByName(t *testing.T, n topology.Names) {
	t.Helper()
	folder := t.TempDir()
	spillway := filepath.Join(folder, "spillway")
	if out, err := exec.Command("go", "build", "-o", spillway, "../../cmd/spillway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(args ...string) string {
		t.Helper()
		command := exec.Command(spillway, append(args, "--name", n.Pipeline)...)
		command.Dir = folder // where forget writes its list
		out, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("spillway %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := run("replay", "--from", "1h", "--dry-run"); !strings.HasSuffix(out, "\n3 events match\n") {
		t.Errorf("replay says %q", out)
	}
	run("replay", "--from", "1h", "--user", "u1", "--force") // moto has no metrics that say how Segment is
	if has := c.attributes(t, "eu-west-1", n.BulkQueue)["ApproximateNumberOfMessages"]; has != "1" {
		t.Errorf("the bulk queue has %s messages after a replay of one event", has)
	}
	if out := run("why", "m2"); !strings.Contains(out, "delivered track") || !strings.Contains(out, "archive/") {
		t.Errorf("why says %q", out)
	}
	if out := run("forget", "--user", "u0", "--yes"); !strings.Contains(out, "1 event removed") {
		t.Errorf("forget says %q", out)
	}
}
