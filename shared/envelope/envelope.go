// Package envelope is the format of a message in the events queue and in the dead-letter queue.
//
// A body is the JSON of a Segment batch, or a single event, so that a person can send one by hand:
//
//	{"writeKey":"…","batch":[{"type":"track",…},…],"context":{…},"integrations":{…},"receivedAt":"…","origin":"client"}
//	{"type":"track","userId":"u1","event":"Run Started"}
//
// Written by Spillway it is that JSON compressed with zstd, in base64, because SQS and Lambda are paid and slowed by the message
// and not by the event. Message attributes say so, but they are hints for people and metrics: a body is recognised by its first
// bytes, and is read without them.
package envelope

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// Message attributes that Spillway sets.
const (
	AttrContentEncoding = "Content-Encoding" // String: EncodingZstd, absent when the body is plain JSON
	AttrEventCount      = "Event-Count"      // Number: how many events the message holds
	AttrOrigin          = "Origin"           // String: segment.Origin; counts only when the body does not say
)

// EncodingZstd is the value of AttrContentEncoding for zstd in base64.
const EncodingZstd = "zstd"

// MaxRawBytes is how large a body may be once it is decompressed: as large as SQS lets an uncompressed one be (SQS developer
// guide, message quotas: 1 MiB). So compression can't make a message cost more memory than one that anybody can send.
const MaxRawBytes = 1 << 20

// Reasons why a message can't be read, as they stand in metrics and dead letters.
const (
	Undecodable = "undecodable"
	TooLarge    = "too_large"
)

// An Error says why a body can't be read. No second try will read it.
type Error struct {
	Reason string // Undecodable or TooLarge
	Err    error  // for people; may quote single characters of the body
}

func (e *Error) Error() string { return fmt.Sprintf("read the message's body: %v", e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Header is what the events of one message have in common.
type Header struct {
	WriteKey     string // empty: the configured default
	Origin       segment.Origin
	Context      []byte    // JSON, nil: none
	Integrations []byte    // JSON, nil: none
	ReceivedAt   time.Time // when Spillway's door took the events; zero: unknown
}

// Room is how many bytes of events, with a comma for each, one batch to Segment with this header may hold; 0 when the header leaves
// no room for an event.
func (h *Header) Room() int {
	return segment.Room(segment.Overhead(h.WriteKey, h.Context, h.Integrations))
}

// A Message is a body that has been read.
type Message struct {
	Header
	HasOrigin bool // the body says an origin; otherwise Origin is FromServer
	Events    []segment.Event

	raw []byte // the decompressed body; Events are slices of it, or of the body that was read
}

func (m *Message) reset() {
	*m = Message{Events: m.Events[:0], raw: m.raw[:0]}
}
