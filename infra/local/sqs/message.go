package sqs

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Message is a received message with all its attributes. The caller owns it.
type Message struct {
	MessageID              string
	ReceiptHandle          string
	Body                   string
	MD5OfBody              string // hex
	MD5OfMessageAttributes string // hex; empty if there are none
	// Attributes are the system's: SentTimestamp, ApproximateReceiveCount, ….
	// Times are Unix milliseconds, in decimal.
	Attributes        map[string]string
	MessageAttributes map[string]MessageAttribute
}

// MessageAttribute is an attribute that the sender set. DataType is String, Number or Binary, with
// or without a custom label ("Number.int").
type MessageAttribute struct {
	DataType    string
	StringValue string // String and Number
	BinaryValue []byte // Binary
}

func (a MessageAttribute) binary() bool { return strings.HasPrefix(a.DataType, "Binary") }

// named is a message attribute with its name. Those of a message are sorted by name.
type named struct {
	name string
	MessageAttribute
}

func sortAttributes(as []named) {
	slices.SortFunc(as, func(a, b named) int { return strings.Compare(a.name, b.name) })
}

// storedMessage is the content of a message as it is stored.
type storedMessage struct {
	id         uuid.UUID
	bodyMD5    [md5.Size]byte
	group      string // MessageGroupId
	trace      string // AWSTraceHeader
	source     string // of a dead letter: ARN of the queue it came from
	attributes []named
	body       string
}

const storedMessageVersion = 2

// encode returns the content for the store.
func (m *storedMessage) encode() []byte {
	size := 64 + len(m.body) + len(m.group) + len(m.trace) + len(m.source)
	for _, a := range m.attributes {
		size += 16 + len(a.name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	b := append(make([]byte, 0, size), storedMessageVersion)
	b = append(b, m.id[:]...)
	b = append(b, m.bodyMD5[:]...)
	for _, s := range [...]string{m.group, m.trace, m.source} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(m.attributes)))
	for _, a := range m.attributes {
		b = appendString(b, a.name)
		b = appendString(b, a.DataType)
		if a.binary() {
			b = append(binary.AppendUvarint(b, uint64(len(a.BinaryValue))), a.BinaryValue...)
		} else {
			b = appendString(b, a.StringValue)
		}
	}
	return append(b, m.body...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errCorrupt is not damage, which the store's checksums find: the message is retained for the
// version that can read it.
var errCorrupt = errors.New("a stored message was written by another version: start that one to deliver it")

// decodeStoredMessage reads what encode wrote. The result shares no memory with b.
func decodeStoredMessage(b []byte) (storedMessage, error) {
	var m storedMessage
	if len(b) < 33 || b[0] != storedMessageVersion {
		return m, errCorrupt
	}
	copy(m.id[:], b[1:])
	copy(m.bodyMD5[:], b[17:])
	// One copy for all strings: they are used together.
	rest := string(b[33:])
	bad := false
	uvarint := func() uint64 {
		var v uint64
		for shift := 0; shift < 64 && len(rest) > 0; shift += 7 {
			c := rest[0]
			rest = rest[1:]
			v |= uint64(c&0x7f) << shift
			if c < 0x80 {
				return v
			}
		}
		bad = true
		return 0
	}
	str := func() string {
		n := uvarint()
		if bad || n > uint64(len(rest)) {
			bad = true
			return ""
		}
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	m.group, m.trace, m.source = str(), str(), str()
	n := uvarint()
	if bad || n > maxAttributes {
		return storedMessage{}, errCorrupt
	}
	if n > 0 {
		m.attributes = make([]named, n)
	}
	for i := range m.attributes {
		a := &m.attributes[i]
		a.name, a.DataType = str(), str()
		if a.binary() {
			a.BinaryValue = []byte(str())
		} else {
			a.StringValue = str()
		}
	}
	if bad {
		return storedMessage{}, errCorrupt
	}
	m.body = rest
	return m, nil
}

// storedGroup returns the group of what encode wrote; 0 for what it did not write.
func storedGroup(content []byte) uint32 {
	if len(content) < 33 || content[0] != storedMessageVersion {
		return 0
	}
	n, size := binary.Uvarint(content[33:])
	if rest := content[33:]; size > 0 && n <= uint64(len(rest)-size) {
		return groupOf(string(rest[size : size+int(n)]))
	}
	return 0
}

// attributesMD5 is the checksum that the SDKs verify (SQS developer guide, "Calculating the MD5
// message digest for message attributes"): for each attribute, by name, its name, type, kind of
// value and value, each after its length in four bytes. It is empty for no attributes.
func attributesMD5(as []named) string {
	if len(as) == 0 {
		return ""
	}
	h := md5.New()
	for _, a := range as {
		writeSized(h, a.name)
		writeSized(h, a.DataType)
		if a.binary() {
			h.Write([]byte{2})
			writeSized(h, string(a.BinaryValue))
		} else {
			h.Write([]byte{1})
			writeSized(h, a.StringValue)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writeSized(h hash.Hash, s string) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}
