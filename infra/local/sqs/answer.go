package sqs

import (
	"encoding/base64"
	"encoding/hex"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// jsonAppender is an answer that writes itself as JSON: for those with messages encoding/json takes
// three times as long.
type jsonAppender interface{ appendJSON(b []byte) []byte }

// receiveMessageOutput is the answer to ReceiveMessage, as SQS's:
// {"Messages":[{"MessageId","ReceiptHandle","MD5OfBody","Body","Attributes":{…},
// "MD5OfMessageAttributes","MessageAttributes":{…}}]}. What a message has not is left out.
type receiveMessageOutput struct {
	queue    *Queue
	messages []received
	system   func(name string) bool // which system attributes are wanted
	names    []string               // which others
}

func (o *receiveMessageOutput) appendJSON(b []byte) []byte {
	if len(o.messages) == 0 {
		return append(b, "{}"...)
	}
	b = append(b, `{"Messages":[`...)
	for i := range o.messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = o.appendMessage(b, &o.messages[i])
	}
	return append(b, "]}"...)
}

func (o *receiveMessageOutput) appendMessage(b []byte, r *received) []byte {
	b = append(b, `{"MessageId":"`...)
	b = appendUUID(b, r.stored.id)
	b = append(b, `","ReceiptHandle":"`...)
	b = r.flight.handle(o.queue.id).append(b)
	b = append(b, `","MD5OfBody":"`...)
	b = hex.AppendEncode(b, r.stored.bodyMD5[:])
	b = append(b, `","Body":`...)
	b = rawjson.AppendQuoted(b, r.stored.body)
	none := len(b)
	b = append(b, `,"Attributes":{`...)
	empty := len(b)
	r.systemAttributes(o.queue.s.account, func(name, value string) {
		if o.system(name) {
			b = appendName(b, empty, name)
			b = rawjson.AppendQuoted(b, value)
		}
	})
	if len(b) == empty {
		b = b[:none]
	} else {
		b = append(b, '}')
	}
	return append(o.appendAttributes(b, r.stored.attributes), '}')
}

// appendAttributes appends those that are wanted, with their MD5. As in SQS it covers these, because
// that is what clients verify.
func (o *receiveMessageOutput) appendAttributes(b []byte, as []named) []byte {
	var wanted []named
	for _, a := range as {
		if wantsAttribute(o.names, a.name) {
			wanted = append(wanted, a)
		}
	}
	if len(wanted) == 0 {
		return b
	}
	b = append(b, `,"MD5OfMessageAttributes":"`...)
	b = append(b, attributesMD5(wanted)...)
	b = append(b, `","MessageAttributes":{`...)
	empty := len(b)
	for _, a := range wanted {
		b = appendName(b, empty, a.name)
		b = append(b, `{"DataType":`...)
		b = rawjson.AppendQuoted(b, a.DataType)
		if a.binary() {
			b = append(b, `,"BinaryValue":"`...)
			b = append(base64.StdEncoding.AppendEncode(b, a.BinaryValue), '"')
		} else {
			b = append(b, `,"StringValue":`...)
			b = rawjson.AppendQuoted(b, a.StringValue)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendName appends the name of an object's field. empty is the length of b when the object had
// none.
func appendName(b []byte, empty int, name string) []byte {
	if len(b) > empty {
		b = append(b, ',')
	}
	return append(rawjson.AppendQuoted(b, name), ':')
}

func appendUUID(b []byte, id uuid.UUID) []byte {
	from := 0
	for _, to := range [...]int{4, 6, 8, 10, 16} {
		if from > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[from:to])
		from = to
	}
	return b
}
