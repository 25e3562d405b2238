package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spillwayhq/spillway/infra/settings"
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
	defaults, _ := defaults(t)
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
	if out, err := exec.Command(linter, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
