package drill

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// What the faults of an environment recognise in an invocation.
const (
	holdPayload = `{"drill":"holds an environment"}`
	holdTime    = 20 * time.Second
	poisonMark  = "the function dies of this"
)

func isHold(payload []byte) bool    { return string(payload) == holdPayload }
func hasPoison(payload []byte) bool { return bytes.Contains(payload, []byte(poisonMark)) }

// hold uses the function's concurrency up while a fault says so, as another caller would.
func (s *simulation) hold(ctx context.Context, f *Failure) {
	sleep(ctx, time.Until(s.start.Add(f.From)))
	limit, _ := s.topology.Function(s.topology.Names.DeliverFunction)
	for range limit.ReservedConcurrency {
		s.sending.Go(func() {
			for ctx.Err() == nil && time.Since(s.start) < f.Until {
				if _, err := s.world.Delivery.Function.Invoke(ctx, []byte(holdPayload)); err != nil {
					sleep(ctx, 50*time.Millisecond)
				}
			}
		})
	}
}

// do does what people do at a moment.
func (s *simulation) do(step *Step) error {
	ctx := context.Background()
	client := virtual.Client(s.toSQS())
	names := s.topology.Names
	events, dead := virtual.QueueURL(names.EventsQueue), virtual.QueueURL(names.DeadLetterQueue)
	bulk := virtual.QueueURL(names.BulkQueue)
	switch step.Do {
	case Deploy:
		return s.deploy(ctx)
	case RollOut, RollOutBug:
		s.sending.Go(func() {
			if err := s.rollOut(ctx, step.Do == RollOutBug); err != nil {
				s.fail(fmt.Errorf("%s: %w", step.Text, err))
			}
		})
		return nil
	case Unpacked:
		s.sending.Go(func() { s.sendUnpacked(ctx, client, events, 110_000) })
		return nil
	case Compressed:
		s.sending.Go(func() { sdks{s, &http.Client{Transport: s.gateway}}.compressed() })
		return nil
	case Redrive:
		s.sending.Go(func() {
			_, err := deadletter.New(client, dead).Redrive(ctx, sqsclient.New(client, bulk), deadletter.RedriveOptions{})
			if err != nil {
				s.fail(fmt.Errorf("redrive: %w", err))
			}
		})
		return nil
	case Drop:
		_, err := client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: &dead})
		return err
	case Drain, Restore, Pause, Resume, PauseKey, ResumeKey:
		return s.toggle(step)
	case Poison:
		return s.sendRaw(ctx, client, events, `{"type":"track","event":"`+poisonMark+`","userId":"u",`+
			`"messageId":"%s","timestamp":"2018-09-24T00:00:00.000Z"}`, 1)
	case Invalid:
		return s.sendRaw(ctx, client, events, `{"type":"track","event":"No User","messageId":"%s"}`, 1)
	case OldApp:
		return s.sendRaw(ctx, client, events, `{"writeKey":"`+wrongKey+`","batch":[{"type":"track","event":"Old App",`+
			`"userId":"u","messageId":"%s"}]}`, 2)
	}
	return fmt.Errorf("unknown deed %q", step.Do)
}

// sendRaw sends n messages of one event each, as a person or another program does.
func (s *simulation) sendRaw(ctx context.Context, client *awssqs.Client, url, format string, n int) error {
	for range n {
		id := s.ledger.issue(1)
		body := fmt.Sprintf(format, messageID(id))
		if _, err := client.SendMessage(ctx,
			&awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(body)}); err != nil {
			return err
		}
		s.ledger.accept(id, 1)
	}
	return nil
}

// sendUnpacked sends messages of one event each, as a script without the publisher does.
func (s *simulation) sendUnpacked(ctx context.Context, client *awssqs.Client, url string, n int) {
	for n > 0 {
		in := &awssqs.SendMessageBatchInput{QueueUrl: &url}
		first := s.ledger.issue(sqsclient.MaxEntries)
		for i := range sqsclient.MaxEntries {
			in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)),
				MessageBody: aws.String(string(newEvent("Import", messageID(first+i), time.Now())))})
		}
		if _, err := client.SendMessageBatch(ctx, in); err != nil {
			s.fail(err)
			return
		}
		s.ledger.accept(first, sqsclient.MaxEntries)
		n -= sqsclient.MaxEntries
	}
}

// count finds out what is in the queues at the end.
func (s *simulation) count() error {
	time.Sleep(s.topology.Queues[0].VisibilityTimeout + 15*time.Minute) // all is visible again
	s.dead = map[string]int64{}
	for _, r := range s.regions() {
		err := s.readAll(r.world.Queue(s.topology.Names.DeadLetterQueue), isDead, func(m *sqs.Message, events int) {
			reason := m.MessageAttributes[message.AttrReason].StringValue
			if m.Attributes["DeadLetterQueueSourceArn"] != "" {
				reason = message.ReasonMovedBySQS
			}
			s.dead[reason] += int64(events)
		})
		if err != nil {
			return err
		}
		for _, source := range s.topology.EventSources {
			if err := s.readAll(r.world.Queue(source.Queue), isWaiting, func(*sqs.Message, int) {}); err != nil {
				return err
			}
		}
	}
	return nil
}

// readAll reads every message of a queue, and deletes it.
func (s *simulation) readAll(q *sqs.Queue, as outcome, each func(m *sqs.Message, events int)) error {
	ctx := context.Background()
	d, err := message.NewDecoder()
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		got, err := q.Receive(ctx, 10, 0)
		if err != nil || len(got) == 0 {
			return err
		}
		handles := make([]string, len(got))
		for i := range got {
			handles[i] = got[i].ReceiptHandle
			var content message.Content
			if err := d.Decode([]byte(got[i].Body), &content); err != nil { // a dead letter for that reason
				each(&got[i], 1)
				continue
			}
			for _, e := range content.Events {
				s.ledger.find(idOf(e.Raw), as)
			}
			each(&got[i], len(content.Events))
		}
		if err := q.Delete(ctx, handles); err != nil {
			return err
		}
	}
}

// idOf is the messageId of an event of the drill, or empty.
func idOf(raw []byte) string {
	_, after, ok := bytes.Cut(raw, []byte(`"messageId":"`))
	if !ok {
		return ""
	}
	id, _, _ := bytes.Cut(after, []byte(`"`))
	return string(id)
}
