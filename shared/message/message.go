// Package message is what travels through SQS: the messages of the events queue, and the dead
// letters, which are messages with a reason.
//
// A body is the JSON of a Segment batch, or a single event, so that a person can send one by hand:
//
//	{"writeKey":"…","batch":[{"type":"track",…},…],"context":{…},"integrations":{…},"receivedAt":"…","origin":"client"}
//	{"type":"track","userId":"u1","event":"Run Started"}
//
// Spillway itself writes that JSON compressed with zstd, in base64, because SQS and Lambda cost
// money and time for each message and not for each event. Message attributes say so, but they are
// hints for people and metrics: a reader recognises a body by its first bytes, and needs no
// attribute.
//
// A dead letter's body has the same format, so sending it to the events queue again is all that a
// redrive does. Its attributes say why it is there. Ingest and deliver both write dead letters, and
// a reader sees no difference: hence one package for all of it.
//
// The package does not know SQS's API. Package sqsclient sends its messages.
package message

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// Message attributes that Spillway sets. Those of a dead letter stand in deadletter.go.
const (
	AttrContentEncoding = "Content-Encoding" // String: EncodingZstd, absent when the body is plain JSON
	AttrEventCount      = "Event-Count"      // Number: how many events the message holds
	AttrOrigin          = "Origin"           // String: segment.Origin; counts only when the body does not say
)

// EncodingZstd is the value of AttrContentEncoding for zstd in base64.
const EncodingZstd = "zstd"

// MaxRawBytes is how large a body may be once it is decompressed: as large as SQS lets an
// uncompressed one be (SQS developer guide, message quotas: 1 MiB). So compression can't make a
// message cost more memory than one that anybody can send.
const MaxRawBytes = 1 << 20

// A DecodeError says why a body can't be read. No second try will read it.
type DecodeError struct {
	Reason string // Undecodable or TooLarge
	Err    error  // for people; may quote single characters of the body
}

func (e *DecodeError) Error() string { return fmt.Sprintf("read the message's body: %v", e.Err) }

func (e *DecodeError) Unwrap() error { return e.Err }

// Header is what the events of one message have in common.
type Header struct {
	WriteKey     string // empty: the configured default
	Origin       event.Origin
	Context      []byte    // JSON, nil: none
	Integrations []byte    // JSON, nil: none
	ReceivedAt   time.Time // when Spillway's door took the events; zero: unknown
}

// A Key identifies the headers whose events may share a message or a batch: Segment merges a
// batch's context and integrations into every event of it, so they must be equal to the byte. The
// time is not part of it.
type Key struct {
	WriteKey              string
	Origin                event.Origin
	Context, Integrations string
}

// Key returns the header's key. It copies Context and Integrations.
func (h *Header) Key() Key {
	return Key{h.WriteKey, h.Origin, string(h.Context), string(h.Integrations)}
}

// Room is how many bytes of events, with a comma for each, one batch to Segment with this header
// may hold; 0 when the header leaves no room for an event.
func (h *Header) Room() int {
	return event.Room(event.Overhead(h.WriteKey, h.Context, h.Integrations))
}

// A Content is a message whose body has been read.
type Content struct {
	Header
	HasOrigin bool // the body says an origin; otherwise Origin is FromServer
	Events    []event.Event

	raw []byte // the decompressed body; Events are slices of it, or of the body that was read
}

func (m *Content) reset() {
	*m = Content{Events: m.Events[:0], raw: m.raw[:0]}
}
