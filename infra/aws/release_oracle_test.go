package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/bundle/bundletest"
	"github.com/spillwayhq/spillway/infra/bundle/derive"
	bundled "github.com/spillwayhq/spillway/infra/bundle/template"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

var releaseSeeds = flag.Int("release-seeds", 0, "for how many random settings a release is compared with the CDK app (default 1, with "+
	requireRelease+" 20)")

// values of settings that a release can express, from which the random ones are chosen. The first is
// the default; empty: leave the setting out.
var releasable = map[string][]string{
	"reservedConcurrency": {"", "none", "7", "30", "900"}, "maximumConcurrency": {"", "2", "5"},
	"batchSize": {"", "1", "10", "6000"}, "batchingWindowSeconds": {"", "20", "61", "300"},
	"logRetentionDays": {"", "1", "365"}, "logLevel": {"", "debug", "warn"}, "architecture": {"", "x86_64"},
	"rollout": {"", "all"}, "ingestEndpoint": {"", "function-url"}, "ingestFallbacks": {"", "false"},
	"requestsPerSecond": {"", "1", "10000"}, "publicURL": {"", "https://events.example.com"},
	"pathPrefix": {"", "/events"}, "fairQueues": {"", "true", "false"}, "segmentEndpoint": {"", "eu"},
	"segmentEndpointParameter": {"", "/a/endpoint", "endpoint"}, "writeKeyParameter": {"", "none", "key", "/a/key"},
	"writeKeysParameter": {"", "none", "keys", "/a/keys"},
	"writeKeysObject":    {"", "s3://keys-{region}/team/keys.json", "s3://keys/keys.json"},
	"canaryWriteKey":     {"", "abcdefghij0123456789"}, "emails": {"", "ops@example.com"},
	"ticketEmails": {"", "none", "dev+tickets@example.com"}, "okNotifications": {"", "false"},
	"eventBridge": {"", "true"}, "archive": {"", "true"}, "archiveDays": {"", "1", "3650"},
	"archiveTable": {"", "true"}, "runbook": {"", "https://wiki.example.com/~team/runbook?x=1&y=2"},
	"permissionsBoundary": {"", "arn:aws:iam::123456789012:policy/boundary"}, "tags": {"", "team=data,env=prod"},
	"terminationProtection": {"", "false"},
}

// random is a choice that a release can express.
func random(t *testing.T, seed int) *bundled.Choice {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), 18))
	for {
		region := []string{"eu-west-1", "us-east-1", "ap-northeast-3", "us-gov-east-1", "cn-north-1", "us-iso-east-1"}[r.IntN(6)]
		names, err := topology.NewNames([]string{"spillway", "shop", "shop-dev2", "a-very-long-name-of2"}[r.IntN(4)])
		if err != nil {
			t.Fatal(err)
		}
		s := settings.Default(names, region)
		for _, name := range settings.Names() {
			values := releasable[name]
			if len(values) == 0 || r.IntN(2) == 0 {
				continue
			}
			if value := values[r.IntN(len(values))]; value != "" {
				if err := s.Set(name, value); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s.Validate(settings.Partitions()) == nil {
			return &bundled.Choice{Settings: &s, Version: "v" + strconv.Itoa(seed) + ".0.0", Adopt: r.IntN(4) == 0}
		}
	}
}

// compareRelease returns where the template of a release, with its parameters, is not what the CDK app
// makes for a choice; plant changes the release before.
func compareRelease(t *testing.T, c *bundled.Choice, app []byte, plant func(*bundle.Plan)) []string {
	t.Helper()
	plan, err := bundletest.Open(t, c.Version).Plan(c.Settings, c.Adopt)
	if err != nil {
		t.Fatal(err)
	}
	if plant != nil {
		plant(plan)
	}
	differences, err := derive.Differences(c, plan.Template, plan.Parameters, app)
	if err != nil {
		t.Fatal(err)
	}
	return differences
}

func TestWhatAReleaseDeploysIsWhatTheCDKAppDeploys(t *testing.T) {
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	choices := map[string]*bundled.Choice{"defaults": {Settings: &s, Version: "v1.2.3"}}
	seeds := *releaseSeeds
	switch {
	case seeds > 0:
	case os.Getenv(requireRelease) != "":
		seeds = 20
	default:
		seeds = 1
	}
	for seed := range seeds {
		choices[fmt.Sprint("seed ", seed)] = random(t, seed)
	}
	for name, c := range choices {
		var app []byte
		if name == "defaults" {
			made := defaults(t)
			app = made.content
			defer plantDifferences(t, c, app)
		} else {
			var err error
			if app, err = forRelease(t)(c); err != nil {
				t.Fatal(err)
			}
		}
		if differences := compareRelease(t, c, app, nil); len(differences) > 0 {
			t.Errorf("%s: after a change of what is deployed, run go test ./infra/aws -run TestTheTemplateOfARelease -update\n"+
				"adopting %v, of\n%s\n%s", name, c.Adopt, c.Settings.Kept(),
				strings.Join(differences[:min(len(differences), 20)], "\n"))
		}
	}
}

// plantDifferences fails if one of these mistakes makes no difference.
func plantDifferences(t *testing.T, c *bundled.Choice, app []byte) {
	t.Helper()
	inTemplate := func(old, now string) func(*bundle.Plan) {
		return func(p *bundle.Plan) {
			if !bytes.Contains(p.Template, []byte(old)) {
				t.Errorf("the template has no %s to change", old)
			}
			p.Template = bytes.Replace(p.Template, []byte(old), []byte(now), 1)
		}
	}
	for want, plant := range map[string]func(*bundle.Plan){
		"BatchSize: the release has":                   func(p *bundle.Plan) { p.Parameters["BatchSize"] = "101" },
		"Parameters/Name: it has no value":             func(p *bundle.Plan) { delete(p.Parameters, "Name") },
		"PausedAlarm: the release lacks it":            inTemplate(`"PausedAlarm": {`, `"OtherAlarm": {`),
		"OtherAlarm: only the release has it":          inTemplate(`"PausedAlarm": {`, `"OtherAlarm": {`),
		"DeletionPolicy: the release has":              inTemplate(`"DeletionPolicy": "RetainExceptOnCreate"`, `"DeletionPolicy": "Delete"`),
		"Threshold: the release has":                   inTemplate(`"Ref": "DeliverSaturatedThreshold"`, `"Ref": "BatchSize"`),
		"QueueName: the release lacks it":              inTemplate(`"QueueName": {`, `"QueueNam": {`),
		"DashboardBody: the release has":               inTemplate(`SEARCH`, `FIND`),
		"Outputs/Settings/Value: the release has":      func(p *bundle.Plan) { p.Parameters["Settings"] = "{}" },
		"SPILLWAY_LOG_LEVEL: the release has":          func(p *bundle.Plan) { p.Parameters["LogLevel"] = "debug" },
		"AlarmDescription: the release has":            func(p *bundle.Plan) { p.Parameters["Runbook"] = "https://example.com" },
		"SPILLWAY_VERSION: the release has \"v1.2.4\"": func(p *bundle.Plan) { p.Parameters["Version"] = "v1.2.4" },
	} {
		if found := strings.Join(compareRelease(t, c, app, plant), "\n"); !strings.Contains(found, want) {
			t.Errorf("with a planted mistake the differences are %q, want one with %q", found, want)
		}
	}
}
