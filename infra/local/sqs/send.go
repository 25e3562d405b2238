package sqs

import (
	"context"
	"unicode/utf8"
)

// Outgoing is an entry of [Queue.Send].
type Outgoing struct {
	ID, Body   string
	Group      string // MessageGroupId; empty: none
	Attributes map[string]MessageAttribute
}

// A SendError is SQS's answer to a send that it refuses. Code is that of the Query protocol, which
// the SDKs report.
type SendError struct {
	Code, Message string
	SenderFault   bool // it would be refused again
}

func (e *SendError) Error() string { return e.Code + ": " + e.Message }

// Send is the action SendMessageBatch for a sender in the same process, which neither writes nor
// reads JSON: it applies the same rules to 1 to 10 messages, and returns when they are on disk.
// refused has those that are not, by their ID. After an error none is.
func (q *Queue) Send(ctx context.Context, messages []Outgoing) (refused map[string]*SendError, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := q.s.enter(); err != nil {
		return nil, sendError(err)
	}
	defer q.s.exit()
	ids := make([]string, len(messages))
	for i := range messages {
		ids[i] = messages[i].ID
		if !messages[i].validUTF8() {
			return nil, sendError(errSerialization("the request is not valid UTF-8"))
		}
	}
	err = q.sendBatch(call{s: q.s, ctx: ctx}, ids, func(i int) *messageInput { return messages[i].input() },
		func(i int, _ *entry, err error) {
			if err == nil {
				return
			}
			if refused == nil {
				refused = map[string]*SendError{}
			}
			refused[ids[i]] = sendError(err)
		})
	if err != nil {
		return nil, sendError(err)
	}
	return refused, nil
}

// validUTF8 reports what [decode] finds in a request.
func (m *Outgoing) validUTF8() bool {
	valid := utf8.ValidString(m.Body) && utf8.ValidString(m.Group)
	for name, a := range m.Attributes {
		valid = valid && utf8.ValidString(name) && utf8.ValidString(a.DataType) && utf8.ValidString(a.StringValue)
	}
	return valid
}

func (m *Outgoing) input() *messageInput {
	in := &messageInput{MessageBody: m.Body}
	if m.Group != "" {
		in.MessageGroupId = &m.Group
	}
	if len(m.Attributes) > 0 {
		in.MessageAttributes = make(map[string]attributeValue, len(m.Attributes))
	}
	for name, a := range m.Attributes {
		v := attributeValue{DataType: a.DataType, BinaryValue: a.BinaryValue}
		if a.StringValue != "" {
			v.StringValue = &a.StringValue
		}
		in.MessageAttributes[name] = v
	}
	return in
}

func sendError(err error) *SendError {
	e := asAPIError(err)
	return &SendError{e.code, e.message, e.senderFault()}
}
