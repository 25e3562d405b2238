package message

import "github.com/spillwayhq/spillway/shared/event"

// Reasons of dead letters, as the attribute "Reason", metrics and the CLI show them.
const (
	ReasonUndecodable = "undecodable" // the body can't be read
	ReasonTooLarge    = "too_large"   // a body or an event is larger than a limit
	ReasonInvalid     = "invalid"     // against Segment's rules: Segment would answer 200 and drop it
	ReasonPanic       = "panic"       // reading the message made the program panic
	ReasonRejected    = "rejected"    // Segment refused the event when it was sent alone
	ReasonExpired     = "expired"     // it was retried for as long as a message may be
)

// Reasons of dead letters without the attribute "Reason".
const (
	// ReasonMovedBySQS is that of a message that SQS moved by its redrive policy: a function
	// received it again and again and never finished, because it could not start or was killed.
	ReasonMovedBySQS = "moved by SQS"
	// ReasonNotGiven is the reason of a message that was sent to the dead-letter queue by hand.
	ReasonNotGiven = "not given"
)

// Reasons returns every reason that a dead letter can have, sorted. A newer version may write others.
func Reasons() []string {
	return []string{ReasonExpired, ReasonInvalid, ReasonMovedBySQS, ReasonNotGiven, ReasonPanic, ReasonRejected,
		ReasonTooLarge, ReasonUndecodable}
}

// ReasonFor returns the reason of a dead letter that holds events with the problem p.
func ReasonFor(p *event.Problem) string {
	if p == event.TooLarge {
		return ReasonTooLarge
	}
	return ReasonInvalid
}
