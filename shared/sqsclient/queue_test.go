package sqsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/shared/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const url = "https://sqs.example/events"

// fakeSQS checks calls against SQS's limits and answers as a test says.
type fakeSQS struct {
	t     *testing.T
	calls [][]string         // bodies, call by call
	group map[string]*string // MessageGroupId by body
	at    []time.Time
	// answer is the answer to an entry in the nth call, from 1; nil: it is accepted.
	answer func(call int, body string) (code string, senderFault, silent bool)
	err    func(call int) error

	mu      sync.Mutex // guards changes, whose calls are made at the same time
	changes [][]types.ChangeMessageVisibilityBatchRequestEntry
	change  func(call int, e types.ChangeMessageVisibilityBatchRequestEntry) (code string)
}

func (f *fakeSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	call := len(f.calls) + 1
	var bodies []string
	size := 0
	ids := map[string]bool{}
	for _, e := range in.Entries {
		bodies = append(bodies, *e.MessageBody)
		if f.group != nil {
			f.group[*e.MessageBody] = e.MessageGroupId
		}
		size += len(*e.MessageBody)
		for name, a := range e.MessageAttributes {
			size += len(name) + len(*a.DataType) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
		}
		ids[*e.Id] = true
	}
	if n := len(in.Entries); n < 1 || n > 10 || size > 1<<20 || len(ids) != n || *in.QueueUrl != url {
		f.t.Errorf("call %d to %s: %d entries, %d ids, %d bytes", call, *in.QueueUrl, n, len(ids), size)
	}
	f.calls = append(f.calls, bodies)
	f.at = append(f.at, time.Now())
	if f.err != nil {
		if err := f.err(call); err != nil {
			return nil, err
		}
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range slices.Backward(in.Entries) { // SQS promises no order
		code, fault, silent := "", false, false
		if f.answer != nil {
			code, fault, silent = f.answer(call, *e.MessageBody)
		}
		switch {
		case silent:
		case code != "":
			out.Failed = append(out.Failed,
				types.BatchResultErrorEntry{Id: e.Id, Code: aws.String(code), Message: aws.String("because"), SenderFault: fault})
		default:
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
		}
	}
	return out, nil
}

func (f *fakeSQS) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
	_ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, in.Entries)
	if n := len(in.Entries); n < 1 || n > 10 || *in.QueueUrl != url {
		f.t.Errorf("%d entries to %s", n, *in.QueueUrl)
	}
	if f.err != nil {
		if err := f.err(len(f.changes)); err != nil {
			return nil, err
		}
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		if f.change != nil {
			if code := f.change(len(f.changes), e); code != "" {
				out.Failed = append(out.Failed,
					types.BatchResultErrorEntry{Id: e.Id, Code: aws.String(code), Message: aws.String("because")})
			}
		}
	}
	return out, nil
}

func texts(n int) []message.Message {
	messages := make([]message.Message, n)
	for i := range messages {
		messages[i].Body = "m" + strconv.Itoa(i)
	}
	return messages
}

func sized(n int) message.Message { return message.Message{Body: strings.Repeat("x", n)} }

// sizes are how many messages each call held.
func (f *fakeSQS) sizes() string {
	var s []string
	for _, c := range f.calls {
		s = append(s, strconv.Itoa(len(c)))
	}
	return strings.Join(s, " ")
}

func failures(t *testing.T, err error) map[int]error {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *SendError
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *SendError", err)
	}
	return e.Failed
}

func TestCallsAreFilledUpToTheLimitsOfSQS(t *testing.T) {
	const full = 1 << 20
	withAttributes := message.Message{Body: strings.Repeat("x", full/2),
		Attributes: map[string]message.Attribute{"N": message.NumberAttribute(12345), "S": message.StringAttribute("text")}}
	if n := withAttributes.Size(); n != full/2+1+6+5+1+6+4 {
		t.Errorf("size %d", n)
	}
	for name, c := range map[string]struct {
		messages []message.Message
		want     string
	}{
		"none":                            {nil, ""},
		"one":                             {texts(1), "1"},
		"ten":                             {texts(10), "10"},
		"eleven":                          {texts(11), "10 1"},
		"forty-two":                       {texts(42), "10 10 10 10 2"},
		"one that is full":                {[]message.Message{sized(full)}, "1"},
		"two halves":                      {[]message.Message{sized(full / 2), sized(full / 2)}, "2"},
		"two halves and a byte":           {[]message.Message{sized(full / 2), sized(full/2 + 1)}, "1 1"},
		"two halves, one with attributes": {[]message.Message{sized(full / 2), withAttributes}, "1 1"},
		"small, full, small":              {[]message.Message{sized(1), sized(full), sized(1)}, "1 1 1"},
		"worst packed messages":           {[]message.Message{sized(633_000), sized(633_000), sized(400_000)}, "1 2"},
		"typical packed messages":         {slices.Repeat([]message.Message{sized(118_000)}, 20), "8 8 4"},
	} {
		f := &fakeSQS{t: t}
		if err := New(f, url).Send(t.Context(), c.messages); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := f.sizes(); got != c.want {
			t.Errorf("%s: calls of %s messages, want %s", name, got, c.want)
		}
	}
}

func TestAMessageThatIsTooLargeFailsAloneAndIsNotSent(t *testing.T) {
	f := &fakeSQS{t: t}
	messages := texts(4)
	messages[1] = sized(message.MaxBytes + 1)
	messages[2] = message.Message{Body: strings.Repeat("x", message.MaxBytes),
		Attributes: map[string]message.Attribute{"N": message.NumberAttribute(1)}}
	err := New(f, url).Send(t.Context(), messages)
	failed := failures(t, err)
	if len(failed) != 2 || failed[1] != ErrTooLarge || failed[2] != ErrTooLarge || !errors.Is(err, ErrTooLarge) {
		t.Errorf("failed %v", failed)
	}
	if want := "send to https://sqs.example/events: 2 messages failed, the first is message 1: the message is larger " +
		"than the 1048576 bytes that SQS takes"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if got := f.calls; len(got) != 1 || !slices.Equal(got[0], []string{"m0", "m3"}) {
		t.Errorf("calls %v", got)
	}
}

func TestRefusedEntriesAreNamedByTheirIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSQS{t: t, answer: func(_ int, body string) (string, bool, bool) {
			return map[string]string{"m3": "InvalidMessageContents", "m17": "AccessDenied"}[body], true, false
		}}
		failed := failures(t, New(f, url).Send(t.Context(), texts(25)))
		if len(failed) != 2 || failed[3] == nil || failed[17] == nil ||
			!strings.Contains(failed[3].Error(), "SQS refused it: InvalidMessageContents: because") {
			t.Errorf("failed %v", failed)
		}
		if got := f.sizes(); got != "10 10 5" {
			t.Errorf("calls of %s messages: what is the sender's fault must not be tried again", got)
		}
	})
}

func TestOnlyFailedEntriesAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSQS{t: t, answer: func(call int, body string) (string, bool, bool) {
			switch {
			case body == "m1" && call == 1, body == "m2" && call <= 2, body == "m5":
				return "InternalError", false, false
			case body == "m4":
				return "InvalidMessageContents", true, false
			}
			return "", false, false
		}}
		failed := failures(t, New(f, url).Send(t.Context(), texts(8)))
		if len(failed) != 2 || failed[4] == nil || failed[5] == nil {
			t.Errorf("failed %v, want 4 and 5", failed)
		}
		if len(f.calls) != 3 || !slices.Equal(f.calls[1], []string{"m1", "m2", "m5"}) ||
			!slices.Equal(f.calls[2], []string{"m2", "m5"}) {
			t.Errorf("calls %v", f.calls)
		}
		for i, most := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
			if pause := f.at[i+1].Sub(f.at[i]); pause > most {
				t.Errorf("pause %d lasts %v, want at most %v", i+1, pause, most)
			}
		}
	})
}

func TestNoRetryAfterTheContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fakeSQS{t: t, answer: func(int, string) (string, bool, bool) {
			cancel()
			return "InternalError", false, false
		}}
		if failed := failures(t, New(f, url).Send(ctx, texts(3))); len(failed) != 3 || len(f.calls) != 1 {
			t.Errorf("failed %v after %d calls", failed, len(f.calls))
		}
	})
}

func TestAFailedCallFailsOnlyItsOwnMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no route to host")
		f := &fakeSQS{t: t, err: func(call int) error {
			if call == 2 {
				return cause
			}
			return nil
		}}
		err := New(f, url).Send(t.Context(), texts(25))
		failed := failures(t, err)
		if len(failed) != 10 || !errors.Is(err, cause) {
			t.Errorf("failed %v", failed)
		}
		for i := range 25 {
			if want := i >= 10 && i < 20; (failed[i] != nil) != want {
				t.Errorf("message %d failed: %v, want %v", i, failed[i], want)
			}
		}
		// A call that fails at the second try fails what was left then.
		f = &fakeSQS{t: t, err: f.err, answer: func(call int, body string) (string, bool, bool) {
			if body == "m2" {
				return "InternalError", false, false
			}
			return "", false, false
		}}
		if failed := failures(t, New(f, url).Send(t.Context(), texts(5))); len(failed) != 1 || failed[2] != cause {
			t.Errorf("failed %v, want 2 by %v", failed, cause)
		}
	})
}

func TestAnEntryMissingInTheAnswerHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSQS{t: t, answer: func(_ int, body string) (string, bool, bool) { return "", false, body == "m6" }}
		if failed := failures(t, New(f, url).Send(t.Context(), texts(12))); len(failed) != 1 || failed[6] == nil ||
			len(f.calls) != 2 {
			t.Errorf("failed %v after %d calls", failed, len(f.calls))
		}
	})
}

func TestVisibilityTimeoutsAreRoundedUpWithinTheLimitsOfSQS(t *testing.T) {
	f := &fakeSQS{t: t}
	for given, want := range map[time.Duration]int32{
		-time.Second: 0, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90, 12 * time.Hour: 43200,
		12*time.Hour - 1: 43200, 100 * time.Hour: 43200, 1<<63 - 1: 43200,
	} {
		f.changes = nil
		if err := New(f, url).ChangeVisibility(t.Context(),
			[]VisibilityChange{{ReceiptHandle: "r", Timeout: given}}); err != nil {
			t.Fatal(err)
		}
		if e := f.changes[0][0]; e.VisibilityTimeout != want || *e.ReceiptHandle != "r" {
			t.Errorf("%v becomes %d s of %s, want %d", given, e.VisibilityTimeout, *e.ReceiptHandle, want)
		}
	}
}

func TestVisibilityIsChangedTenMessagesACall(t *testing.T) {
	requested := make([]VisibilityChange, 35)
	for i := range requested {
		requested[i] = VisibilityChange{ReceiptHandle: "r" + strconv.Itoa(i), Timeout: time.Duration(i) * time.Second}
	}
	cause := errors.New("throttled")
	f := &fakeSQS{t: t}
	q := New(f, url)
	if err := q.ChangeVisibility(t.Context(), nil); err != nil || len(f.changes) != 0 {
		t.Errorf("no change: %v, %d calls", err, len(f.changes))
	}
	if err := q.ChangeVisibility(t.Context(), requested); err != nil {
		t.Error(err)
	}
	slices.SortFunc(f.changes, func(a, b []types.ChangeMessageVisibilityBatchRequestEntry) int {
		return cmp.Compare(a[0].VisibilityTimeout, b[0].VisibilityTimeout)
	})
	var got []string
	for _, call := range f.changes {
		ids := map[string]bool{}
		for _, e := range call {
			got = append(got, fmt.Sprintf("%s/%d", *e.ReceiptHandle, e.VisibilityTimeout))
			ids[*e.Id] = true
		}
		if len(ids) != len(call) {
			t.Errorf("%d ids for %d entries", len(ids), len(call))
		}
	}
	for i := range requested {
		if want := fmt.Sprintf("r%d/%d", i, i); i >= len(got) || got[i] != want {
			t.Fatalf("changed %v", got)
		}
	}
	if len(f.changes) != 4 {
		t.Errorf("%d calls, want 4", len(f.changes))
	}
	// One call of ten fails; of the others two entries do.
	f.changes, f.err = nil, func(int) error {
		if *f.changes[len(f.changes)-1][0].ReceiptHandle == "r10" {
			return cause
		}
		return nil
	}
	f.change = func(call int, e types.ChangeMessageVisibilityBatchRequestEntry) string {
		if *e.ReceiptHandle == "r3" || *e.ReceiptHandle == "r34" {
			return "ReceiptHandleIsInvalid"
		}
		return ""
	}
	err := q.ChangeVisibility(t.Context(), requested)
	if want := "change the visibility of 12 of 35 messages of https://sqs.example/events: " +
		"ReceiptHandleIsInvalid: because"; err == nil ||
		err.Error() != want || len(f.changes) != 4 {
		t.Errorf("error %v after %d calls, want %s", err, len(f.changes), want)
	}
	f.changes, f.change = nil, nil
	if err := q.ChangeVisibility(t.Context(), requested); !errors.Is(err, cause) ||
		!strings.Contains(err.Error(), "change the visibility of 10 of 35") {
		t.Errorf("error %v", err)
	}
}

// A batch of 400 messages, at 50 ms a call, would take 2 s of the invocation's last seconds.
func TestVisibilityOfManyMessagesIsChangedInCallsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowSQS{fakeSQS: fakeSQS{t: t}}
		began := time.Now()
		if err := New(f, url).ChangeVisibility(t.Context(), make([]VisibilityChange, 400)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 250*time.Millisecond || len(f.changes) != 40 {
			t.Errorf("%d calls took %v, want 40 in 5 x 50 ms", len(f.changes), took)
		}
	})
}

// slowSQS answers after 50 ms.
type slowSQS struct{ fakeSQS }

func (f *slowSQS) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
	o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	time.Sleep(50 * time.Millisecond)
	return f.fakeSQS.ChangeMessageVisibilityBatch(ctx, in, o...)
}

func TestFailuresNamesTheErrorOfEachMessage(t *testing.T) {
	refused, noAnswer := errors.New("refused"), errors.New("no answer")
	for name, c := range map[string]struct {
		err  error
		want map[int]error
	}{
		"nothing failed":  {nil, nil},
		"some did":        {fmt.Errorf("send: %w", &SendError{Failed: map[int]error{1: refused}}), map[int]error{1: refused}},
		"any other error": {noAnswer, map[int]error{0: noAnswer, 1: noAnswer, 2: noAnswer}},
	} {
		if got := Failures(c.err, 3); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAMessagesGroupIsSentAndOneWithoutHasNone(t *testing.T) {
	f := &fakeSQS{t: t, group: map[string]*string{}}
	if err := NewSender(f, url).Send(t.Context(), []message.Message{{Body: "a", Group: "g"}, {Body: "b"}}); err != nil {
		t.Fatal(err)
	}
	if got := f.group["a"]; aws.ToString(got) != "g" || f.group["b"] != nil {
		t.Errorf("sent with the groups %v", f.group) // an empty one would be refused
	}
}
