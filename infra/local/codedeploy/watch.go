package codedeploy

import (
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
)

// evaluation is how often CloudWatch evaluates an alarm.
const evaluation = time.Minute

// Watch returns a Deployment's States: those of the evaluator's alarms, which it evaluates once a
// minute from the first call on. now is the time of the metrics. What it returns is not safe for
// concurrent use.
func Watch(e *cloudwatch.Evaluator, now func() time.Time) func() []cloudwatch.AlarmState {
	var last time.Time
	return func() []cloudwatch.AlarmState {
		if at := now(); at.Sub(last) >= evaluation {
			last = at
			e.Evaluate(at)
		}
		return e.States()
	}
}
