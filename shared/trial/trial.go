// Package trial runs a function on events that nobody sent, and tells what became of them.
//
// A deployment tries a new version before it gets traffic: package app/rollout invokes it with
// trials. A quiet site may have no other events while a tenth of the invocations meet the version,
// and of a busy one the first would be customers'. Everything that is the function's own runs as
// for an event of a customer: its wiring, its parameters in SSM, decoding, policies and SDK
// clients. Only the ends are here: a [Run] is the Segment and the SQS of one trial.
//
// A trial is marked at the top of the payload of an invocation. There it can be only by someone who
// may invoke the function: an event source and an HTTP API write the top themselves, and what
// customers send is further down. And if it were not: a trial reaches no queue and no Segment.
package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spillwayhq/spillway/shared/message"
)

// WriteKey is a write key that ingest accepts in a trial, and nowhere else. Those that begin so are
// of trials too.
const WriteKey = "spillway-trial"

// Names of the queues in an outcome.
const (
	EventsQueue     = "events"
	DeadLetterQueue = "dead-letters"
)

// mark is the only field of a trial's payload and of its answer.
const mark = "spillwayTrial"

// A Trial is what an invocation tries.
type Trial struct {
	// Payload is what the function gets: deliver an SQS event, ingest an HTTP request.
	Payload json.RawMessage `json:"payload"`
	// Segment says how Segment answers; what no Answer is for, it takes.
	Segment []Answer `json:"segment,omitempty"`
	// QueueFails: no queue takes a message.
	QueueFails bool `json:"queueFails,omitempty"`
}

// An Answer is Segment's to requests whose body contains a text. The first that fits counts.
type Answer struct {
	Text       string `json:"text"`
	Status     int    `json:"status"`
	RetryAfter int    `json:"retryAfter,omitempty"` // in seconds; 0: it does not say
}

// An Outcome is what became of a trial.
type Outcome struct {
	Answer     json.RawMessage `json:"answer"`               // the function's
	Segment    []Request       `json:"segment,omitempty"`    // in the order in which they came
	Sent       []Sent          `json:"sent,omitempty"`       // messages that a queue took
	Visibility map[string]int  `json:"visibility,omitempty"` // timeouts in seconds, by receipt handle
	Log        []string        `json:"log,omitempty"`        // warnings and errors, the first of them
}

// A Request is one to Segment.
type Request struct {
	WriteKey string `json:"writeKey"` // one of a trial's; of any other its event.KeyID
	Body     string `json:"body"`     // not compressed
	Status   int    `json:"status"`
}

// Sent is a message that a queue took. Queue is EventsQueue, DeadLetterQueue or, if the function's
// wiring knows it as neither, the queue's URL.
type Sent struct {
	Queue string `json:"queue"`
	message.Message
}

// Is reports whether the payload of an invocation is that of a trial.
func Is(payload []byte) bool {
	const before = 16 // more than white space and a brace
	top := bytes.TrimLeft(payload[:min(len(payload), before+len(mark))], "{ \t\r\n")
	return bytes.HasPrefix(top, []byte(`"`+mark+`"`))
}

// Encode returns the payload of an invocation that makes the trial.
func (t *Trial) Encode() ([]byte, error) { return json.Marshal(map[string]*Trial{mark: t}) }

// ErrNoTrial says that an answer has no outcome.
var ErrNoTrial = errors.New("the version does not know trials")

// ReadOutcome reads the answer to a trial.
func ReadOutcome(answer []byte) (Outcome, error) {
	var a struct {
		Outcome *Outcome `json:"spillwayTrial"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return Outcome{}, fmt.Errorf("read the answer to a trial: %w", err)
	}
	if a.Outcome == nil {
		return Outcome{}, ErrNoTrial
	}
	return *a.Outcome, nil
}
