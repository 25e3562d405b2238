package topology

import (
	"fmt"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/rollout"
)

// rolloutFunction is what a deployment invokes before a new version gets traffic. It belongs to no
// pipeline on one machine.
func rolloutFunction(o Options) Function {
	return Function{
		// Both versions answer within seconds, also when they start. The rest is for a backlog, in
		// which deliver uses all of its reserved concurrency, and Lambda refuses one more
		// invocation until another ends.
		Name: o.Names.RolloutFunction, Metrics: "rollout", Timeout: 5 * time.Minute, MemoryMB: 128,
		LogRetention: o.LogRetention,
	}
}

// LiveAlias is rollout.LiveAlias.
const LiveAlias = rollout.LiveAlias

// ExecutedVersion is the dimension of Lambda's own metrics of one version that an alias invokes
// (Lambda developer guide, "Types of metrics for Lambda functions").
const ExecutedVersion = "ExecutedVersion"

// A new version gets a tenth of the invocations first.
const (
	CanaryShare = 0.1
	CanaryTime  = 5 * time.Minute
)

const (
	// versionWorse is by how much the share of what goes wrong must be higher than that of all
	// versions together. The new version is one of them: with a tenth of the invocations, and all
	// others well, it is up to 10 times as high; with a third it is 3 times.
	versionWorse = 3
	// versionMany is how much must go wrong in a minute unless it is most of what the version
	// handled: one event that a customer broke proves nothing.
	versionMany = 10
)

// VersionAlarm is the alarm by which a deployment goes back: the version of the function fails more
// often than all versions together. What fails already does not count, so that it never forbids the
// deployment of its remedy. Once the version is the only one nothing does, so that the alarm is not
// in the way of a later deployment, or of CloudFormation's own way back.
//
// Its name contains the version: each deployment has an alarm of its own, which has never fired. It
// notifies nobody. function is one that has the alias LiveAlias.
func (t *Topology) VersionAlarm(function, version string) Alarm {
	n := t.Names
	f, _ := t.Function(function)
	a := Alarm{
		Name: n.Alarm(f.Metrics + "-version-" + version), Severity: Warning, Section: "a-deployment-went-back",
		Threshold: 0, Period: time.Minute, Periods: 5, Breaching: 2, Missing: MissingIsGood, Runbook: t.Alarms[0].Runbook,
		Meaning: fmt.Sprintf("version %s of the %s function fails over %d times as often as all versions together.", version,
			f.Metrics, versionWorse),
		First: "wait: a deployment that is under way goes back by itself. The function's log says why.",
	}
	var conditions []string
	both := func(id, name, statistic string) {
		a.Metrics = append(a.Metrics, n.own(id, f.Metrics, name, statistic, emf.VersionDimension, version),
			n.own(id+"a", f.Metrics, name, statistic))
	}
	handled, byAll := "FILL(h, 0)", "FILL(ha, 0)"
	if function == n.IngestFunction {
		both("h", "EventsAccepted", "SampleCount") // requests, each of which writes a value
	} else {
		both("h", "EventsDelivered", "Sum")
		handled, byAll = "(FILL(h, 0) + FILL(f, 0) + FILL(d, 0))", "(FILL(ha, 0) + FILL(fa, 0) + FILL(da, 0))"
	}
	for _, x := range []struct{ id, name string }{
		{"f", rollout.FailuresMetric}, {"d", rollout.DeadLettersMetric}, {"p", rollout.PanicsMetric},
	} {
		both(x.id, x.name, "Sum")
		conditions = append(conditions, worse(x.id, handled, byAll))
	}
	crashes := ofFunction("e", f.Name, "Errors", "Sum")
	crashes.Dimension, crashes.Value = ExecutedVersion, version
	a.Metrics = append(a.Metrics, crashes, ofFunction("ea", f.Name, "Errors", "Sum"))
	// What a crashed invocation had is not in what was handled: it counts as one.
	conditions = append(conditions, worse("e", "("+handled+" + FILL(e, 0))", "("+byAll+" + FILL(ea, 0))"))
	a.Expression = "IF(" + strings.Join(conditions, " OR ") + ", 1, 0)"
	return a
}

// worse is the condition that x of what the version handled is much, and a larger share than that
// of all versions.
func worse(x, handled, handledByAll string) string {
	x, all := "FILL("+x+", 0)", "FILL("+x+"a, 0)"
	return fmt.Sprintf("((%s >= %d OR 2 * %[1]s > %[3]s) AND %[1]s * %[4]s > %d * %s * %[3]s)", x, versionMany, handled,
		handledByAll, versionWorse, all)
}
