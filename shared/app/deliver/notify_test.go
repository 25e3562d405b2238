package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/eventbridge"
)

// recordingBus keeps what is put on it.
type recordingBus struct {
	got   []eventbridge.Event
	fails int // the next calls
	hangs bool
	calls int
}

func (b *recordingBus) Put(ctx context.Context, events []eventbridge.Event) error {
	b.calls++
	if b.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if b.fails > 0 {
		b.fails--
		return errors.New("the connection slept")
	}
	b.got = append(b.got, events...)
	return nil
}

// invalid is a message with an event that can't be delivered.
const invalid = `{\"type\":\"track\",\"event\":\"nobody's\",\"writeKey\":\"k\"}`

// takesDeadLetters is SQS that takes dead letters too.
type takesDeadLetters struct{ noSQS }

func (takesDeadLetters) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (
	*sqs.SendMessageBatchOutput, error) {
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

// answering is Segment with one answer.
type answering int

func (status answering) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return &http.Response{StatusCode: int(status), Header: http.Header{}, Body: http.NoBody}, nil
}

// notifying is a deliver function that notifies bus.
func notifying(t *testing.T, o Options, bus Bus, segment http.RoundTripper, waiting int,
	metrics io.Writer) (*function, *deliver.Report) {
	t.Helper()
	f, last := new(function), new(deliver.Report)
	o.Endpoint, o.WriteKey, o.Name = "http://segment.test", "k", "shop"
	var err error
	f.Handler, err = New(o, Parts{SQS: takesDeadLetters{}, Transport: segment, Metrics: metrics, Bus: bus,
		Environment: "stream",
		Backlog:     func(context.Context) (int, error) { return waiting, nil },
		Report:      func(r deliver.Report) { *last = r }, Logger: slog.New(slog.NewTextHandler(&f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return f, last
}

func TestEventBridgeHearsOfDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &recordingBus{fails: 1}
		f, last := notifying(t, Options{EventBridge: true}, bus, answering(200), 0, io.Discard)
		drilled(t, f, last, invalid, aCustomers)
		if len(bus.got) != 1 || bus.got[0].Type != "Spillway.DeadLetter" || !bus.got[0].At.Equal(time.Now()) {
			t.Fatalf("%+v", bus.got)
		}
		if detail, err := json.Marshal(bus.got[0].Detail); err != nil ||
			string(detail) != `{"pipeline":"shop","environment":"stream","reason":"invalid","events":1}` {
			t.Errorf("%s, %v", detail, err)
		}
		drilled(t, f, last, aCustomers)
		if bus.calls != 2 {
			t.Errorf("%d calls, want none where nothing happened", bus.calls)
		}
	})
}

func TestWithoutTheSettingNobodyIsNotified(t *testing.T) {
	bus := &recordingBus{}
	f, last := notifying(t, Options{}, bus, answering(200), 0, io.Discard)
	drilled(t, f, last, invalid)
	if bus.calls != 0 {
		t.Errorf("%d calls", bus.calls)
	}
}

func TestABusThatFailsIsCountedAndCostsNoDelivery(t *testing.T) {
	for name, bus := range map[string]*recordingBus{"it refuses": {fails: 9}, "it hangs": {hangs: true}} {
		synctest.Test(t, func(t *testing.T) {
			var metrics bytes.Buffer
			f, last := notifying(t, Options{EventBridge: true}, bus, answering(200), 0, &metrics)
			began := time.Now()
			drilled(t, f, last, invalid, aCustomers) // which checks that no message is retained
			if took := time.Since(began); took > notifyWithin {
				t.Errorf("%s: the invocation took %v", name, took)
			}
			if last.Delivered != 1 || last.DeadLettered["invalid"] != 1 ||
				!strings.Contains(metrics.String(), `"NotifyErrors"`) ||
				!strings.Contains(f.log.String(), "EventBridge was not notified") {
				t.Errorf("%s: %+v\n%s\n%s", name, last, &metrics, &f.log)
			}
		})
	}
}

func TestEventBridgeHearsOnceThatTheBreakerOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &recordingBus{}
		f, _ := notifying(t, Options{EventBridge: true}, bus, answering(503), 0, io.Discard)
		for range 4 {
			if _, err := f.Invoke(t.Context(), []byte(oneEvent)); err != nil {
				t.Fatal(err)
			}
		}
		if len(bus.got) != 1 || bus.got[0].Type != "Spillway.BreakerOpened" ||
			!strings.Contains(bus.got[0].Detail.(deliver.NoticeDetail).Cause, "Segment") {
			t.Errorf("%+v", bus.got)
		}
	})
}

func TestABacklogIsDrainedWhenTheQueueSaysSo(t *testing.T) {
	for waiting, want := range map[int]int{5: 1, 5000: 0} {
		bus := &recordingBus{}
		n := &notifier{bus: bus, backlog: func(context.Context) (int, error) { return waiting, nil }}
		n.after(t.Context(), &deliver.Report{Messages: 1, Ages: []time.Duration{time.Hour}})
		n.after(t.Context(), &deliver.Report{Messages: 1, Ages: []time.Duration{time.Second}})
		if len(bus.got) != want || want == 1 && bus.got[0].Type != "Spillway.BacklogDrained" {
			t.Errorf("%d messages wait: %+v", waiting, bus.got)
		}
	}
}
