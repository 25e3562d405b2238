package deadletter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400) // as usual, a third of the CPU would be the collector's
	m.Run()
}

// stored is a message in a fake queue.
type stored struct {
	message.Message
	id       string
	sent     time.Time
	visible  time.Time
	receives int
	handle   string
	source   string // the queue that SQS moved it from
}

// fakeSQS is one standard queue. With faults, calls fail before or after their work, in part, or
// are slow.
type fakeSQS struct {
	mu       sync.Mutex
	name     string
	messages []*stored
	count    int
	rng      *rand.Rand // nil: no faults
	calls    map[string]int
	before   func(call string) // nil: nothing

	maxInFlight int  // beyond it none is handed out; 0: no bound
	most        int  // that were in flight
	shuffled    bool // hand out in no order
	denySend    bool
}

func newFake(name string) *fakeSQS { return &fakeSQS{name: name, calls: map[string]int{}} }

var errReset = errors.New("the connection was reset")

// fault is drawn for each call: run says whether to do its work, and the error that its answer is
// lost.
func (f *fakeSQS) fault(call string) (run bool, err error) {
	if f.before != nil {
		f.before(call)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[call]++
	if f.rng == nil {
		return true, nil
	}
	switch f.rng.IntN(20) {
	case 0:
		return false, errReset
	case 1:
		return true, errReset
	case 2:
		f.mu.Unlock()
		time.Sleep(20 * time.Second)
		f.mu.Lock()
	}
	return true, nil
}

// refuses is drawn for each entry of a batch.
func (f *fakeSQS) refuses() bool { return f.rng != nil && f.rng.IntN(15) == 0 }

func (f *fakeSQS) put(m message.Message, source string) *stored { return f.putLater(m, source, 0) }

// putLater is put for a message that is visible after a delay.
func (f *fakeSQS) putLater(m message.Message, source string, delay time.Duration) *stored {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	s := &stored{Message: m, id: fmt.Sprintf("%s-%d", f.name, f.count), sent: time.Now(), source: source,
		visible: time.Now().Add(delay)}
	f.messages = append(f.messages, s)
	return s
}

func (f *fakeSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	run, err := f.fault("send")
	if !run {
		return nil, err
	}
	if f.denySend {
		return nil, errors.New("AccessDenied")
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		f.mu.Lock()
		refused := f.refuses()
		f.mu.Unlock()
		if refused {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
			continue
		}
		m := message.Message{Body: aws.ToString(e.MessageBody), Group: aws.ToString(e.MessageGroupId),
			Attributes: sqsclient.ParseAttributes(e.MessageAttributes)}
		if m.Size() > message.MaxBytes || len(m.Attributes) > 10 {
			panic("SQS does not accept this message")
		}
		f.putLater(m, "", time.Duration(e.DelaySeconds)*time.Second)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (f *fakeSQS) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput,
	_ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	run, err := f.fault("receive")
	if !run {
		return nil, err
	}
	out := &sqs.ReceiveMessageOutput{}
	f.mu.Lock()
	if f.shuffled {
		rand.Shuffle(len(f.messages), func(i, j int) { f.messages[i], f.messages[j] = f.messages[j], f.messages[i] })
	}
	inFlight := 0 // a delayed one is not
	for _, m := range f.messages {
		if m.receives > 0 && m.visible.After(time.Now()) {
			inFlight++
		}
	}
	for _, m := range f.messages {
		if f.maxInFlight > 0 && inFlight >= f.maxInFlight {
			break
		}
		if m.visible.After(time.Now()) || len(out.Messages) == int(in.MaxNumberOfMessages) {
			continue
		}
		if f.rng != nil && f.rng.IntN(3) == 0 { // out of order
			continue
		}
		m.receives++
		inFlight++
		f.most = max(f.most, inFlight)
		m.handle = m.id + "/" + strconv.Itoa(m.receives)
		m.visible = time.Now().Add(time.Duration(in.VisibilityTimeout) * time.Second)
		got := types.Message{MessageId: aws.String(m.id), ReceiptHandle: aws.String(m.handle), Body: aws.String(m.Body),
			MessageAttributes: sqsclient.Attributes(m.Attributes),
			Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10),
				"ApproximateReceiveCount": strconv.Itoa(m.receives)}}
		if m.source != "" {
			got.Attributes["DeadLetterQueueSourceArn"] = m.source
		}
		out.Messages = append(out.Messages, got)
	}
	f.mu.Unlock()
	if len(out.Messages) == 0 {
		time.Sleep(time.Duration(in.WaitTimeSeconds) * time.Second)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (f *fakeSQS) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	run, err := f.fault("delete")
	if !run {
		return nil, err
	}
	out := &sqs.DeleteMessageBatchOutput{}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range in.Entries {
		if f.refuses() {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
			continue
		}
		f.messages = slices.DeleteFunc(f.messages, func(m *stored) bool { return m.handle == aws.ToString(e.ReceiptHandle) })
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	return out, err
}

func (f *fakeSQS) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
	_ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	run, err := f.fault("change visibility")
	if !run {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range in.Entries {
		for _, m := range f.messages {
			if m.handle == aws.ToString(e.ReceiptHandle) {
				m.visible = time.Now().Add(time.Duration(e.VisibilityTimeout) * time.Second)
			}
		}
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{}, err
}

func (f *fakeSQS) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
	...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	invisible := f.invisible()
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(len(f.messages) - invisible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(invisible),
	}}, nil
}

// invisible counts. The caller must hold mu or be the only user of f.
func (f *fakeSQS) invisible() (n int) {
	for _, m := range f.messages {
		if m.visible.After(time.Now()) {
			n++
		}
	}
	return n
}

// want fails the test when the two differ.
func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s: got %.600s, want %.600s", what, g, w)
	}
}
