package sqs

import (
	"encoding/base64"
	"strconv"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// quick is a request that reads itself, as SDKs write it, in one pass over its bytes: encoding/json
// makes three, which is most of the CPU of a send. What is not written so (a name in other case, a
// field that is there twice, null, another type) it reports as odd. Then encoding/json reads the
// request, and what it makes of it counts.
type quick interface{ read(r *quickReader) }

// quickReader reads a request. It is not safe for concurrent use.
type quickReader struct {
	scanner rawjson.Scanner
	odd     bool
	scratch []byte
}

// quickly reads a request, which has no half of a surrogate pair. After false it is in no state.
func quickly(body []byte, in quick) bool {
	var r quickReader
	r.scanner.Reset(body)
	in.read(&r)
	return r.scanner.End() == nil && !r.odd && !r.scanner.TakeFlaws().NotUTF8
}

// object reads an object. field reads the value of each field, or reports it as odd.
func (r *quickReader) object(field func(key []byte)) {
	if !r.scanner.Enter('{') {
		return
	}
	for {
		key, ok := r.scanner.Field()
		if !ok || r.odd {
			return
		}
		field(key)
	}
}

// array reads an array; elem reads each element.
func (r *quickReader) array(elem func()) {
	if !r.scanner.Enter('[') {
		return
	}
	for r.scanner.Elem() && !r.odd {
		elem()
	}
}

func (r *quickReader) isOdd() { r.odd = true }

// text reads a string; anything else is an error of the scanner, which is as good as odd. The result
// is valid until the next call.
func (r *quickReader) text() (text []byte) {
	text, r.scratch = r.scanner.Text(r.scratch)
	return text
}

func (r *quickReader) string() string { return string(r.text()) }

func (r *quickReader) stringPointer() *string {
	s := r.string()
	return &s
}

// int reads a number without a fraction or exponent.
func (r *quickReader) int() int {
	n, err := strconv.Atoi(string(r.scanner.Value()))
	if err != nil {
		r.isOdd()
	}
	return n
}

func (r *quickReader) intPointer() *int {
	n := r.int()
	return &n
}

func (r *quickReader) strings() []string {
	ss := []string{}
	r.array(func() { ss = append(ss, r.string()) })
	return ss
}

func (r *quickReader) attributes() map[string]attributeValue {
	as := map[string]attributeValue{}
	r.object(func(key []byte) {
		name, v := string(key), attributeValue{}
		r.object(func(key []byte) {
			switch string(key) {
			case "DataType":
				v.DataType = r.string()
			case "StringValue":
				v.StringValue = r.stringPointer()
			case "BinaryValue":
				b, err := base64.StdEncoding.AppendDecode([]byte{}, r.text())
				if v.BinaryValue = b; err != nil {
					r.isOdd()
				}
			default:
				r.isOdd()
			}
		})
		if _, twice := as[name]; twice {
			r.isOdd()
		}
		as[name] = v
	})
	return as
}

func (in *receiveMessageInput) read(r *quickReader) {
	lists := map[string]*[]string{
		"AttributeNames": &in.AttributeNames, "MessageSystemAttributeNames": &in.MessageSystemAttributeNames,
		"MessageAttributeNames": &in.MessageAttributeNames,
	}
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			in.QueueUrl = r.string()
		case "MaxNumberOfMessages":
			in.MaxNumberOfMessages = r.intPointer()
		case "VisibilityTimeout":
			in.VisibilityTimeout = r.intPointer()
		case "WaitTimeSeconds":
			in.WaitTimeSeconds = r.intPointer()
		default:
			list := lists[string(key)]
			if list == nil || *list != nil {
				r.isOdd()
				return
			}
			*list = r.strings()
		}
	})
}

func (in *deleteMessageInput) read(r *quickReader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			in.QueueUrl = r.string()
		case "ReceiptHandle":
			in.ReceiptHandle = r.string()
		default:
			r.isOdd()
		}
	})
}

func (in *deleteMessageBatchInput) read(r *quickReader) {
	readBatch(r, &in.queueURL, &in.Entries, func(e *deleteEntry, key []byte) {
		switch string(key) {
		case "Id":
			e.Id = r.string()
		case "ReceiptHandle":
			e.ReceiptHandle = r.string()
		default:
			r.isOdd()
		}
	})
}

func (in *sendMessageInput) read(r *quickReader) {
	r.object(func(key []byte) {
		if string(key) == "QueueUrl" {
			in.QueueUrl = r.string()
		} else {
			in.readField(r, key)
		}
	})
}

func (in *sendMessageBatchInput) read(r *quickReader) {
	readBatch(r, &in.queueURL, &in.Entries, func(e *batchMessage, key []byte) {
		if string(key) == "Id" {
			e.Id = r.string()
		} else {
			e.readField(r, key)
		}
	})
}

// readBatch reads the request of a batch action. field reads a field of an entry.
func readBatch[E any](r *quickReader, url *queueURL, entries *[]E, field func(e *E, key []byte)) {
	r.object(func(key []byte) {
		switch {
		case string(key) == "QueueUrl":
			url.QueueUrl = r.string()
		case string(key) == "Entries" && *entries == nil:
			*entries = make([]E, 0, maxBatchEntries)
			r.array(func() {
				var e E
				r.object(func(key []byte) { field(&e, key) })
				*entries = append(*entries, e)
			})
		default:
			r.isOdd()
		}
	})
}

func (in *messageInput) readField(r *quickReader, key []byte) {
	switch string(key) {
	case "MessageBody":
		in.MessageBody = r.string()
	case "DelaySeconds":
		in.DelaySeconds = r.intPointer()
	case "MessageDeduplicationId":
		in.MessageDeduplicationId = r.stringPointer()
	case "MessageGroupId":
		in.MessageGroupId = r.stringPointer()
	case "MessageAttributes":
		if in.MessageAttributes != nil {
			r.isOdd()
		}
		in.MessageAttributes = r.attributes()
	case "MessageSystemAttributes":
		if in.MessageSystemAttributes != nil {
			r.isOdd()
		}
		in.MessageSystemAttributes = r.attributes()
	default:
		r.isOdd()
	}
}
