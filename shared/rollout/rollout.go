// Package rollout has what a deployment watches of a new version of a function: the metrics that
// tell it from the version before.
//
// A deployment gives a new version a part of the traffic and takes it back if the version fails.
// Lambda's own metrics can't say so: deliver answers without an error even if every event becomes a
// dead letter, and ingest if it refuses every request. An alarm on the whole function
// can't either: it may fire already, for the very reason that a new version is deployed. So these
// metrics have a second set of dimensions (emf.VersionDimension).
package rollout

// LiveAlias is the alias of the functions deliver and ingest that the event source and the ingest
// endpoint invoke. A deployment makes a new version and moves the alias to it.
const LiveAlias = "live"

// The metrics that are also counted by version, besides EventsDelivered of deliver and
// EventsAccepted of ingest. Those are written by each invocation, so that their SampleCount is how
// many there were; these only if they are above 0.
const (
	// FailuresMetric counts what the function could not do: of deliver, events that are retained for
	// retry, but for those that a person has paused; of ingest, requests that are refused, pixels too,
	// for another reason than their quota.
	// Either may be another's fault, Segment's or a client's, so an alarm compares a version with
	// the others.
	FailuresMetric = "Failures"
	// DeadLettersMetric counts events that became dead letters, for any reason; of ingest, those too
	// that were dropped instead because there were too many. Their sender may have got them wrong:
	// an alarm compares here as well.
	DeadLettersMetric = "DeadLetters"
	// PanicsMetric counts panics that the function has caught.
	PanicsMetric = "Panics"
)
