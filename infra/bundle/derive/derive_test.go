package derive_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle/derive"
	"github.com/spillwayhq/spillway/infra/bundle/template"
	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400) // as usual, half of the CPU would be the collector's
	m.Run()
}

// app synthesises a template of one resource with these properties.
func app(properties func(*template.Choice) map[string]any) derive.Synthesise {
	return func(c *template.Choice) ([]byte, error) {
		return json.Marshal(map[string]any{"Resources": map[string]any{"Thing": map[string]any{"Type": "A::Thing",
			"Properties": properties(c)}}})
	}
}

// properties are those of the resource in the template of a release, as JSON.
func properties(t *testing.T, content []byte) string {
	t.Helper()
	var tree struct {
		Resources map[string]struct{ Properties any }
	}
	if err := json.Unmarshal(content, &tree); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(tree.Resources["Thing"].Properties)
	return string(text)
}

func TestWhatSettingsChangeBecomesAParameterOrACondition(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*template.Choice) any
		want string
	}{
		"a constant": {func(*template.Choice) any { return "${!}" + "${hour}" }, `"${!}${hour}"`},
		"a number":   {func(c *template.Choice) any { return c.Settings.BatchSize }, `{"Ref":"BatchSize"}`},
		"a text":     {func(c *template.Choice) any { return c.Settings.Runbook + "#v1" }, `{"Fn::Sub":"${Runbook}#v1"}`},
		"a text with what looks like a parameter": {func(c *template.Choice) any { return c.Settings.Name + "-${hour}" },
			`{"Fn::Sub":"${Name}-${!hour}"}`},
		"texts joined": {func(c *template.Choice) any {
			return map[string]any{"Fn::Join": []any{"", []any{"arn:", map[string]any{"Ref": "AWS::Partition"}, ":" + c.Settings.Name,
				map[string]any{"Fn::GetAtt": []any{"Thing", "Arn"}}}}}
		}, `{"Fn::Sub":"arn:${AWS::Partition}:${Name}${Thing.Arn}"}`},
		"the region": {func(c *template.Choice) any { return c.Settings.Regions[0] }, `{"Ref":"AWS::Region"}`},
		"there or not": {func(c *template.Choice) any {
			if c.Settings.Archive {
				return []int{1}
			}
			return nil
		}, `{"Spillway::If":["Archive",[1],null]}`},
		"one of two, that depends on another": {func(c *template.Choice) any {
			return fmt.Sprint(c.Settings.EventBridge, c.Settings.OKNotifications)
		}, `{"Spillway::If":["EventBridge",{"Spillway::If":["OKNotifications","true true","true false"]},` +
			`{"Spillway::If":["OKNotifications","false true","false false"]}]}`},
		"an element of a list": {func(c *template.Choice) any {
			if c.Settings.EventBridge {
				return []any{"a", "bus", c.Settings.LogLevel}
			}
			return []any{"a", c.Settings.LogLevel}
		}, `["a",{"Spillway::If":["EventBridge","bus"]},{"Ref":"LogLevel"}]`},
	} {
		got, err := derive.Template(app(func(choice *template.Choice) map[string]any {
			return map[string]any{"P": c.make(choice)}
		}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := `{"P":` + c.want + `}`; properties(t, got) != want {
			t.Errorf("%s: %s, want %s", name, properties(t, got), want)
		}
	}
}

func TestWhatCannotBeExplainedIsAnError(t *testing.T) {
	calls := 0
	for name, c := range map[string]struct {
		make func(*template.Choice) any
		want string
	}{
		"a computed number": {func(c *template.Choice) any { return 2 * c.Settings.BatchSize }, "no parameter says so"},
		"a number in a text": {func(c *template.Choice) any { return fmt.Sprint(c.Settings.BatchSize, "?") },
			"differ by more than parameters"},
		"a key":    {func(c *template.Choice) any { return map[string]any{c.Settings.Name: 1} }, "its keys differ"},
		"a length": {func(c *template.Choice) any { return make([]int, c.Settings.BatchSize%5) }, "its length differs"},
		"chance":   {func(*template.Choice) any { calls++; return calls }, "no parameter says so"},
	} {
		_, err := derive.Template(app(func(choice *template.Choice) map[string]any {
			return map[string]any{"P": c.make(choice)}
		}))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "/Resources/Thing/Properties/P") {
			t.Errorf("%s: %v, want an error with %q and the path", name, err, c.want)
		}
	}
}
