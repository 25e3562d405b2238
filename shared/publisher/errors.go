package publisher

import (
	"errors"
	"fmt"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Why an event was dropped, as it stands in statistics and metrics: it is lost, but for what a
// callback or an error said of it.
const (
	Full       = "full"       // memory is full, and so is the disk, or there is none
	Refused    = "refused"    // SQS refused the message that the event was in, and says that it will again
	DiskFailed = "disk"       // a durable mode could not write the event, for another reason than a full disk
	Unreadable = "unreadable" // a record on disk is none of the publisher's
	NotSent    = "not_sent"   // Shutdown ended before SQS took the event
)

// Why an event was rejected: its caller has the error, and nothing of Spillway's is wrong.
const (
	Invalid     = "invalid"     // the event is against analytics-go's rules
	TooLarge    = "too_large"   // the event is larger than Segment takes
	Unencodable = "unencodable" // the event can't be written as JSON
	Failed      = "failed"      // Publish gave up
)

// ErrClosed is returned when a client is used after Close. It is analytics-go's.
var ErrClosed = analytics.ErrClosed

// ErrFull is returned when an event finds neither room in memory nor on disk: SQS has been away, or
// too slow, for too long. The event is dropped; nothing that was accepted before is.
var ErrFull = errors.New("the publisher is full: SQS does not take events as fast as they come, and no room is left " +
	"to keep them; " +
	"look at the log for why, set Config.Dir to keep more on disk, or raise Config.BufferBytes or Config.DiskBytes")

// An EventError is why an event can't be sent, now or later: the event itself has to change.
type EventError struct {
	Reason string // TooLarge or Unencodable
	Err    error
}

func (e *EventError) Error() string { return fmt.Sprintf("the event was not accepted: %v", e.Err) }

func (e *EventError) Unwrap() error { return e.Err }

// A SendError is why an event that was accepted is not known to be in SQS.
type SendError struct {
	// Unknown is set when a call that held the event got no answer: SQS may have it all the same.
	// Sent again with the same MessageId, it is one event to Segment.
	Unknown bool
	Err     error
}

func (e *SendError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("SQS did not say that it has the event, but may have it: %v", e.Err)
	}
	return fmt.Sprintf("SQS does not have the event: %v", e.Err)
}

func (e *SendError) Unwrap() error { return e.Err }

// A PublishError names the events of a [Client.Publish] that are not known to be in SQS. All others
// are.
type PublishError struct {
	Failed map[int]error // by index; a *SendError, an *EventError, ErrFull, ErrClosed or an error of Validate
}

func (e *PublishError) Error() string {
	first := -1
	for i := range e.Failed {
		if first < 0 || i < first {
			first = i
		}
	}
	if len(e.Failed) == 1 {
		return fmt.Sprintf("publish: %v", e.Failed[first])
	}
	return fmt.Sprintf("publish: %d events failed, the first is event %d: %v", len(e.Failed), first, e.Failed[first])
}

// Unwrap returns the errors of the events.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}

// A ShutdownError says how many accepted events are neither in SQS nor on disk. Their callbacks
// have been called with the reason.
type ShutdownError struct {
	Events int
	Err    error
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("%d events are neither in SQS nor on disk: %v", e.Events, e.Err)
}

func (e *ShutdownError) Unwrap() error { return e.Err }

// A ConfigError is why New does not make a client: what is wrong with a field, and what to do.
type ConfigError struct {
	Field string
	Err   error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("publisher.Config.%s: %v", e.Field, e.Err) }

func (e *ConfigError) Unwrap() error { return e.Err }

// What a ConfigError wraps.
var (
	ErrNotAQueueURL  = sqsclient.ErrInvalidQueueURL
	ErrNoCredentials = sqsclient.ErrNoCredentials
	ErrNoQueue       = errors.New("the queue does not exist")
	ErrOtherRegion   = errors.New("the queue is in another region")
	ErrDirInUse      = spill.ErrLocked // another process, or another Client, uses Config.Dir
)
