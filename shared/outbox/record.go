package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spillwayhq/spillway/shared/message"
)

// A record in the log is one message: a byte for the version of the format, the number of its
// attributes, name, type and text of each in the order of the names, and the body. Numbers are
// varints, and a text is its length and its bytes.
const recordVersion = 1

// groupAttribute has the message's group, as one more attribute: a version before groups sends it
// as an attribute, which nobody reads.
const groupAttribute = "Message-Group-Id"

// appendRecord appends a message's record.
func appendRecord(dst []byte, m *message.Message) []byte {
	text := func(s string) { dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...) }
	dst = append(dst, recordVersion)
	count := len(m.Attributes)
	if m.Group != "" {
		count++
	}
	dst = binary.AppendUvarint(dst, uint64(count))
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		text(name)
		text(m.Attributes[name].Type)
		text(m.Attributes[name].Text)
	}
	if m.Group != "" {
		text(groupAttribute)
		text("String")
		text(m.Group)
	}
	text(m.Body)
	return dst
}

var errRecord = errors.New("the record was not written by an outbox")

// parseRecord reads what appendRecord wrote.
func parseRecord(record []byte) (m message.Message, err error) {
	if len(record) == 0 || record[0] != recordVersion {
		return m, fmt.Errorf("%w of this version of the program", errRecord)
	}
	rest, ok := record[1:], true
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > message.MaxBytes {
			ok, rest = false, nil
			return 0
		}
		rest = rest[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(rest)) {
			ok, rest = false, nil
			return ""
		}
		s := string(rest[:n])
		rest = rest[n:]
		return s
	}
	m.Attributes = map[string]message.Attribute{}
	for n := number(); ok && n > 0; n-- {
		name := text()
		m.Attributes[name] = message.Attribute{Type: text(), Text: text()}
	}
	m.Group = m.Attributes[groupAttribute].Text
	delete(m.Attributes, groupAttribute)
	m.Body = text()
	if !ok || len(rest) > 0 || m.Body == "" || m.Size() > message.MaxBytes {
		return message.Message{}, errRecord
	}
	return m, nil
}
