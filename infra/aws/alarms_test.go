package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

func TestTheTemplateHasEveryAlarmOfTheTopology(t *testing.T) {
	tmpl, _ := defaults()
	d := topology.Default()
	topic := `[{"Ref":"` + slices.Collect(maps.Keys(tmpl.of("AWS::SNS::Topic")))[0] + `"}]`
	notifies := func(name string, r resource) {
		if text(r.at("AlarmActions")) != topic || text(r.at("OKActions")) != topic {
			t.Errorf("%s notifies %v, and %v when it is over", name, r.at("AlarmActions"), r.at("OKActions"))
		}
	}
	for _, a := range d.Alarms {
		r := tmpl.named(t, "AWS::CloudWatch::Alarm", "AlarmName", a.Name)
		notifies(a.Name, r)
		comparison := map[bool]string{false: "GreaterThanThreshold", true: "LessThanThreshold"}[a.Below]
		if r.at("AlarmDescription") != a.Description() || r.at("Threshold") != a.Threshold ||
			r.at("EvaluationPeriods") != float64(a.Periods) ||
			r.at("DatapointsToAlarm") != float64(a.Breaching) || r.at("TreatMissingData") != string(a.Missing) ||
			r.at("ComparisonOperator") != comparison {
			t.Errorf("%s is %v, want %+v", a.Name, r.Properties, a)
		}
		queries, _ := r.at("Metrics").([]any)
		returned, expression := 0, ""
		for _, q := range queries {
			query := q.(map[string]any)
			if query["ReturnData"] == true {
				returned++
				expression, _ = query["Expression"].(string)
			}
			stat, _ := query["MetricStat"].(map[string]any)
			if period := stat["Period"]; stat != nil && period != a.Period.Seconds() {
				t.Errorf("%s: period of %v, want %v", a.Name, query, a.Period)
			}
		}
		if returned != 1 || expression != a.Expression {
			t.Errorf("%s: %d values, the last by %q, want one by %q", a.Name, returned, expression, a.Expression)
		}
	}
	for _, c := range d.Composites {
		r := tmpl.named(t, "AWS::CloudWatch::CompositeAlarm", "AlarmName", c.Name)
		notifies(c.Name, r)
		if r.at("AlarmDescription") != c.Description() {
			t.Errorf("%s: %v", c.Name, r.at("AlarmDescription"))
		}
	}
	if n, m := len(tmpl.of("AWS::CloudWatch::Alarm")),
		len(tmpl.of("AWS::CloudWatch::CompositeAlarm")); n != len(d.Alarms) || m != len(d.Composites) {
		t.Errorf("%d alarms and %d composites, want %d and %d", n, m, len(d.Alarms), len(d.Composites))
	}
}

func TestACompositeAlarmDependsOnTheAlarmsOfItsRule(t *testing.T) {
	got := rule(topology.Composite{Any: []string{"a", "b"}})
	if want := `ALARM("a") OR ALARM("b")`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	_, content := defaults()
	var tmpl struct {
		Resources map[string]struct {
			Type       string
			DependsOn  []string
			Properties struct{ AlarmRule string }
		}
	}
	if err := json.Unmarshal(content, &tmpl); err != nil {
		t.Fatal(err)
	}
	composites := 0
	for id, r := range tmpl.Resources {
		if r.Type != "AWS::CloudWatch::CompositeAlarm" {
			continue
		}
		composites++
		if alarms := strings.Count(r.Properties.AlarmRule, "ALARM("); alarms == 0 || len(r.DependsOn) != alarms {
			t.Errorf("%s waits for %v, and its rule is %s", id, r.DependsOn, r.Properties.AlarmRule)
		}
	}
	if want := len(topology.Default().Composites); composites != want {
		t.Errorf("%d composite alarms, want %d", composites, want)
	}
}

// A topic with a policy allows only what the policy says.
func TestCloudWatchMayPublishToTheTopicAndPeopleGetMail(t *testing.T) {
	tmpl := with(t, func(s *settings) { s.Emails = []string{"ops@example.com", "dev@example.com"} })
	allowed, denied := false, false
	for _, policy := range tmpl.of("AWS::SNS::TopicPolicy") {
		for _, s := range statements(policy.at("PolicyDocument")) {
			allowed = allowed || text(s["Principal"]) == `{"Service":"cloudwatch.amazonaws.com"}` &&
				s["Action"] == "sns:Publish" && strings.Contains(text(s["Condition"]), "aws:SourceAccount")
			denied = denied || s["Effect"] == "Deny" && strings.Contains(text(s["Condition"]), "aws:SecureTransport")
		}
	}
	if !allowed || !denied {
		t.Errorf("CloudWatch may publish: %v; publishing without TLS is denied: %v", allowed, denied)
	}
	var mails []string
	for _, s := range tmpl.of("AWS::SNS::Subscription") {
		mails = append(mails, fmt.Sprint(s.at("Protocol"), " ", s.at("Endpoint")))
	}
	slices.Sort(mails)
	if !slices.Equal(mails, []string{"email dev@example.com", "email ops@example.com"}) {
		t.Errorf("subscriptions %v", mails)
	}
}

// dashboard is the dashboard's body, with X for what CloudFormation fills in.
func dashboard(t *testing.T, tmpl template) (body struct {
	Widgets []struct {
		Type                string
		X, Y, Width, Height int
		Properties          map[string]any
	}
}) {
	t.Helper()
	for _, r := range tmpl.of("AWS::CloudWatch::Dashboard") {
		content, ok := r.at("DashboardBody").(string)
		if join, isJoin := r.at("DashboardBody", "Fn::Join").([]any); isJoin {
			ok = true
			for _, part := range join[1].([]any) {
				if s, isText := part.(string); isText {
					content += s
				} else {
					content += "X"
				}
			}
		}
		if err := json.Unmarshal([]byte(content), &body); err != nil || !ok {
			t.Fatalf("the dashboard is not JSON: %v\n%s", err, content)
		}
	}
	return body
}

func TestTheDashboardShowsEveryAlarmAndEveryWidgetOnce(t *testing.T) {
	tmpl, _ := defaults()
	d := topology.Default()
	body := dashboard(t, tmpl)
	var titles, want []string
	taken := map[[2]int]string{}
	for _, w := range body.Widgets {
		title := fmt.Sprint(w.Properties["title"])
		titles = append(titles, title)
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s covers %s, or is too wide", title, other)
				}
				taken[[2]int{x, y}] = title
			}
		}
	}
	want = append(want, "Alarms")
	for _, row := range d.Dashboard() {
		for _, w := range row {
			want = append(want, w.Title)
		}
	}
	if !slices.Equal(titles, want) {
		t.Errorf("widgets %q, want %q", titles, want)
	}
	if alarms, _ := body.Widgets[0].Properties["alarms"].([]any); len(alarms) != len(d.Alarms)+len(d.Composites) {
		t.Errorf("%d alarms are shown, want %d", len(alarms), len(d.Alarms)+len(d.Composites))
	}
}
