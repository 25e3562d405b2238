package deliver

import "github.com/spillwayhq/spillway/shared/segment"

// A Disposition is the result of one invocation for an event.
type Disposition uint8

// The dispositions. CLI and JSON call them outcomes.
const (
	Retried      Disposition = iota // its message is retained in the queue for a later attempt
	Delivered                       // Segment has it
	DeadLettered                    // it is in the dead-letter queue, with a reason
	dispositions
)

// String is the disposition's name in CLI and JSON.
func (d Disposition) String() string {
	return [dispositions]string{Retried: "retried", Delivered: "delivered", DeadLettered: "dead_lettered"}[d]
}

// A policy is one row of the table that says what follows from a class of Segment's answers.
type policy struct {
	// Disposition of an event that is alone in its batch.
	Disposition Disposition
	// Bisect: a batch of several events is split and sent again, to isolate the events that the
	// answer is about.
	Bisect bool
	// PauseWriteKey: nothing is sent with the batch's write key for a while. Other keys are not
	// affected.
	PauseWriteKey bool
	// RetryNow: the batch is sent again in the same invocation.
	RetryNow bool
	// CountsForBreaker: Segment itself fails, not one batch or key.
	CountsForBreaker bool
}

// policies has a row for each class; a test holds that. Nothing else decides what follows from an
// answer.
var policies = map[segment.Class]policy{
	segment.Delivered:     {Disposition: Delivered},
	segment.Rejected:      {Disposition: DeadLettered, Bisect: true},
	segment.Misconfigured: {Disposition: Retried, PauseWriteKey: true},
	segment.Throttled:     {Disposition: Retried, PauseWriteKey: true},
	segment.Transient:     {Disposition: Retried, RetryNow: true, CountsForBreaker: true},
}
