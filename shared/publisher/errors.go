package publisher

import (
	"errors"
	"fmt"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Reasons why an event was dropped, as statistics and metrics name them. The event is lost; a
// callback or an error has said so.
const (
	Full       = "full"       // memory is full, and the disk is full or not used
	Refused    = "refused"    // SQS refused the message with the event for the message's own fault
	DiskFailed = "disk"       // a durable mode could not write the event, though the disk is not full
	Unreadable = "unreadable" // a record on disk was not written by a publisher
	NotSent    = "not_sent"   // Shutdown ended before SQS took the event
)

// Reasons why an event was rejected. The caller has the error, and Spillway works as it should.
const (
	Invalid     = "invalid"     // the event breaks analytics-go's rules
	TooLarge    = "too_large"   // the event is larger than Segment takes
	Unencodable = "unencodable" // the event can't be written as JSON
	Failed      = "failed"      // Publish gave up
)

// ErrClosed is returned when a client is used after Close. It is analytics-go's.
var ErrClosed = analytics.ErrClosed

// ErrFull is returned when there is no room for an event in memory or on disk: SQS has been down or
// too slow for too long. The event is dropped; events accepted before are not.
var ErrFull = errors.New("the publisher is full: SQS takes events too slowly or not at all; the log says why; set " +
	"Config.Dir to store more on disk, or raise Config.BufferBytes or Config.DiskBytes")

// An EventError says why an event can never be sent: the event itself has to change.
type EventError struct {
	Reason string // TooLarge or Unencodable
	Err    error
}

func (e *EventError) Error() string { return fmt.Sprintf("the event was not accepted: %v", e.Err) }

func (e *EventError) Unwrap() error { return e.Err }

// A SendError says why SQS may not have an event.
type SendError struct {
	// Unknown is set when a call with the event got no answer: SQS may have the event. Segment
	// counts it once when it is sent again with the same MessageId.
	Unknown bool
	Err     error
}

func (e *SendError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("SQS may have the event, but did not confirm it: %v", e.Err)
	}
	return fmt.Sprintf("SQS does not have the event: %v", e.Err)
}

func (e *SendError) Unwrap() error { return e.Err }

// A PublishError names the events of a [Client.Publish] that SQS may not have. It has all others.
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

// Unwrap returns the errors of all events.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}

// A ShutdownError says how many accepted events are neither in SQS nor on disk. The callback was
// told each of them.
type ShutdownError struct {
	Events int
	Err    error // why Shutdown's context ended
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("%d events are neither in SQS nor on disk: %v", e.Events, e.Err)
}

func (e *ShutdownError) Unwrap() error { return e.Err }

// A ConfigError says which field of the Config is wrong, and what it must be.
type ConfigError struct {
	Field string
	Err   error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("publisher.Config.%s: %v", e.Field, e.Err) }

func (e *ConfigError) Unwrap() error { return e.Err }

// Errors that a ConfigError wraps.
var (
	ErrNotAQueueURL  = sqsclient.ErrInvalidQueueURL
	ErrNoCredentials = sqsclient.ErrNoCredentials
	ErrNoQueue       = errors.New("the queue does not exist")
	ErrOtherRegion   = errors.New("the queue is in another region")
	ErrDirInUse      = spill.ErrLocked // another process, or another Client, uses Config.Dir
)
