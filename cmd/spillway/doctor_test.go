package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/cmd/spillway/doctor"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestDoctorChecksTheLocalPipeline(t *testing.T) {
	p := localtest.StartEager(t, local.Config{IngestAddr: "localhost:0"}) // it delivers, so that it has alarms
	out, _, err := spillway(t.Context(), "", "doctor", queueFlag(p))
	if err != nil || !strings.Contains(out, "0 warning, 0 failed, 0 unknown") {
		t.Errorf("%v\n%s", err, out)
	}
	put(t, p, topology.DefaultNames().DeadLetterQueue, `{"type":"track"}`)
	out, _, err = spillway(t.Context(), "", "doctor", queueFlag(p), "--json")
	var report doctor.Report
	if failed := json.Unmarshal([]byte(out), &report); failed != nil || err != nil || report.Result != doctor.Warning ||
		report.Pipeline != "spillway" || len(report.Checks) < 8 {
		t.Errorf("%v, %v\n%s", failed, err, out)
	}
}

func TestDoctorSaysWhatIsNotThere(t *testing.T) {
	withoutAWS(t)
	for want, args := range map[string][]string{
		"is `spillway up` running?":           {unreachableQueue(t)},
		"must be the events queue":            {"http://localhost:1/000000000000/spillway-dead-letters"},
		"remove it, or --name":                {"http://localhost:1/a/b", "--name=spillway"},
		"set AWS_REGION":                      {"", "--name=spillway"},
		"is for a pipeline on AWS":            {"", "--ingest-url=https://x"},
		"must begin with a lower-case letter": {"", "--name=No"},
	} {
		command := append([]string{"doctor"}, args[1:]...)
		if args[0] != "" {
			command = append(command, "--queue-url="+args[0])
		}
		if out, _, err := spillway(t.Context(), "", command...); err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%v: %v, printed %q, want %q", command, err, out, want)
		}
	}
}

func TestADrillOfADeploymentNeedsANameAndCredentials(t *testing.T) {
	withoutAWS(t)
	for want, args := range map[string][]string{
		"leave it out with --name": {"--name=spillway", "--seed=1"}, "set AWS_REGION": {"--name=spillway"}, "must begin with a lower-case letter": {"--name=No"},
	} {
		if out, _, err := spillway(t.Context(), "", append([]string{"drill"}, args...)...); err == nil ||
			!strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%v: %v, printed %q, want %q", args, err, out, want)
		}
	}
}
