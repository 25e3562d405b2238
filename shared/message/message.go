// Package message is the model of what travels through SQS: the messages of the events queue, and
// the dead letters, which are messages with a reason.
//
// A body is the JSON of a Segment batch, or of a single event, so that a person can send one by
// hand:
//
//	{"writeKey":"…","batch":[{"type":"track",…},…],"context":{…},"integrations":{…},"receivedAt":"…","origin":"client"}
//	{"type":"track","userId":"u1","event":"Run Started"}
//
// Spillway itself writes that JSON compressed with zstd, in base64, because SQS and Lambda charge
// and take time for each message and not for each event. Message attributes say so, but they are
// hints for people and metrics: a reader recognises a body by its first bytes, and needs no
// attribute.
//
// A dead letter's body has the same format, so a redrive only sends it to the events queue again.
// Its attributes say why it is a dead letter. Ingest and deliver both write dead letters in this
// format, so it has a package of its own.
//
// The package does not know SQS's API. Package sqsclient sends its messages.
package message

import (
	"strconv"

	"github.com/spillwayhq/spillway/shared/event"
)

// Message attributes that Spillway sets on every message. Those of dead letters are in
// deadletter.go.
const (
	AttrContentEncoding = "Content-Encoding" // String: EncodingZstd; absent when the body is plain JSON
	AttrEventCount      = "Event-Count"      // Number: how many events the message holds
	AttrOrigin          = "Origin"           // String: event.Origin; used only when the body does not say
)

// AttrReplayID is a String attribute of a message that a replay of the archive sent: the replay's
// ID. deliver writes it into the archive, so that a later replay leaves out what this one
// delivered.
const AttrReplayID = "Replay-Id"

// EncodingZstd is the value of AttrContentEncoding for zstd in base64.
const EncodingZstd = "zstd"

// MaxBytes is the largest message in bytes, body and attributes together, and also the most that
// all messages of one SendMessageBatch may have (SQS developer guide, "Quotas related to
// messages").
const MaxBytes = 1 << 20

// MaxRawBytes bounds a body after decompression: as large as SQS lets an uncompressed one be. So a
// compressed message can't cost more memory than a plain one.
const MaxRawBytes = MaxBytes

// MaxIncompressible is how many bytes of a body fit a message even if zstd finds nothing to
// compress: base64 adds a third.
const MaxIncompressible = 740_000

// A Message is an SQS message: a body and its attributes.
type Message struct {
	Body       string
	Attributes map[string]Attribute
	// Group is its MessageGroupId, by [GroupID], with which SQS keeps a group that floods the queue
	// from delaying the others. Empty: none, and to SQS the message is a group of its own, which
	// never waits for the others.
	Group string
}

// GroupID returns the group of messages with a write key: its [event.KeyID], so that SQS and
// whoever looks at the queue get no write key. Messages without one have a group too, because
// without a group nothing would keep them from delaying the others.
func GroupID(writeKey string) string { return event.KeyID(writeKey) }

// An Attribute is a message attribute: SQS's data type "String" or "Number", and the value as text.
type Attribute struct{ Type, Text string }

// StringAttribute returns an attribute of text, which must not be empty: SQS refuses that.
func StringAttribute(text string) Attribute { return Attribute{Type: "String", Text: text} }

// NumberAttribute returns an attribute of a number.
func NumberAttribute(n int64) Attribute {
	return Attribute{Type: "Number", Text: strconv.FormatInt(n, 10)}
}

// New returns the message of a body that holds so many events, with its attributes. A body that
// does not begin with "{" is compressed. It must not be empty.
func New(body string, events int, origin event.Origin) Message {
	m := Message{Body: body, Attributes: map[string]Attribute{
		AttrEventCount: NumberAttribute(int64(events)),
		AttrOrigin:     StringAttribute(origin.String()),
	}}
	if body[0] != '{' {
		m.Attributes[AttrContentEncoding] = StringAttribute(EncodingZstd)
	}
	return m
}

// Size returns the bytes that SQS counts: the body, and the attributes' names, types and values.
func (m *Message) Size() int {
	size := len(m.Body)
	for name, a := range m.Attributes {
		size += len(name) + len(a.Type) + len(a.Text)
	}
	return size
}
