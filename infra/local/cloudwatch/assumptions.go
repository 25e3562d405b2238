package cloudwatch

import "time"

// Lags are how late the values of each source become visible, counted from the end of their minute.
type Lags struct {
	Own      time.Duration // ours: log lines in the embedded metric format
	Queue    time.Duration // of SQS
	Lambda   time.Duration
	Endpoint time.Duration // of the gateway
	// QueueAfterIdle is how long nothing of a queue is visible after its first activity in 6 hours
	// (SQS developer guide: up to 15 minutes). What it held back is visible then. An event source
	// polls its queue, which is activity, so it concerns only queues without one.
	QueueAfterIdle time.Duration
}

// Assumptions are what AWS does not document or does not promise. An alarm that keeps its promise
// only under some of them is not finished.
type Assumptions struct {
	Lags Lags
	// BeyondRange is by how many periods the evaluation range is longer than the alarm's own N. The
	// one number in AWS's documentation is 2, for N = 3 (user guide, "Configuring how CloudWatch
	// alarms treat missing data").
	BeyondRange int
	// FillEmpty is whether FILL makes values of a metric that has none at all in the evaluation
	// range.
	FillEmpty bool
	// CompositeDelay is how many evaluations later a composite alarm sees its children's states: 0 or
	// 1. AWS says only that it follows them; seconds were seen, and up to a minute.
	CompositeDelay int
}

// Typical are the assumptions of a normal day, the ones to run a pipeline with. The lags are those
// that people see: our log lines and SQS about a minute, Lambda and the gateway within their
// minute.
func Typical() Assumptions {
	return Assumptions{
		Lags: Lags{Own: time.Minute, Queue: time.Minute, Lambda: time.Minute, Endpoint: time.Minute,
			QueueAfterIdle: 15 * time.Minute},
		BeyondRange: 2,
	}
}

// Plausible returns what an alarm must keep its promise under: lags of 0 to 3 minutes of all
// sources, with each plausible value of what AWS does not document. A range of N alone is not
// plausible: the documentation says that CloudWatch reads more. The composites' delay adds to
// everything else, so it alternates.
func Plausible() []Assumptions {
	var all []Assumptions
	for lag := range 4 {
		late := time.Duration(lag) * time.Minute
		for i, beyond := range [...]int{1, 2, 5} {
			for _, fill := range [...]bool{false, true} {
				all = append(all, Assumptions{
					Lags:        Lags{Own: late, Queue: late, Lambda: late, Endpoint: late, QueueAfterIdle: 15 * time.Minute},
					BeyondRange: beyond, FillEmpty: fill, CompositeDelay: (lag + i) % 2,
				})
			}
		}
	}
	return all
}
