package lambda

import (
	"encoding/base64"
	"strings"
)

const (
	payloadHead = `{"Records":[`
	payloadTail = `]}`
)

// payload builds the JSON of an SQS event, message by message, in a buffer that is reused. It is
// written by hand because it is up to 6 MB an invocation, for which encoding/json takes much longer.
type payload struct {
	buf        []byte
	records    int
	limit      int    // bytes of the whole event; maxPayload except in tests
	recordTail string // the end of every record
}

// newPayload begins an event in buf and overwrites its contents.
func newPayload(buf []byte, limit int, recordTail string) *payload {
	return &payload{buf: append(buf[:0], payloadHead...), limit: limit, recordTail: recordTail}
}

// recordTail returns the end of every record of a mapping: its source and region.
func recordTail(queueARN, region string) string {
	b := append([]byte(nil), `,"eventSource":"aws:sqs","eventSourceARN":`...)
	b = appendString(b, queueARN)
	b = append(b, `,"awsRegion":`...)
	b = appendString(b, region)
	return string(append(b, '}'))
}

// add appends a message and reports true, unless the event would then be over the limit.
func (p *payload) add(m *Message) bool {
	before := len(p.buf)
	if before+len(m.Body)+len(p.recordTail)+len(payloadTail) > p.limit {
		return false // it can't fit: don't encode it
	}
	p.reserve(len(m.Body) + len(m.ReceiptHandle) + len(p.recordTail) + 512) // 512: names, hashes, a few attributes
	if p.records > 0 {
		p.buf = append(p.buf, ',')
	}
	p.buf = appendMessage(p.buf, m)
	p.buf = append(p.buf, p.recordTail...)
	if len(p.buf)+len(payloadTail) > p.limit {
		p.buf = p.buf[:before]
		return false
	}
	p.records++
	return true
}

// reserve makes room for n more bytes. It doubles the buffer, up to the limit, because append's own
// growth by a quarter would leave five times the payload as garbage.
func (p *payload) reserve(n int) {
	need := len(p.buf) + n
	if need <= cap(p.buf) {
		return
	}
	grown := make([]byte, len(p.buf), max(need, min(2*cap(p.buf), p.limit)))
	copy(grown, p.buf)
	p.buf = grown
}

// finish ends the event and returns its JSON, which is valid until the buffer is reused.
func (p *payload) finish() []byte {
	p.buf = append(p.buf, payloadTail...)
	return p.buf
}

// appendMessage writes a record without its tail.
func appendMessage(b []byte, m *Message) []byte {
	b = append(b, `{"messageId":`...)
	b = appendString(b, m.MessageID)
	b = append(b, `,"receiptHandle":`...)
	b = appendString(b, m.ReceiptHandle)
	b = append(b, `,"body":`...)
	b = appendString(b, m.Body)
	b = append(b, `,"attributes":{`...)
	comma := false
	for name, value := range m.Attributes {
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, value)
	}
	b = append(b, `},"messageAttributes":{`...)
	comma = false
	for name, attribute := range m.MessageAttributes {
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = appendString(b, name)
		b = append(b, ':')
		b = appendAttribute(b, attribute)
	}
	b = append(b, `},"md5OfBody":`...)
	b = appendString(b, m.MD5OfBody)
	if m.MD5OfMessageAttributes != "" {
		b = append(b, `,"md5OfMessageAttributes":`...)
		b = appendString(b, m.MD5OfMessageAttributes)
	}
	return b
}

func appendAttribute(b []byte, a MessageAttribute) []byte {
	if strings.HasPrefix(a.DataType, "Binary") {
		b = append(b, `{"binaryValue":"`...)
		b = base64.StdEncoding.AppendEncode(b, a.BinaryValue)
		b = append(b, '"')
	} else {
		b = append(b, `{"stringValue":`...)
		b = appendString(b, a.StringValue)
	}
	b = append(b, `,"stringListValues":[],"binaryListValues":[],"dataType":`...)
	b = appendString(b, a.DataType)
	return append(b, '}')
}
