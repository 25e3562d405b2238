package message

import (
	"strconv"

	"github.com/spillwayhq/spillway/shared/event"
)

// MaxBytes is how large a message may be, its body and its attributes (SQS developer guide, "Quotas
// related to messages"). A call that sends several may hold as much in all.
const MaxBytes = 1 << 20

// A Message is what a queue carries: a body and its attributes.
type Message struct {
	Body       string
	Attributes map[string]Attribute
}

// An Attribute is a message attribute: SQS's data type "String" or "Number", and the value as text.
type Attribute struct{ Type, Text string }

// StringAttribute makes an attribute of text. SQS refuses an empty one.
func StringAttribute(text string) Attribute { return Attribute{Type: "String", Text: text} }

// NumberAttribute makes an attribute of a number.
func NumberAttribute(n int64) Attribute {
	return Attribute{Type: "Number", Text: strconv.FormatInt(n, 10)}
}

// New makes the message of a body that [Packer.Pack] wrote: a body that does not begin with "{" is
// compressed.
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

// Size is what SQS counts: body, and the names, types and values of the attributes.
func (m *Message) Size() int {
	size := len(m.Body)
	for name, a := range m.Attributes {
		size += len(name) + len(a.Type) + len(a.Text)
	}
	return size
}
