package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
)

func TestTheTemplateHasEveryAlarmOfTheTopology(t *testing.T) {
	tmpl := defaults(t)
	d := usual()
	topics := map[string]string{"": "null"} // references in the template, by the topic's name
	for id, r := range tmpl.exactly(t, 2, "AWS::SNS::Topic") {
		topics[fmt.Sprint(r.at("TopicName"))] = `[{"Ref":"` + id + `"}]`
	}
	notifies := func(name string, r resource) {
		want, exists := topics[d.Notifies(name)]
		if !exists || text(r.at("AlarmActions")) != want || text(r.at("OKActions")) != want {
			t.Errorf("%s notifies %v, and %v when it is over, want %s", name, r.at("AlarmActions"), r.at("OKActions"), want)
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
		suppressor := any(nil)
		if c.Suppressor != "" {
			suppressor = c.Suppressor
		}
		if r.at("AlarmDescription") != c.Description() || r.at("AlarmRule") != rule(c) ||
			r.at("ActionsSuppressor") != suppressor ||
			c.Suppressor != "" && (r.at("ActionsSuppressorWaitPeriod") != c.Wait.Seconds() ||
				r.at("ActionsSuppressorExtensionPeriod") != c.Extension.Seconds()) {
			t.Errorf("%s is %v, want %+v", c.Name, r.Properties, c)
		}
	}
	want := len(d.Alarms) + len(d.Routing) + len(tmpl.of("AWS::Lambda::Version")) // each has one
	if n, m := len(tmpl.of("AWS::CloudWatch::Alarm")),
		len(tmpl.of("AWS::CloudWatch::CompositeAlarm")); n != want || m != len(d.Composites) {
		t.Errorf("%d alarms and %d composites, want %d and %d", n, m, want, len(d.Composites))
	}
}

// Route 53 reads the alarm's metric itself, and knows no queries.
func TestAnAlarmForRoute53NamesItsMetricAndHasNoActions(t *testing.T) {
	tmpl := defaults(t)
	d := usual()
	for _, a := range d.Routing {
		r := tmpl.named(t, "AWS::CloudWatch::Alarm", "AlarmName", a.Name)
		if r.at("Metrics") != nil || r.at("AlarmActions") != nil || r.at("OKActions") != nil {
			t.Errorf("%s has queries or actions: %v", a.Name, r.Properties)
		}
		m := a.Metrics[0]
		namespace, dimensions := emf.Namespace, 2
		if m.Queue != "" {
			namespace, dimensions = "AWS/SQS", 1
		}
		if r.at("Namespace") != namespace || r.at("MetricName") != m.Name || r.at("Statistic") != m.Statistic ||
			r.at("Period") != a.Period.Seconds() || len(r.at("Dimensions").([]any)) != dimensions {
			t.Errorf("%s watches %v", a.Name, r.Properties)
		}
		if r.at("EvaluationPeriods") != float64(a.Periods) || r.at("DatapointsToAlarm") != float64(a.Breaching) ||
			r.at("TreatMissingData") != string(a.Missing) || r.at("Threshold") != a.Threshold ||
			r.at("AlarmDescription") != a.Description() {
			t.Errorf("%s is %v, want %+v", a.Name, r.Properties, a)
		}
	}
}

// What CloudWatch does with a suppressor is documented in its API reference, PutCompositeAlarm.
func TestACompositeWaitsForTheAlarmThatSuppressesIt(t *testing.T) {
	got := composite(topology.Composite{Name: "narrow", Any: []string{"a"}, Suppressor: "wide", Wait: time.Minute,
		Extension: 2 * time.Minute}, alarmActions{})
	if *got.ActionsSuppressor.(*string) != "wide" || *got.ActionsSuppressorWaitPeriod != 60 ||
		*got.ActionsSuppressorExtensionPeriod != 120 {
		t.Errorf("%+v", got)
	}
	if alone := composite(topology.Composite{Any: []string{"a"}}, alarmActions{}); alone.ActionsSuppressor != nil ||
		alone.ActionsSuppressorWaitPeriod != nil {
		t.Errorf("without one: %+v", alone)
	}
}

func TestWithoutOKNotificationsOnlyAnAlarmThatFiresNotifies(t *testing.T) {
	tmpl := several(t)
	notifying := 0
	for _, kind := range []string{"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"} {
		for id, r := range tmpl.of(kind) {
			if r.at("OKActions") != nil {
				t.Errorf("%s notifies when it is over", id)
			}
			if r.at("AlarmActions") != nil {
				notifying++
			}
		}
	}
	if notifying < 5 {
		t.Errorf("only %d alarms notify when they fire", notifying)
	}
}

func TestAlarmsReferToTheRunbookOfTheSetting(t *testing.T) {
	tmpl := several(t)
	for id, r := range tmpl.of("AWS::CloudWatch::Alarm") {
		said := fmt.Sprint(r.at("AlarmDescription"))
		if !strings.Contains(said, "More: https://wiki.example.com/spillway#") || len(said) > 1024 {
			t.Errorf("%s says %q", id, said)
		}
	}
}

func TestACompositeAlarmDependsOnTheAlarmsOfItsRule(t *testing.T) {
	got := rule(topology.Composite{Any: []string{"a", "b"}})
	if want := `ALARM("a") OR ALARM("b")`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	content := defaults(t).content
	var tmpl struct {
		Resources map[string]struct {
			Type       string
			DependsOn  []string
			Properties struct{ AlarmRule, ActionsSuppressor string }
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
		alarms := strings.Count(r.Properties.AlarmRule, "ALARM(")
		if r.Properties.ActionsSuppressor != "" {
			alarms++
		}
		if alarms == 0 || len(r.DependsOn) != alarms {
			t.Errorf("%s waits for %v, and its rule is %s", id, r.DependsOn, r.Properties.AlarmRule)
		}
	}
	if want := len(usual().Composites); composites != want {
		t.Errorf("%d composite alarms, want %d", composites, want)
	}
}

// A topic with a policy allows only what the policy says.
func TestCloudWatchMayPublishToTheTopicsAndPeopleGetMail(t *testing.T) {
	tmpl := several(t)
	for id, policy := range tmpl.exactly(t, 2, "AWS::SNS::TopicPolicy") {
		allowed, denied := false, false
		for _, s := range statements(policy.at("PolicyDocument")) {
			allowed = allowed || text(s["Principal"]) == `{"Service":"cloudwatch.amazonaws.com"}` &&
				s["Action"] == "sns:Publish" && strings.Contains(text(s["Condition"]), "aws:SourceAccount")
			denied = denied || s["Effect"] == "Deny" && strings.Contains(text(s["Condition"]), "aws:SecureTransport")
		}
		if !allowed || !denied {
			t.Errorf("%s: CloudWatch may publish: %v; publishing without TLS is denied: %v", id, allowed, denied)
		}
	}
	if got := subscribed(tmpl); got != "spillway-alarms: dev@example.com, spillway-alarms: ops@example.com, "+
		"spillway-tickets: board@example.com" {
		t.Errorf("subscriptions %s", got)
	}
	if got := subscribed(statusSites(t)["eu-west-1"]); got != "spillway-alarms: ops@example.com, spillway-tickets: ops@example.com" {
		t.Errorf("without ticketEmails: %s", got)
	}
	if got := subscribed(without(t)); got != "spillway-alarms: ops@example.com" {
		t.Errorf("with ticketEmails none: %s", got)
	}
}

// subscribed are the addresses that get mail, each behind its topic.
func subscribed(tmpl template) string {
	topics := tmpl.of("AWS::SNS::Topic")
	var mails []string
	for _, s := range tmpl.of("AWS::SNS::Subscription") {
		topic := topics[fmt.Sprint(s.at("TopicArn", "Ref"))]
		if s.at("Protocol") == "email" {
			mails = append(mails, fmt.Sprint(topic.at("TopicName"), ": ", s.at("Endpoint")))
		}
	}
	slices.Sort(mails)
	return strings.Join(mails, ", ")
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
	tmpl := defaults(t)
	d := usual()
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
