package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// staging are the settings of a second pipeline for the account and region of the default one.
func staging(t *testing.T, change func(*settings.Settings)) *settings.Settings {
	t.Helper()
	names, err := topology.NewNames("staging")
	if err != nil {
		t.Fatal(err)
	}
	s := settings.Default(names, "eu-west-1")
	change(&s)
	return &s
}

// adoptedAndProtected has a status site too, so that more tests look at the same templates.
func adoptedAndProtected(s *settings.Settings) {
	s.AdoptQueues, s.TerminationProtection = settings.AdoptAll, true
	s.StatusRegions, s.StatusDomain, s.StatusCertificate = []string{"eu-central-1"}, "status.example.com", statusCertificate
}

// adopted is the template of a pipeline whose queues an earlier stack has retained.
func adopted(t *testing.T) template {
	t.Helper()
	return once(t, staging(t, adoptedAndProtected))["eu-west-1"]
}

const boundary = "arn:aws:iam::123456789012:policy/boundary"

// ofTeam are settings in which a pipeline is otherwise the default one.
func ofTeam(s *settings.Settings) {
	s.PermissionsBoundary, s.Tags = boundary, map[string]string{"team": "data"}
}

// physicalNames are all names that a template gives to resources, by type, and the names of its
// exports.
func physicalNames(t template) map[string][]string {
	names := map[string][]string{}
	for _, r := range t.Resources {
		for property, value := range r.Properties {
			name, ok := value.(string)
			if !ok || !strings.HasSuffix(property, "Name") || property == "StageName" || // which is inside its API
				r.Type == "AWS::Lambda::Alias" || r.Type == "AWS::CodeDeploy::DeploymentGroup" || // its function or application
				property == "MetricName" { // which has the pipeline in its dimensions
				continue
			}
			names[r.Type+" "+property] = append(names[r.Type+" "+property], name)
		}
	}
	for _, o := range t.Outputs {
		if o.Export != nil {
			names["export"] = append(names["export"], text(o.Export))
		}
	}
	return names
}

func TestTwoPipelinesInOneAccountAndRegionShareNoName(t *testing.T) {
	first := defaults(t)
	second := once(t, staging(t, ofTeam))["eu-west-1"]
	theirs := physicalNames(second)
	kinds := 0
	for kind, names := range physicalNames(first) {
		kinds++
		if len(theirs[kind]) != len(names) {
			t.Errorf("%s: %d names, want %d as in the other pipeline", kind, len(theirs[kind]), len(names))
		}
		for _, name := range names {
			if slices.Contains(theirs[kind], name) {
				t.Errorf("%s: both pipelines have %s", kind, name)
			}
		}
	}
	if kinds < 10 {
		t.Errorf("only %d kinds of names were compared", kinds)
	}
}

// Names also occur in ARNs, variables, policies, rules of alarms and the dashboard.
func TestASecondPipelineMentionsNothingOfTheDefaultOne(t *testing.T) {
	second := adopted(t)
	own := once(t, staging(t, ofTeam))["eu-west-1"]
	allowed := map[string]bool{
		"spillway":        true, // the tag application
		"spillway-canary": true, // the write key's prefix, before the random part of the stack's ID
	}
	word := regexp.MustCompile(`/?spillway[a-z0-9/-]*`)
	for _, tmpl := range []template{second, own} {
		content := strings.NewReplacer("./cmd/spillway", "", topology.DefaultRunbook, "").Replace(string(tmpl.content))
		if strings.Count(content, "staging-") < 20 {
			t.Error("the template of staging hardly mentions its own names: the search finds nothing in it")
		}
		for _, found := range word.FindAllString(content, -1) {
			if !allowed[found] {
				t.Errorf("the template of staging mentions %s", found)
			}
		}
	}
}

func TestTheStackIsCalledAfterThePipelineAndProtected(t *testing.T) {
	for _, protect := range []bool{true, false} {
		s := staging(t, ofTeam)
		if protect {
			s = staging(t, adoptedAndProtected)
		}
		if stack := stacksOf(s)["eu-west-1"]; stack != "staging-eu-west-1" {
			t.Errorf("the stack is %s", stack)
		}
		if got := once(t, s)["eu-west-1"].protected; got != protect {
			t.Errorf("the stack staging-eu-west-1 is protected: %v, want %v", got, protect)
		}
	}
}

func TestTagsAndPermissionsBoundaryAreOnTheWholeStack(t *testing.T) {
	tmpl := once(t, staging(t, ofTeam))["eu-west-1"]
	roles := tmpl.of("AWS::IAM::Role")
	for id, role := range roles {
		if role.at("PermissionsBoundary") != boundary {
			t.Errorf("%s has the boundary %v", id, role.at("PermissionsBoundary"))
		}
	}
	tagged := 0
	for id, r := range tmpl.Resources {
		tags, ok := r.Properties["Tags"]
		if !ok {
			continue
		}
		tagged++
		for key, value := range map[string]string{"application": "spillway", "pipeline": "staging", "team": "data"} {
			if all := text(tags); !strings.Contains(all, `{"Key":"`+key+`","Value":"`+value+`"}`) &&
				!strings.Contains(all, `"`+key+`":"`+value+`"`) {
				t.Errorf("%s has the tags %s, want %s=%s", id, all, key, value)
			}
		}
	}
	if len(roles) == 0 || tagged < 20 {
		t.Errorf("%d roles and %d resources with tags", len(roles), tagged)
	}
}

// The command line has no CDK to ask.
func TestTheRegionsThatSettingsKnowAreThoseOfTheCDK(t *testing.T) {
	if got, want := settings.Partitions(), knownRegions(); !maps.Equal(got, want) {
		t.Errorf("settings.Partitions has %v, and the CDK %v", got, want)
	}
}
