package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/bundle/bundletest"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

func TestCfnLintFindsNothing(t *testing.T) {
	const required = "SPILLWAY_REQUIRE_CFN_LINT"
	if os.Getenv(required) == "" {
		t.Skip(required + "=1 lints the templates; it needs cfn-lint: python3 -m pip install -r infra/aws/requirements.txt")
	}
	linter, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Fatal("cfn-lint is required and not here: python3 -m pip install -r infra/aws/requirements.txt")
	}
	key := "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	folder := t.TempDir()
	defaults := defaults(t)
	// W3005: the CDK makes functions depend on their roles, to which they refer anyway.
	args := []string{"--ignore-checks", "W3005", "--regions", "eu-west-1", "eu-central-1", "eu-west-3", "us-east-1", "--"}
	write := func(name string, tmpl template) {
		file := filepath.Join(folder, name+".json")
		if err := os.WriteFile(file, tmpl.content, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	write("defaults", defaults)
	for name, change := range map[string]func(*settings.Settings){
		"others": func(s *settings.Settings) {
			s.IngestEndpoint, s.KMSKeys, s.Emails, s.PublicURL = settings.FunctionURL, []string{key}, []string{"ops@example.com"},
				"https://events.example.com"
			s.PermissionsBoundary = "arn:aws:iam::123456789012:policy/boundary"
			s.Tags = map[string]string{"team": "data"}
			withArchive(s)
		},
		"archive":    withArchive,
		"publishers": func(s *settings.Settings) { s.IngestEndpoint, s.Canary = settings.None, false },
		"adopted": func(s *settings.Settings) {
			s.AdoptQueues, s.Canary, s.ReservedConcurrency = settings.AdoptAll, false, 0
		},
	} {
		write(name, with(t, change))
	}
	for region, tmpl := range inZone(t, shared(func(*settings.Settings) {})) {
		write("shared-"+region, tmpl)
	}
	for region, tmpl := range statusSites(t) {
		write("status-"+region, tmpl)
	}
	for name, plan := range lintedReleases(t) {
		write("release-"+name, template{content: plan.Template})
	}
	if out, err := exec.Command(linter, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// lintedReleases are what a release deploys with the default settings, with all that can be given, and
// with as little as possible.
func lintedReleases(t *testing.T) map[string]*bundle.Plan {
	t.Helper()
	plans := map[string]*bundle.Plan{}
	for name, values := range map[string]map[string]string{
		"defaults": nil,
		"most": {
			"emails": "ops@example.com", "archive": "true", "archiveTable": "true", "eventBridge": "true", "pathPrefix": "/a",
			"publicURL": "https://events.example.com", "writeKeysObject": "s3://keys-{region}/keys.json", "fairQueues": "true",
			"segmentEndpointParameter": "/a/endpoint", "canaryWriteKey": "abcdefghij", "tags": "team=data",
			"permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
		},
		"adopted": {
			"ingestEndpoint": "function-url", "rollout": "all", "reservedConcurrency": "none", "writeKeyParameter": "none",
			"writeKeysParameter": "none", "okNotifications": "false", "architecture": "x86_64",
		},
	} {
		s := settings.Default(topology.DefaultNames(), "eu-west-1")
		for setting, value := range values {
			if err := s.Set(setting, value); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := bundletest.Open(t, "v1.2.3").Plan(&s, name == "adopted")
		if err != nil {
			t.Fatal(err)
		}
		plans[name] = plan
	}
	return plans
}
