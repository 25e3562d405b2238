package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle/template"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// resolve resolves a template with the default settings, changed.
func resolve(t *testing.T, content string, change func(*settings.Settings)) (*template.Template, error) {
	t.Helper()
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	if change != nil {
		change(&s)
	}
	c := &template.Choice{Settings: &s, Version: "v1.2.3"}
	values := template.Values(c)
	values["DeliverCode"] = "functions/deliver.zip"
	return template.Resolve([]byte(content), template.Holding(c), values)
}

func TestConditionsAreDecidedAndWhatIsNotUsedIsNotDeclared(t *testing.T) {
	got, err := resolve(t, `{"Resources": {"A": {"Type": "T", "Properties": {
		"Gone": {"Spillway::If": ["Archive", {"Ref": "ArchiveDays"}]},
		"Other": {"Spillway::If": ["Archive", 1, {"Spillway::Unless": ["ArchiveTable", {"Ref": "BatchSize"}]}]},
		"List": ["a", {"Spillway::If": ["Archive", "b"]}, {"Spillway::If": ["Rollout", {"Fn::Sub": "${Name}-${A}"}]}]}},
		"B": {"Spillway::If": ["Archive", {"Type": "T"}]}}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := got.JSON()
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(content)), "")
	for _, want := range []string{
		`"Resources":{"A":{"Properties":{"List":["a",{"Fn::Sub":"${Name}-${A}"}],"Other":{"Ref":"BatchSize"}},"Type":"T"}}`,
		`"Parameters":{"BatchSize":`,
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("%s\nlacks %s", flat, want)
		}
	}
	if values := got.Values(); len(values) != 2 || values["BatchSize"] != "100" || values["Name"] != "spillway" {
		t.Errorf("the values are %v", values)
	}
}

func TestATemplateThatIsNotOneOfAReleaseIsAnError(t *testing.T) {
	for content, want := range map[string]string{
		``:                     "read the template",
		`[]`:                   "read the template",
		`{}`:                   "it has no resources",
		`{"Resources": {}} {}`: "something follows its JSON",
		`{"Resources": {"A": {"Spillway::If": ["Mars", 1]}}}`:                      `unknown condition "Mars"`,
		`{"Resources": {"A": {"Spillway::If": "Archive"}}}`:                        "Spillway::If has 0 parts",
		`{"Resources": {"A": {"Spillway::Unless": ["Archive", 1, 2]}}}`:            "Spillway::Unless has 3 parts",
		`{"Resources": {"A": {"Type": "T", "P": {"Ref": "Nothing"}}}}`:             "refers to Nothing, which it does not have",
		`{"Resources": {"A": {"Type": "T", "P": {"Fn::Sub": "${Nothing.Arn}"}}}}`:  "refers to Nothing.Arn",
		`{"Resources": {"A": {"Type": "T", "P": {"Ref": "MarsCode"}}}}`:            "needs a parameter MarsCode, which is not known",
		`{"Resources": {"V": {"Type": "AWS::Lambda::Version", "Properties": {}}}}`: "the version V is of no function",
	} {
		if _, err := resolve(t, content, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", content, err, want)
		}
	}
	long := func(s *settings.Settings) { s.Runbook = "https://example.com/" + strings.Repeat("a", 5000) }
	_, err := resolve(t, `{"Resources": {"A": {"Type": "T", "P": {"Ref": "Runbook"}}}}`, long)
	if err == nil || !strings.Contains(err.Error(), "the parameter Runbook must have at most 4096 bytes, has 5020") {
		t.Errorf("a long value: %v", err)
	}
}

func TestOnlySecretsAreSecret(t *testing.T) {
	got, err := resolve(t, `{"Resources": {"A": {"Type": "T", "P": [{"Ref": "CanaryWriteKey"}, {"Ref": "Name"}]}}}`,
		func(s *settings.Settings) { s.CanaryWriteKey = "secret" })
	if err != nil {
		t.Fatal(err)
	}
	content, err := got.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Parameters map[string]struct{ NoEcho bool }
	}
	if err := json.Unmarshal(content, &made); err != nil || !made.Parameters["CanaryWriteKey"].NoEcho ||
		strings.Count(string(content), `"NoEcho": true`) != 1 || strings.Contains(string(content), `"secret"`) {
		t.Errorf("the secrets are not CanaryWriteKey alone, %v: %s", err, content)
	}
}
