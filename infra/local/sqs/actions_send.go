package sqs

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// attributeValue is a message attribute in a request or an answer.
type attributeValue struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"` // base64 in JSON
}

// messageInput is what SendMessage and an entry of SendMessageBatch share.
type messageInput struct {
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attributeValue
	MessageSystemAttributes map[string]attributeValue
	MessageDeduplicationId  *string
	MessageGroupId          *string
}

type sendMessageInput struct {
	queueURL
	messageInput
}

// sentMessage is what the answers of both share.
type sentMessage struct {
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
	MessageId                    string
}

func sendMessage(c call, q *Queue, in *sendMessageInput) (any, error) {
	if err := q.s.room(); err != nil {
		return nil, err
	}
	e, size, err := in.entry(q)
	if err != nil {
		return nil, err
	}
	if limit := q.settings.Load().maxBytes; size > limit {
		return nil, errInvalidParameter("One or more parameters are invalid. Reason: %s", tooLong(limit))
	}
	answer := e.answer()
	e.traceFrom(c)
	if err := q.send([]*entry{e}); err != nil {
		return nil, err
	}
	return answer, nil
}

func tooLong(limit int) string { return fmt.Sprintf("Message must be shorter than %d bytes.", limit) }

// maxTraceHeader bounds the header that is stored with each message of a request. One of X-Ray has
// about 100 bytes.
const maxTraceHeader = 1024

// traceFrom gives a message the tracing header of its request. As in SQS, one that was sent as a
// system attribute goes before it, and only that has an MD5 in the answer.
func (e *entry) traceFrom(c call) {
	if e.trace == "" && len(c.trace) <= maxTraceHeader {
		e.trace = c.trace
	}
}

// entry checks a message for a queue, but not its size, and makes an entry of it. It also returns
// the size; after an error that is at least the size of the body.
func (in *messageInput) entry(q *Queue) (*entry, int, error) {
	size := len(in.MessageBody)
	if in.MessageBody == "" {
		return nil, size, errMissingParameter("MessageBody")
	}
	e := &entry{delay: q.settings.Load().delay, events: 1}
	if d := in.DelaySeconds; d != nil {
		if *d < 0 || *d > maxDelay {
			return nil, size, errInvalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must "+
				"be >= 0 and <= %d.", *d, maxDelay)
		}
		e.delay = time.Duration(*d) * time.Second
	}
	if err := in.checkIDs(); err != nil {
		return nil, size, err
	}
	if n := len(in.MessageAttributes); n > maxAttributes {
		return nil, size, errInvalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", n,
			maxAttributes)
	}
	for name, v := range in.MessageAttributes {
		a := named{name, v.attribute()}
		if err := checkAttribute(name, a.MessageAttribute); err != nil {
			return nil, size, err
		}
		size += attributeBytes(a)
		e.attributes = append(e.attributes, a)
		if name == q.s.countAttribute {
			e.events = eventCount(a.MessageAttribute)
		}
	}
	sortAttributes(e.attributes)
	if r, bad := forbiddenRune(in.MessageBody); bad {
		return nil, size, errInvalidContents(r)
	}
	for name, v := range in.MessageSystemAttributes {
		if name != "AWSTraceHeader" || v.DataType != "String" || v.StringValue == nil || *v.StringValue == "" {
			return nil, size, errInvalidParameter("Message system attribute name '%s' is invalid or not a non-empty String: "+
				"only AWSTraceHeader can be sent.", name)
		}
		e.trace = *v.StringValue
	}
	e.id = uuid.New()
	e.body = in.MessageBody
	e.bodyMD5 = md5.Sum([]byte(e.body))
	if in.MessageGroupId != nil {
		e.group = *in.MessageGroupId
	}
	return e, size, nil
}

// checkIDs checks the ids that come from FIFO queues: a standard queue takes a group id, for fair
// queues, and no deduplication id.
func (in *messageInput) checkIDs() error {
	const rule = "Value %[2]s for parameter %[1]s is invalid. Reason: %[1]s can only include alphanumeric and " +
		"punctuation " +
		"characters. 1 to %[3]d in length."
	if d := in.MessageDeduplicationId; d != nil && !legalGroupID(*d) {
		return errInvalidParameter(rule, "MessageDeduplicationId", *d, maxGroupID)
	}
	if d := in.MessageDeduplicationId; d != nil {
		return errInvalidParameter("Value %s for parameter MessageDeduplicationId is invalid. Reason: The "+
			"request include parameter that is not valid for this queue type.", *d)
	}
	if g := in.MessageGroupId; g != nil && !legalGroupID(*g) {
		return errInvalidParameter(rule, "MessageGroupId", *g, maxGroupID)
	}
	return nil
}

func (v attributeValue) attribute() MessageAttribute {
	a := MessageAttribute{DataType: v.DataType, BinaryValue: v.BinaryValue}
	if v.StringValue != nil {
		a.StringValue = *v.StringValue
	}
	return a
}

// maxEventCount is how many events a message can count, so that a wrong attribute can't make the
// sum overflow.
const maxEventCount = 1_000_000

func eventCount(a MessageAttribute) int64 {
	if n, err := strconv.ParseInt(a.StringValue, 10, 64); err == nil && n >= 1 && n <= maxEventCount {
		return n
	}
	return 1
}

func (e *entry) answer() sentMessage {
	m := sentMessage{
		MD5OfMessageBody:       hex.EncodeToString(e.bodyMD5[:]),
		MD5OfMessageAttributes: attributesMD5(e.attributes),
		MessageId:              e.id.String(),
	}
	if e.trace != "" {
		m.MD5OfMessageSystemAttributes = attributesMD5([]named{
			{"AWSTraceHeader", MessageAttribute{DataType: "String", StringValue: e.trace}},
		})
	}
	return m
}

type sendMessageBatchInput struct {
	queueURL
	Entries []batchMessage
}

type batchMessage struct {
	Id string
	messageInput
}

type sentEntry struct {
	Id string
	sentMessage
}

func sendMessageBatch(c call, q *Queue, in *sendMessageBatchInput) (any, error) {
	ids := make([]string, len(in.Entries))
	for i := range in.Entries {
		ids[i] = in.Entries[i].Id
	}
	var out batchOutput[sentEntry]
	err := q.sendBatch(c, ids, func(i int) *messageInput { return &in.Entries[i].messageInput },
		func(i int, e *entry, err error) {
			if err != nil {
				out.fail(ids[i], err)
				return
			}
			out.Successful = append(out.Successful, sentEntry{ids[i], e.answer()})
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// sendBatch adds the messages of a batch that the queue takes. It calls result for each of them,
// with why it is refused or the entry as it was sent; an error says why none was added.
func (q *Queue) sendBatch(c call, ids []string, message func(i int) *messageInput,
	result func(i int, e *entry, err error)) error {
	if err := q.s.room(); err != nil {
		return err
	}
	if err := checkBatch("SendMessageBatchRequestEntry", ids); err != nil {
		return err
	}
	var es []*entry
	limit, total := q.settings.Load().maxBytes, 0
	for i := range ids {
		e, size, err := message(i).entry(q)
		total += size
		if err == nil && size > limit {
			err = errInvalidParameter("One or more parameters cannot be validated. Reason: %s", tooLong(limit))
		}
		result(i, e, err)
		if err == nil {
			e.traceFrom(c)
			es = append(es, e)
		}
	}
	if total > maxMessageBytes {
		return errBatch("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.",
			maxMessageBytes, total)
	}
	if len(es) == 0 {
		return nil
	}
	return q.send(es)
}
