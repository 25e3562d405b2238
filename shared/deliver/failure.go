package deliver

import (
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// ErrNoEndpoint is the error, possibly wrapped, of a [Flusher] that sent nothing because it does
// not know Segment's endpoint yet. The batch is retried, and its write key paused.
var ErrNoEndpoint = errors.New("the endpoint of Segment is not known")

// A reason says why events are not delivered.
type reason uint8

const (
	reasonAnswer          reason = iota // Segment's answer, or that there was none
	reasonBreakerOpen                   // Segment was not called
	reasonKeyPaused                     // Segment was not called with this write key
	reasonNoTime                        // the invocation ended before the events were sent
	reasonNoWriteKey                    // neither the message nor the configuration has one
	reasonNoEndpoint                    // the Flusher does not know where Segment is
	reasonTooManyRejected               // more than maxRejected events of one batch
	reasonNotWritten                    // the message's dead letter could not be written
	reasonPanic                         // the attempt panicked
	reasonNoDecoder                     // the decoder of messages could not be set up
	reasonPausedByHand                  // a person has paused the write key
	reasonNoTurn                        // fresh events have left nothing of Segment's limit in time
	reasonNotArchived                   // the events have ended, but no record of them could be written
	reasons
)

// reasonTable has each reason's text, and the class of answers whose policy it gets and as which it
// is counted. reasonAnswer and reasonKeyPaused have the answer's own class.
var reasonTable = [reasons]struct {
	class segment.Class
	text  string
}{
	reasonBreakerOpen: {segment.Transient,
		"the circuit breaker is open until a probe succeeds"},
	reasonKeyPaused:  {text: "the write key is paused"},
	reasonNoTime:     {segment.Transient, "the invocation had no time left to send the event"},
	reasonNoWriteKey: {segment.Misconfigured, "the message has no write key and no default is configured"},
	reasonNoEndpoint: {segment.Misconfigured, "the event was not sent"},
	reasonTooManyRejected: {segment.Misconfigured,
		"Segment rejects too many events of one batch: the batch is probably wrong, not the events"},
	reasonNotWritten: {segment.Transient, "the dead letter could not be written"},
	reasonPanic:      {segment.Transient, "the attempt to send the event panicked"},
	reasonNoDecoder:  {segment.Transient, "the message could not be decoded"},
	// Like a key that Segment refuses: others go on, and it is no backlog.
	reasonPausedByHand: {segment.Misconfigured, "a person has paused the write key (spillway pause): its events wait"},
	reasonNoTurn:       {segment.Throttled, "fresh events have left too little of what Segment takes"},
	// It says nothing about Segment.
	reasonNotArchived: {segment.Misconfigured, "neither the archive nor the bulk queue takes the record of the event"},
}

// A failure is why events are not delivered. Segment's answer may be a part of it.
type failure struct {
	reason  reason
	class   segment.Class  // whose policy applies; metrics, log and observers count by it: see counted
	answer  *segment.Error // of reasonAnswer
	cause   error          // what failed on our side; nil: the reason says all
	earlier *failure       // what opened the breaker or paused the key, or the last event's rejection
	wait    time.Duration  // how long to wait: Retry-After, or the rest of a pause; 0: not said
	lasted  time.Duration  // how long the breaker has been open
}

func newFailure(r reason, cause error) *failure {
	return &failure{reason: r, class: reasonTable[r].class, cause: cause}
}

// noTurn is why events of the bulk queue wait whose turn did not come within the invocation.
func noTurn() *failure {
	f := newFailure(reasonNoTurn, nil)
	f.wait = paceAgain
	return f
}

// failureOf turns a Flusher's error into a failure; nil into nil.
func failureOf(err error) *failure {
	var answer *segment.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
	case errors.Is(err, ErrNoEndpoint):
		return newFailure(reasonNoEndpoint, err)
	default:
		answer = &segment.Error{Class: segment.Transient, Err: err}
	}
	return &failure{reason: reasonAnswer, class: answer.Class, answer: answer, wait: answer.RetryAfter}
}

// counted is under what metrics, log and observers count the events that are retried for it. bulk:
// of a message of the bulk queue.
func (f *failure) counted(bulk bool) string {
	switch {
	case f.reason == reasonPausedByHand:
		return Paused
	case f.reason == reasonNotArchived:
		return NotArchived
	case bulk && f.class == segment.Throttled:
		return Paced
	}
	return f.class.String()
}

// policy is that of the failure's class.
func (f *failure) policy() policy { return policies[f.class] }

// summary says why in words that quote neither an event nor an answer. Of an open breaker and a
// paused write key it is what opened or paused it.
func (f *failure) summary() string {
	switch f.reason {
	case reasonAnswer:
		return answerSummaries[f.class]
	case reasonNoEndpoint:
		return ErrNoEndpoint.Error()
	case reasonBreakerOpen, reasonKeyPaused:
		if f.earlier != nil {
			return f.earlier.summary()
		}
	}
	return reasonTable[f.reason].text
}

// answerSummaries are the summaries of answers whose events are retried.
var answerSummaries = map[segment.Class]string{
	segment.Transient:     "Segment can't be reached or fails: events are retried within 15 min",
	segment.Throttled:     "Segment throttles the write key (429): its events are retried later",
	segment.Misconfigured: "Segment refuses the write key or the endpoint's URL (401, 403, 404, a redirect)",
}

// text describes the failure for a person. It may quote an event, as Segment's answer does, so it
// must not be logged.
func (f *failure) text() string {
	text := reasonTable[f.reason].text
	switch {
	case f.answer != nil && f.answer.Detail != "":
		text = f.answer.Error() + ": " + f.answer.Detail
	case f.answer != nil:
		text = f.answer.Error()
	case f.cause != nil:
		text += ": " + f.cause.Error()
	}
	if f.lasted > 0 {
		text += fmt.Sprintf(", Segment has failed for %v", f.lasted.Round(time.Second))
	}
	if f.earlier != nil {
		text += "; before: " + f.earlier.text()
	}
	return text
}
