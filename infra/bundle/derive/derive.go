// Package derive makes the template of a release from templates that the CDK app makes: it gives the
// app probes, settings in which each value is one that nothing else has, and looks at where the values
// are, and at what a template lacks if one condition does not hold.
//
// So the code that makes the stacks of the CDK app makes that of a release too, and knows nothing of
// it: no number stands twice, and what is added to a stack is in both. What can't be found out so
// is an error. That what is found out is right, for settings that were no probe, is what
// Differences is for.
package derive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/bundle/template"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// Synthesise makes the template that the CDK app makes for a choice, in a stack that is not there yet.
type Synthesise func(*template.Choice) ([]byte, error)

// Template makes the template of a release, as JSON that package template resolves. It synthesises
// some fifty templates.
func Template(synthesise Synthesise) ([]byte, error) {
	made := map[string]map[string]any{}
	all := &trees{get: func(without []string) (map[string]any, error) {
		without = slices.Clone(without)
		slices.Sort(without)
		key := strings.Join(without, " ")
		if made[key] == nil {
			tree, err := probe(synthesise, without)
			if err != nil {
				return nil, fmt.Errorf("without %v: %w", without, err)
			}
			made[key] = tree
		}
		return made[key], nil
	}}
	base, err := all.get(nil)
	if err != nil {
		return nil, err
	}
	without := map[string]any{}
	for _, condition := range template.Conditions() {
		if without[condition.Name], err = all.get([]string{condition.Name}); err != nil {
			return nil, err
		}
	}
	merged, err := merge(place{trees: all}, base, without)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err = encoder.Encode(merged)
	return out.Bytes(), err
}

// probe is the template with parameters, without some conditions.
func probe(synthesise Synthesise, without []string) (map[string]any, error) {
	var p pair
	var found [2]map[string]any
	for i, at := range []*values{&p.a, &p.b} {
		c, err := choice(i, without)
		if err != nil {
			return nil, err
		}
		*at = valuesOf(c)
		content, err := synthesise(c)
		if err != nil {
			return nil, err
		}
		if found[i], err = parse(content); err != nil {
			return nil, err
		}
	}
	tree, err := p.parameterise("", found[0], found[1])
	if err != nil {
		return nil, err
	}
	return tree.(map[string]any), nil
}

// choice is the one or the other probe, in which all conditions hold but these.
func choice(i int, without []string) (*template.Choice, error) {
	one := func(texts ...string) string { return texts[i] }
	names, err := topology.NewNames(one("zqa-one", "qzb-other"))
	if err != nil {
		return nil, err
	}
	s := settings.Default(names, one("ap-southeast-4", "us-gov-west-1"))
	for name, values := range map[string][2]string{
		"reservedConcurrency": {"941", "877"}, "maximumConcurrency": {"811", "677"}, "batchSize": {"7919", "6421"},
		"batchingWindowSeconds": {"1", "299"}, "logRetentionDays": {"365", "180"}, "logLevel": {"debug", "warn"},
		"architecture": {"arm64", "x86_64"}, "requestsPerSecond": {"4001", "9973"},
		"publicURL":  {"https://public-one.example.com", "https://public-other.example.org"},
		"pathPrefix": {"/prefix-one", "/other/prefix"}, "fairQueues": {"true", "false"},
		"segmentEndpoint":          {"https://segment-one.example.com", "https://segment-other.example.org"},
		"segmentEndpointParameter": {"/probe/endpoint-one", "endpoint-other"},
		"writeKeyParameter":        {"/probe/key-one", "key-other"},
		"writeKeysObject":          {"s3://bucket-one-{region}/keys/object-one.json", "s3://bucket-other/object-other.json"},
		"canaryWriteKey":           {"canarykeyone", "canarykeyother"}, "emails": {"alarm-one@example.com", "alarm-other@example.org"},
		"ticketEmails": {"ticket-one@example.com", "ticket-other@example.org"}, "archive": {"true", "true"},
		"archiveDays": {"3001", "2003"}, "archiveTable": {"true", "true"}, "eventBridge": {"true", "true"},
		"runbook": {"https://runbook-one.example.com/page", "https://runbook-other.example.org/page"},
		"permissionsBoundary": {"arn:aws:iam::123456789012:policy/boundary-one",
			"arn:aws-us-gov:iam::210987654321:policy/boundary-other"},
	} {
		if err := s.Set(name, values[i]); err != nil {
			return nil, err
		}
	}
	// After the object, which takes the default parameter away: the map has no order.
	s.WriteKeysParameters = []string{one("/probe/all-keys-one", "all-keys-other")}
	c := &template.Choice{Settings: &s, Version: one("v987.1.0", "v654.3.2")}
	for _, condition := range without {
		change, ok := changes[condition]
		if !ok {
			return nil, fmt.Errorf("no probe is without the condition %s", condition)
		}
		change(c)
	}
	for name, holds := range template.Holding(c) {
		implied := name == "ArchiveTable" && slices.Contains(without, "Archive")
		if holds == slices.Contains(without, name) && !implied {
			return nil, fmt.Errorf("the condition %s is %v in the probe without %v", name, holds, without)
		}
	}
	return c, nil
}

// changes make the conditions not hold.
var changes = map[string]func(*template.Choice){
	"OwnQueues":                func(c *template.Choice) { c.Adopt = true },
	"HTTPAPI":                  func(c *template.Choice) { c.Settings.IngestEndpoint = settings.FunctionURL },
	"Rollout":                  func(c *template.Choice) { c.Settings.Rollout = settings.RolloutAll },
	"Archive":                  func(c *template.Choice) { c.Settings.Archive, c.Settings.ArchiveTable = false, false },
	"ArchiveTable":             func(c *template.Choice) { c.Settings.ArchiveTable = false },
	"EventBridge":              func(c *template.Choice) { c.Settings.EventBridge = false },
	"OKNotifications":          func(c *template.Choice) { c.Settings.OKNotifications = false },
	"ReservedConcurrency":      func(c *template.Choice) { c.Settings.ReservedConcurrency = 0 },
	"FairQueues":               func(c *template.Choice) { c.Settings.FairQueues = settings.FairAuto },
	"PublicURL":                func(c *template.Choice) { c.Settings.PublicURL = "" },
	"PathPrefix":               func(c *template.Choice) { c.Settings.PathPrefix = "" },
	"SegmentEndpointParameter": func(c *template.Choice) { c.Settings.EndpointParameter = "" },
	"WriteKeyParameter":        func(c *template.Choice) { c.Settings.WriteKeyParameter = "" },
	"WriteKeysParameter":       func(c *template.Choice) { c.Settings.WriteKeysParameters = nil },
	"WriteKeysObject":          func(c *template.Choice) { c.Settings.WriteKeysObject = "" },
	"CanaryWriteKey":           func(c *template.Choice) { c.Settings.CanaryWriteKey = "" },
	"AlarmEmail":               func(c *template.Choice) { c.Settings.Emails = nil },
	"TicketEmail":              func(c *template.Choice) { c.Settings.TicketEmails = []string{} },
	"PermissionsBoundary":      func(c *template.Choice) { c.Settings.PermissionsBoundary = "" },
	"DashboardURL": func(c *template.Choice) { // regions whose console is not public
		c.Settings.Regions = []string{map[string]string{"ap-southeast-4": "us-iso-east-1",
			"us-gov-west-1": "us-isob-east-1"}[c.Settings.Regions[0]]}
	},
}
