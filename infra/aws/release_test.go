package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle/derive"
	bundled "github.com/spillwayhq/spillway/infra/bundle/template"
)

// forRelease synthesises what the CDK app deploys for a choice.
func forRelease(t *testing.T) derive.Synthesise {
	return func(c *bundled.Choice) ([]byte, error) {
		region := c.Settings.Regions[0]
		folder := t.TempDir()
		before := map[string]deployed{region: {}}
		if c.Adopt {
			retained := map[string]map[string]string{}
			for _, name := range c.Settings.Topology().Names.Queues() {
				retained[name] = map[string]string{}
			}
			before[region] = deployed{retained: retained}
		}
		made := synthesiseWith(t, folder, c.Settings, environment{version: c.Version,
			assets: placeholders(t, folder, c.Settings), deployed: before})
		return made[region].content, nil
	}
}

// requireRelease is the variable with which more is tried of the template of a release than in each run.
const requireRelease = "SPILLWAY_REQUIRE_RELEASE"

const releaseTemplate = "../bundle/released/template.json"

func TestTheTemplateOfAReleaseIsThatOfTheCDKApp(t *testing.T) {
	if !*update && os.Getenv(requireRelease) == "" {
		t.Skip(requireRelease + "=1 makes the template of a release anew and compares, which takes a minute")
	}
	got, err := derive.Template(forRelease(t))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(releaseTemplate, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(releaseTemplate)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the CDK app makes: go test ./infra/aws -run TestTheTemplateOfARelease -update: %v",
			releaseTemplate, err)
	}
}
