package message

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// Header is what the events of one message have in common.
type Header struct {
	WriteKey     string // empty: the configured default
	Origin       event.Origin
	Context      []byte    // JSON object; nil: none
	Integrations []byte    // JSON object; nil: none
	ReceivedAt   time.Time // when the ingest endpoint received the events; zero: unknown
}

// A Key identifies the headers whose events may share a message or a batch: Segment merges a
// batch's context and integrations into each of its events, so they must be equal to the byte.
// ReceivedAt is not part of it. A Key is comparable.
type Key struct {
	WriteKey              string
	Origin                event.Origin
	Context, Integrations string
}

// Key returns the header's key. It copies Context and Integrations.
func (h *Header) Key() Key {
	return Key{h.WriteKey, h.Origin, string(h.Context), string(h.Integrations)}
}

// HasKey reports whether k is the header's key, without copying anything.
func (h *Header) HasKey(k *Key) bool {
	return h.WriteKey == k.WriteKey && h.Origin == k.Origin && string(h.Context) == k.Context &&
		string(h.Integrations) == k.Integrations
}

// Room returns how many bytes of events, with a comma for each, one batch to Segment with this
// header may hold; 0 when the header leaves no room for an event of the largest size.
func (h *Header) Room() int {
	return event.Room(event.Overhead(h.WriteKey, h.Context, h.Integrations))
}

// LeaveRoom removes Context and Integrations, the larger one first, until a batch with the header
// has room for an event of the largest size. It returns what it has removed.
func (h *Header) LeaveRoom() (omitted event.Omitted) {
	for len(h.Context)+len(h.Integrations) > 0 && h.Room() == 0 {
		if len(h.Context) >= len(h.Integrations) {
			h.Context = nil
			omitted |= event.OmittedBatchContext
		} else {
			h.Integrations = nil
			omitted |= event.OmittedBatchIntegrations
		}
	}
	return omitted
}

// A Content is a message's body after [Decoder.Decode]. The zero value is ready for it.
type Content struct {
	Header
	HasOrigin bool // the body says its origin; otherwise Origin is FromServer
	Events    []event.Event
	Omitted   event.Omitted // fields of the batch that Segment could not read, and that the Header lacks
	// ArchiveFrame is the frame of an archive-only message, which has no events; nil: it is none.
	ArchiveFrame []byte

	raw []byte // the decompressed body; Events are slices of it, or of the body that was read
}

func (m *Content) reset() {
	*m = Content{Events: m.Events[:0], raw: m.raw[:0]}
}

// A DecodeError says why a body can't be read. Reading it again gives the same error.
type DecodeError struct {
	Reason string // ReasonUndecodable or ReasonTooLarge
	Err    error  // for people; may quote single characters of the body
}

func (e *DecodeError) Error() string { return fmt.Sprintf("read the message's body: %v", e.Err) }

func (e *DecodeError) Unwrap() error { return e.Err }
