package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive/firehose"
	"github.com/spillwayhq/spillway/shared/archive/s3store"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
)

func TestAStackWithAnArchiveIsDeployedAndWhatDeliverArchivesIsReadInItsBucket(t *testing.T) {
	c := newCloud(t)
	n := topology.DefaultNames()
	s := defaultSettings(n, "eu-west-1")
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
		want = append(want, fmt.Sprintf(`{"n":%d,"text":"äöü\u0000"}`, i))
		if err := stream.Put(t.Context(), storetest.Frames(t, want[i])); err != nil {
			t.Fatal(err)
		}
	}
	store := s3store.Open(c.config, bucket)
	if got := storetest.Events(t, store); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	c.destroy(t, "eu-west-1", &s)
	if got := storetest.Events(t, store); len(got) != len(want) {
		t.Errorf("%d of %d events survived the stack", len(got), len(want))
	}
	if again := c.deploy(t, &s); !again.changed["eu-west-1"] {
		t.Error("the stack was not made again")
	}
}
