package deadletter

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// maxHeld is how many dead letters a scan holds at a time. SQS lets 120,000 messages of a queue
	// be in flight, and hands out none beyond.
	maxHeld = 100_000
	// PutBackFor is how long a dead letter that was put back is invisible: a scan of more than
	// maxHeld should not receive it again.
	PutBackFor = time.Minute
	// maxAttributes is how many attributes a message may have.
	maxAttributes = 10
)

// makeRoom puts dead letters of one receive back if the scan holds as many as it may: it sends a
// copy to the queue's end, and then deletes the original. An interruption loses none, and may leave
// one twice, which is recognised by its ID and body. If that fails, such as without the permission
// to send to the queue, the scan holds what it can and ends there.
func (s *scan) makeRoom(ctx context.Context, received []*Received) {
	s.mu.Lock()
	over := len(s.handles) > s.q.maxHeld && !s.stuck
	var held []*Received
	for _, l := range received {
		if _, ok := s.handles[l.MessageID]; ok && over {
			held = append(held, l)
		}
	}
	s.mu.Unlock()
	if !over {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for len(held) > 0 {
		n := s.sendBack(ctx, held)
		if n == 0 {
			return
		}
		held = held[n:]
	}
}

// sendBack puts the first n dead letters back, as many as fit one call. 0: it could not.
func (s *scan) sendBack(ctx context.Context, held []*Received) (n int) {
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(s.q.url)}
	var sent []*Received
	size := 0
	for _, l := range held {
		m := message.Message{Body: string(l.Body), Attributes: l.Attributes}
		values, added := putBackAttributes(l)
		bytes := m.Size() + added
		if len(values) > maxAttributes || bytes > message.MaxBytes {
			n++ // it is held until the end
			continue
		}
		if size += bytes; size > message.MaxBytes || len(in.Entries) == sqsclient.MaxEntries {
			break
		}
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(len(sent))),
			MessageBody: aws.String(m.Body), MessageAttributes: values, DelaySeconds: int32(PutBackFor / time.Second)})
		sent = append(sent, l)
		n++
	}
	if len(sent) == 0 {
		return n
	}
	out, err := s.q.api.SendMessageBatch(ctx, in)
	if err != nil {
		s.mu.Lock()
		s.stuck = true
		s.mu.Unlock()
		return 0
	}
	var copied []*Received
	for _, e := range out.Successful {
		if i, err := strconv.Atoi(aws.ToString(e.Id)); err == nil && i < len(sent) {
			copied = append(copied, sent[i])
		}
	}
	failed, _ := s.delete(ctx, copied) // one that can't be deleted is there twice
	s.mu.Lock()
	s.putBack += len(copied) - len(failed)
	s.mu.Unlock()
	return n
}

// putBackAttributes are the attributes of a dead letter's copy, with what SQS said of the original
// in attributes of its own. added is how many bytes they have more.
func putBackAttributes(l *Received) (values map[string]types.MessageAttributeValue, added int) {
	values = maps.Clone(l.raw)
	if values == nil {
		values = map[string]types.MessageAttributeValue{}
	}
	say := map[string]message.Attribute{message.AttrDeadLetterID: message.StringAttribute(message.LegalText(l.ID))}
	if !l.FirstSeen.IsZero() {
		say[message.AttrFirstSeen] = message.StringAttribute(l.FirstSeen.UTC().Format(event.TimeFormat))
	}
	if l.Reason == message.ReasonMovedBySQS {
		say[message.AttrReason] = message.StringAttribute(l.Reason)
		say[message.AttrDetail] = message.StringAttribute(l.Detail)
		say[message.AttrReceives] = message.NumberAttribute(int64(l.Receives))
	}
	for name, value := range sqsclient.Attributes(say) {
		values[name] = value
		added += len(name) + len(aws.ToString(value.DataType)) + len(aws.ToString(value.StringValue))
	}
	return values, added
}
