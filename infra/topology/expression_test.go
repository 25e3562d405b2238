package topology

import (
	"strings"
	"testing"
)

// CloudWatch would refuse it when the stack is deployed, after everything else has been changed.
func TestValidateRefusesMetricMathThatCloudWatchWouldRefuse(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{"MAX([v, f", `alarm spillway-x: metric math "MAX([v, f": at character 10: expected "]"`},
		{"v + f + z", `there is no metric with the ID "z"`},
		{"v + 1", `the metric "f" is not used, and would be charged for`},
		{"v + MAX(f)", "MAX takes an array of time series like [m1, m2]"},
		{"v + f", ""},
	} {
		d := Default()
		d.Alarms = append(d.Alarms, d.Alarms[0])
		a := &d.Alarms[len(d.Alarms)-1]
		a.Name, a.Expression = "spillway-x", c.expression
		a.Metrics = []Metric{visible("v", d.Names.EventsQueue), inFlight("f", d.Names.EventsQueue)}
		err := d.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", c.expression, err, c.want)
		}
	}
}
