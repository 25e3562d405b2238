package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A graph has what each resource of a template waits for, by logical IDs.
type graph map[string][]string

// graphOf reads what CloudFormation infers from references, and what a resource says itself. AWS
// does not document whether it infers anything from an update policy: with all, that counts too.
func graphOf(t *testing.T, tmpl template, all bool) graph {
	t.Helper()
	var raw struct{ Resources map[string]map[string]any }
	if err := json.Unmarshal(tmpl.content, &raw); err != nil {
		t.Fatal(err)
	}
	g := graph{}
	for id, r := range raw.Resources {
		found := map[string]bool{}
		for _, name := range texts(r["DependsOn"]) {
			found[name] = true
		}
		references(r["Properties"], found)
		if all {
			references(r["UpdatePolicy"], found)
		}
		for name := range found {
			if raw.Resources[name] != nil { // otherwise it is a parameter, like AWS::Region
				g[id] = append(g[id], name)
			}
		}
		slices.Sort(g[id])
	}
	return g
}

// references adds what a value refers to.
func references(value any, found map[string]bool) {
	switch v := value.(type) {
	case []any:
		for _, inner := range v {
			references(inner, found)
		}
	case map[string]any:
		for key, inner := range v {
			switch name, isText := inner.(string); {
			case key == "Ref" && isText:
				found[name] = true
			case key == "Fn::GetAtt":
				name, _, _ = strings.Cut(texts(inner)[0], ".")
				found[name] = true
			case key == "Fn::Sub":
				for _, part := range strings.Split(fmt.Sprint(inner), "${")[1:] {
					name, _, _ := strings.Cut(part, "}")
					name, _, _ = strings.Cut(name, ".")
					found[name] = true
				}
			default:
				references(inner, found)
			}
		}
	}
}

// before are all resources that CloudFormation has done when it begins with one.
func (g graph) before(id string) map[string]bool {
	all := map[string]bool{}
	var visit func(string)
	visit = func(id string) {
		for _, next := range g[id] {
			if !all[next] {
				all[next] = true
				visit(next)
			}
		}
	}
	visit(id)
	return all
}

// cycle returns a resource that waits for itself; empty: there is none.
func (g graph) cycle() string {
	for _, id := range slices.Sorted(maps.Keys(g)) {
		if g.before(id)[id] {
			return id
		}
	}
	return ""
}

func TestACycleIsFoundWhereverItIsWritten(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{`"DependsOn": "B"`, `"DependsOn": ["A"]`},
		{`"Properties": {"X": [{"Y": {"Ref": "B"}}]}`, `"Properties": {"X": {"Fn::GetAtt": ["A", "Arn"]}}`},
		{`"Properties": {"X": {"Fn::Join": ["", ["x", {"Ref": "B"}]]}}`, `"Properties": {"X": {"Fn::Sub": "x${A.Arn}"}}`},
		{`"UpdatePolicy": {"X": {"Ref": "B"}}`, `"Properties": {"X": {"Fn::GetAtt": "A.Arn"}}`},
	} {
		tmpl := template{content: fmt.Appendf(nil, `{"Resources": {"A": {%s}, "B": {%s}, "C": {"DependsOn": "A"}}}`, c.a,
			c.b)}
		if got := graphOf(t, tmpl, true).cycle(); got != "A" {
			t.Errorf("%s, %s: the cycle begins at %q", c.a, c.b, got)
		}
	}
}

// rollouts are the kinds of templates, with the functions that have versions.
var rollouts = map[string]struct {
	template func(*testing.T) template
	pipeline string
	live     []string
	steps    bool // with CodeDeploy
}{
	"defaults": {func(t *testing.T) template { return defaults(t) }, "spillway", []string{"Deliver", "Ingest"}, true},
	"all":      {func(t *testing.T) template { return archived(t) }, "spillway", []string{"Deliver", "Ingest"}, false},
	// An alias has another URL.
	"function URL":   {func(t *testing.T) template { return several(t) }, "spillway", []string{"Deliver"}, true},
	"publishers":     {func(t *testing.T) template { return publishers(t)["eu-west-1"] }, "spillway", []string{"Deliver"}, true},
	"adopted queues": {adopted, "staging", []string{"Deliver", "Ingest"}, true},
}

func TestNothingInAStackWaitsForItself(t *testing.T) {
	for name, c := range rollouts {
		g := graphOf(t, c.template(t), true)
		if at := g.cycle(); at != "" {
			t.Errorf("%s: %s waits for itself, by %v", name, at, slices.Sorted(maps.Keys(g.before(at))))
		}
		if len(g) < 20 {
			t.Errorf("%s: only %d resources were looked at", name, len(g))
		}
	}
}

// A deployment of one alias is the last that CloudFormation does of it: alarms that came later
// would miss the first minutes of the new version, and a rollout function that came later would be
// the old one, which tries the old version.
func TestAnAliasMovesOnlyWhenAllThatWatchesTheNewVersionIsThere(t *testing.T) {
	for name, c := range rollouts {
		tmpl := c.template(t)
		g := graphOf(t, tmpl, false)
		var live []string
		for id, alias := range tmpl.of("AWS::Lambda::Alias") {
			function := strings.TrimSuffix(id[:strings.Index(id, "Live")+len("Live")], "Live")
			live = append(live, function)
			if alias.at("Name") != "live" || alias.DeletionPolicy != "" {
				t.Errorf("%s: the alias %s is %v", name, id, alias)
			}
			first := g.before(id)
			for _, kind := range []string{"AWS::CodeDeploy::DeploymentGroup", "AWS::CloudWatch::Alarm", "AWS::Lambda::Version"} {
				own := 0
				for other := range tmpl.of(kind) {
					if !strings.HasPrefix(other, function) || kind == "AWS::CloudWatch::Alarm" && other != function+"VersionAlarm" {
						continue
					}
					own++
					if !first[other] {
						t.Errorf("%s: %s moves before %s is there", name, id, other)
					}
				}
				if want := c.steps || kind == "AWS::Lambda::Version"; (own == 1) != want || own > 1 {
					t.Errorf("%s: %s has %d of %s", name, function, own, kind)
				}
			}
			if tried := slices.ContainsFunc(slices.Collect(maps.Keys(first)), func(id string) bool {
				return tmpl.Resources[id].at("FunctionName") == c.pipeline+"-rollout"
			}); tried != c.steps {
				t.Errorf("%s: %s moves after the rollout function is there: %v", name, id, tried)
			}
		}
		if slices.Sort(live); !slices.Equal(live, c.live) {
			t.Errorf("%s: %v have an alias, want %v", name, live, c.live)
		}
	}
}

func TestTheEventSourcesAndTheEndpointInvokeTheAlias(t *testing.T) {
	for name, c := range rollouts {
		tmpl := c.template(t)
		aliases := map[string]string{} // the reference to the alias, by function
		for id := range tmpl.of("AWS::Lambda::Alias") {
			aliases[id[:strings.Index(id, "Live")]] = `{"Ref":"` + id + `"}`
		}
		for id, source := range tmpl.exactly(t, 2, "AWS::Lambda::EventSourceMapping") {
			target := text(source.at("FunctionName"))
			if !strings.Contains(target, aliases["Deliver"]) || !strings.HasSuffix(target, `":live"]]}`) {
				t.Errorf("%s: %s feeds %s", name, id, target)
			}
		}
		g := graphOf(t, tmpl, false)
		for id, integration := range tmpl.of("AWS::ApiGatewayV2::Integration") {
			if target := text(integration.at("IntegrationUri")); target != aliases["Ingest"] {
				t.Errorf("%s: the endpoint invokes %s", name, target)
			}
			allowed := 0
			for permission, r := range tmpl.of("AWS::Lambda::Permission") {
				if r.at("Principal") == "apigateway.amazonaws.com" && text(r.at("FunctionName")) == aliases["Ingest"] {
					allowed++
					if !g.before(id)[permission] {
						t.Errorf("%s: the endpoint invokes the alias before it may", name)
					}
				}
			}
			if allowed != 1 {
				t.Errorf("%s: %d permissions for the endpoint", name, allowed)
			}
		}
	}
}

// An alarm with the name of one that exists would be that one, and may fire already.
func TestTheAlarmOnAVersionHasItsNumberInNameAndMetrics(t *testing.T) {
	tmpl := defaults(t)
	d := usual()
	for id, version := range tmpl.exactly(t, 2, "AWS::Lambda::Version") {
		function := id[:strings.Index(id, "CurrentVersion")]
		number := `{"Fn::GetAtt":["` + id + `","Version"]}`
		alarm := tmpl.Resources[function+"VersionAlarm"]
		want := d.VersionAlarm(d.Names.Pipeline+"-"+strings.ToLower(function), "N")
		if name := text(alarm.at("AlarmName")); name != `{"Fn::Join":["",["`+strings.TrimSuffix(want.Name,
			"N")+`",`+number+`]]}` {
			t.Errorf("the alarm is called %s", name)
		}
		if alarm.at("AlarmActions") != nil || alarm.at("OKActions") != nil {
			t.Errorf("%s notifies somebody, beside the one who deploys", function)
		}
		ofVersion := 0
		for _, q := range alarm.at("Metrics").([]any) {
			if strings.Contains(text(q.(map[string]any)["MetricStat"]), number) {
				ofVersion++
			}
		}
		if ofVersion != 5 || len(want.Metrics) != 10 { // and the same of all versions
			t.Errorf("%s: %d of %d metrics are the version's", function, ofVersion, len(want.Metrics))
		}
		if version.DeletionPolicy != "RetainExceptOnCreate" {
			t.Errorf("%s is not there to go back to, or is in the way when it is made again: %s", id, version.DeletionPolicy)
		}
	}
	for id, group := range tmpl.exactly(t, 2, "AWS::CodeDeploy::DeploymentGroup") {
		alarm := strings.TrimSuffix(id, "Deployment") + "VersionAlarm"
		if text(group.at("AlarmConfiguration")) != `{"Alarms":[{"Name":{"Ref":"`+alarm+`"}}],"Enabled":true}` ||
			group.at("AutoRollbackConfiguration", "Enabled") != true ||
			!strings.Contains(text(group.at("AutoRollbackConfiguration")), "DEPLOYMENT_STOP_ON_ALARM") {
			t.Errorf("%s goes back by %v", id, group.Properties)
		}
		if config := group.at("DeploymentConfigName"); config != fmt.Sprintf("CodeDeployDefault.LambdaCanary%dPercent%dMinutes",
			int(100*topology.CanaryShare), int(topology.CanaryTime.Minutes())) {
			t.Errorf("%s shifts by %v", id, config)
		}
	}
}

func TestWithoutStepsThereIsNothingOfCodeDeploy(t *testing.T) {
	tmpl := archived(t)
	content := string(tmpl.content)
	for _, word := range []string{"CodeDeploy", "codedeploy", "spillway-rollout", "VersionAlarm", "UpdatePolicy"} {
		if strings.Contains(content, word) {
			t.Errorf("the template has %s", word)
		}
	}
	if n := tmpl.concurrency(t); n[0] != 10 || n[1] != 2 {
		t.Errorf("maximum concurrency is %v, want 10 and 2, all that is reserved: nothing tries a version", n)
	}
}

func TestTheRolloutFunctionTriesTheVersionsOfTheFunctionsThatHaveAny(t *testing.T) {
	for name, c := range rollouts {
		if !c.steps {
			continue
		}
		tmpl := c.template(t)
		f := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", c.pipeline+"-rollout")
		for function, variable := range map[string]string{"Deliver": "SPILLWAY_DELIVER_VERSION",
			"Ingest": "SPILLWAY_INGEST_VERSION"} {
			want := slices.Contains(c.live, function)
			version := text(f.at("Environment", "Variables", variable))
			if strings.HasPrefix(version, `{"Ref":"`+function+"CurrentVersion") != want || (version == "null") == want {
				t.Errorf("%s: %s is %s", name, variable, version)
			}
			for _, part := range []string{`:function:PIPELINE-%s:*"`, `:deploymentgroup:PIPELINE-rollout/PIPELINE-%s"`} {
				part = strings.ReplaceAll(fmt.Sprintf(part, strings.ToLower(function)), "PIPELINE", c.pipeline)
				if may := strings.Contains(string(tmpl.content), part); may != want {
					t.Errorf("%s: something may use %s: %v", name, part, may)
				}
			}
		}
		for id, alias := range tmpl.of("AWS::Lambda::Alias") {
			if !strings.Contains(string(tmpl.content), `"BeforeAllowTrafficHook"`) {
				t.Errorf("%s: nothing tries the version before %s moves: %v", name, id, alias)
			}
		}
	}
}

// What stays the same must keep its logical ID, or CloudFormation would make it anew: an alias
// would then lose its event source for a moment.
func TestAChangedFunctionIsANewVersionUnderTheSameAlias(t *testing.T) {
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	ids := func(level string) (versions, others []string) {
		s.LogLevel = level
		for id, r := range once(t, &s)["eu-west-1"].Resources {
			if r.Type == "AWS::Lambda::Version" {
				versions = append(versions, id)
			} else {
				others = append(others, id)
			}
		}
		slices.Sort(versions)
		slices.Sort(others)
		return versions, others
	}
	before, rest := ids("info")
	after, same := ids("debug")
	if len(after) != 2 || after[0] == before[0] || after[1] == before[1] {
		t.Errorf("versions %v, then %v", before, after)
	}
	if !slices.Equal(rest, same) {
		t.Errorf("other resources %v, then %v", rest, same)
	}
}

func TestTheRolloutIsByStepsOrAtOnce(t *testing.T) {
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	if err := s.Set("rollout", "half"); err == nil || err.Error() != `rollout must be canary or all, is "half"` {
		t.Errorf("got %v", err)
	}
}
