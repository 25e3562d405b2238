package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// Sizes of widgets: a dashboard is 24 wide (CloudWatch API reference, "Dashboard body structure and
// syntax").
const (
	dashboardWidth = 24
	statusHeight   = 4
	numberHeight   = 3
	graphHeight    = 6
)

// addDashboard creates the topology's dashboard. Its name contains the region, because the
// dashboards of all regions share their names.
func (p *pipeline) addDashboard() {
	var names []*string
	for _, c := range p.topology.Composites {
		names = append(names, p.arn("cloudwatch", "alarm:"+c.Name))
	}
	for _, a := range p.topology.Alarms {
		names = append(names, p.arn("cloudwatch", "alarm:"+a.Name))
	}
	widgets := []any{map[string]any{
		"type": "alarm", "x": 0, "y": 0, "width": dashboardWidth, "height": statusHeight,
		"properties": map[string]any{"title": "Alarms", "alarms": names},
	}}
	y := statusHeight
	for _, row := range p.topology.Dashboard() {
		width, height := dashboardWidth/len(row), graphHeight
		if row[0].Number {
			height = numberHeight
		}
		for i, w := range row {
			widgets = append(widgets, map[string]any{
				"type": "metric", "x": i * width, "y": y, "width": width, "height": height, "properties": p.widget(w),
			})
		}
		y += height
	}
	awscloudwatch.NewCfnDashboard(p.Stack, jsii.String("Dashboard"), &awscloudwatch.CfnDashboardProps{
		DashboardName: jsii.String(p.topology.Names.Stack(p.region)),
		DashboardBody: p.ToJsonString(map[string]any{"widgets": widgets}, nil),
	})
}

func (p *pipeline) widget(w topology.Widget) map[string]any {
	properties := map[string]any{
		"title": w.Title, "region": p.region, "period": topology.DashboardPeriod.Seconds(), "view": "timeSeries",
		"stacked": w.Stacked,
	}
	if w.Number {
		properties["view"] = "singleValue"
	}
	var metrics []any
	for _, l := range w.Lines {
		options := map[string]any{}
		if l.Label != "" {
			options["label"] = l.Label
		}
		if l.Expression != "" {
			options["expression"] = l.Expression
			metrics = append(metrics, []any{options})
			continue
		}
		options["id"], options["stat"], options["visible"] = l.Metric.ID, l.Metric.Statistic, l.Label != ""
		at := l.Metric.Location(p.endpoint.metrics)
		metric := []any{at.Namespace, at.Name}
		for _, d := range at.Dimensions {
			metric = append(metric, d.Name, d.Value)
		}
		metrics = append(metrics, append(metric, options))
	}
	properties["metrics"] = metrics
	if a, ok := p.topology.Alarm(w.Alarm); ok {
		properties["annotations"] = map[string]any{"horizontal": []any{map[string]any{"label": a.Name, "value": a.Threshold}}}
	}
	return properties
}
