package deliver

import "github.com/spillwayhq/spillway/shared/segment"

// A Disposition is what became of an event in one invocation. There is no fourth: an event that is
// neither delivered nor a dead letter is still in the queue.
type Disposition uint8

// The dispositions. An event that was not tried, or failed for now, is retried.
const (
	Retried      Disposition = iota // its message stays in the queue until a later attempt
	Delivered                       // Segment has it
	DeadLettered                    // it is in the dead-letter queue, with a reason
	dispositions
)

// String is the disposition as CLI and JSON name it, where it is called the outcome.
func (d Disposition) String() string {
	return [dispositions]string{Retried: "retried", Delivered: "delivered", DeadLettered: "dead_lettered"}[d]
}

// A policy is one row of the table that says what follows from a class of Segment's answers.
type policy struct {
	// Disposition is that of an event that stands alone in its batch.
	Disposition Disposition
	// Bisect: a batch of several events is split and sent again, to isolate the events that the
	// answer is about.
	Bisect bool
	// PauseWriteKey: nothing is sent with the batch's write key for a while. Other keys go on.
	PauseWriteKey bool
	// RetryNow: a second attempt in the same invocation is worth it.
	RetryNow bool
	// CountsForBreaker: it says something about Segment itself, and not about one batch or key.
	CountsForBreaker bool
}

// policies is the only place that knows what follows from an answer. A test holds that it has a row
// for each class.
var policies = map[segment.Class]policy{
	segment.Delivered:     {Disposition: Delivered},
	segment.Rejected:      {Disposition: DeadLettered, Bisect: true},
	segment.Misconfigured: {Disposition: Retried, PauseWriteKey: true},
	segment.Throttled:     {Disposition: Retried, PauseWriteKey: true},
	segment.Transient:     {Disposition: Retried, RetryNow: true, CountsForBreaker: true},
}
