package deliver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// marker is part of all private data: write keys, events, answers. It must never be in a log line.
const marker = "SECRET"

const (
	keyA = marker + "-key-A"
	keyB = marker + "-key-B"
)

// sent is one attempt as Segment saw it.
type sent struct {
	event.Batch
	events []string
	at     time.Time
	answer error
}

// fakeSegment is a Flusher that answers as a test says and records what it was sent.
type fakeSegment struct {
	mu       sync.Mutex
	answer   func(context.Context, *event.Batch) error // nil: it takes everything
	attempts []sent
}

func (f *fakeSegment) Flush(ctx context.Context, b *event.Batch) error {
	s := sent{Batch: *b, at: time.Now()}
	s.Context, s.Integrations = bytes.Clone(b.Context), bytes.Clone(b.Integrations)
	size := 0
	for _, e := range b.Events {
		s.events = append(s.events, string(e))
		size += len(e) + 1
	}
	s.Batch.Events = nil
	if size > event.MaxBatchBytes || len(b.Events) > event.MaxBatchEvents || len(b.Events) == 0 {
		panic(fmt.Sprintf("a batch of %d events and %d bytes", len(b.Events), size))
	}
	if f.answer != nil {
		s.answer = f.answer(ctx, b)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, s)
	return s.answer
}

// delivered are the events that were taken, in the order of their batches.
func (f *fakeSegment) delivered() []string {
	var all []string
	for _, s := range f.attempts {
		if s.answer == nil {
			all = append(all, s.events...)
		}
	}
	return all
}

// fakeQueue takes dead letters and visibility changes.
type fakeQueue struct {
	mu               sync.Mutex
	send             func(context.Context, []message.Message) error // nil: it takes everything
	changeVisibility func(context.Context, []sqsclient.VisibilityChange) error
	deadLetters      []message.Message
	timeouts         map[string]time.Duration // by receipt handle
}

func (q *fakeQueue) Send(ctx context.Context, messages []message.Message) error {
	var err error
	if q.send != nil {
		err = q.send(ctx, messages)
	}
	failed := map[int]error{}
	for i := range messages {
		if why := refused(&messages[i]); why != nil {
			failed[i] = why
		}
	}
	var partial *sqsclient.SendError
	switch {
	case errors.As(err, &partial):
		maps.Copy(failed, partial.Failed)
	case err != nil:
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range messages {
		if failed[i] == nil {
			q.deadLetters = append(q.deadLetters, m)
		}
	}
	if len(failed) > 0 {
		return &sqsclient.SendError{URL: "https://sqs/dead-letters", Failed: failed}
	}
	return nil
}

// refused is why SQS would not take a message (SQS API reference, SendMessage).
func refused(m *message.Message) error {
	switch {
	case m.Body == "" || message.LegalText(m.Body) != m.Body:
		return errors.New("InvalidMessageContents")
	case m.Size() > message.MaxBytes:
		return sqsclient.ErrTooLarge
	case len(m.Attributes) > 10:
		return errors.New("more than 10 attributes")
	}
	for name, a := range m.Attributes {
		if text := a.Text; text == "" || message.LegalText(text) != text {
			return fmt.Errorf("attribute %s has no legal value", name)
		}
	}
	return nil
}

func (q *fakeQueue) ChangeVisibility(ctx context.Context, changes []sqsclient.VisibilityChange) error {
	if q.changeVisibility != nil {
		return q.changeVisibility(ctx, changes)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range changes {
		q.timeouts[c.ReceiptHandle] = c.Timeout
	}
	return nil
}

// in is a message as a test gives it to the queue. Its receipt handle is "r-" and its id.
type in struct {
	id, body string
	sent     time.Time
	receives int
	origin   string
	count    string // the attribute that says how many events there are

	deadLetterID, firstSeen string // attributes of a message that has been a dead letter
	queue                   string // empty: the events queue's
}

const (
	arnPrefix = "arn:aws:sqs:us-east-1:1:"
	bulkQueue = "spillway-bulk"
)

func payload(t testing.TB, messages ...in) []byte {
	t.Helper()
	event := events.SQSEvent{Records: []events.SQSMessage{}}
	for _, m := range messages {
		msg := events.SQSMessage{MessageId: m.id, ReceiptHandle: "r-" + m.id, Body: m.body, EventSource: "aws:sqs",
			EventSourceARN: arnPrefix + cmp.Or(m.queue, "spillway-events"), AWSRegion: "us-east-1"}
		if !m.sent.IsZero() {
			msg.Attributes = map[string]string{"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10),
				"ApproximateReceiveCount": strconv.Itoa(max(1, m.receives))}
		}
		msg.MessageAttributes = map[string]events.SQSMessageAttribute{}
		if m.origin != "" {
			msg.MessageAttributes[message.AttrOrigin] = events.SQSMessageAttribute{DataType: "String",
				StringValue: aws.String(m.origin)}
		}
		for name, value := range map[string]string{message.AttrDeadLetterID: m.deadLetterID,
			message.AttrFirstSeen: m.firstSeen} {
			if value != "" {
				msg.MessageAttributes[name] = events.SQSMessageAttribute{DataType: "String", StringValue: aws.String(value)}
			}
		}
		if m.count != "" {
			msg.MessageAttributes[message.AttrEventCount] = events.SQSMessageAttribute{DataType: "Number",
				StringValue: aws.String(m.count)}
		}
		event.Records = append(event.Records, msg)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// rig is a Handler with fakes around it.
type rig struct {
	testing.TB
	*Handler
	segment *fakeSegment
	queue   *fakeQueue
	last    Report
	reports int
	log     bytes.Buffer
	checked int // so many bytes of the log have no private data
}

func newRig(t testing.TB, answer func(context.Context, *event.Batch) error) *rig {
	t.Helper()
	r := &rig{TB: t, segment: &fakeSegment{answer: answer}, queue: &fakeQueue{timeouts: map[string]time.Duration{}}}
	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA})
	return r
}

// handler makes a Handler of the configuration, with the rig's fakes for what it lacks.
func (r *rig) handler(c Config) *Handler {
	r.Helper()
	if c.Queue == nil {
		c.Queue = r.queue
	}
	if c.DeadLetters == nil {
		c.DeadLetters = r.queue
	}
	c.Logger = slog.New(slog.NewJSONHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Report = func(_ context.Context, s Report) { r.last = s; r.reports++ }
	h, err := New(c)
	if err != nil {
		r.Fatal(err)
	}
	return h
}

// byVersion are the metrics of the last report that are counted by version.
func (r *rig) byVersion() map[string]float64 {
	got := map[string]float64{}
	for _, m := range r.last.Metrics() {
		if m.ByVersion {
			got[m.Name] = m.Values[0]
		}
	}
	return got
}

// invoke delivers the messages, checks what holds in every case, and returns the ids of those that
// are retained.
func (r *rig) invoke(ctx context.Context, messages ...in) []string {
	r.Helper()
	return r.invokeJSON(ctx, payload(r.TB, messages...))
}

func (r *rig) invokeJSON(ctx context.Context, payload []byte) []string {
	r.Helper()
	before := r.reports
	out, err := r.Invoke(ctx, payload)
	if err != nil {
		r.Fatalf("Invoke: %v", err)
	}
	if r.reports != before+1 {
		r.Fatalf("%d reports of one invocation", r.reports-before)
	}
	if err := balanced(&r.last); err != nil {
		r.Fatal(err)
	}
	if strings.Contains(string(r.log.Bytes()[r.checked:]), marker) {
		r.Fatalf("private data is in the log:\n%s", r.log.String())
	}
	r.checked = r.log.Len()
	var response events.SQSEventResponse
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&response); err != nil {
		r.Fatalf("the answer %s is not a partial batch response: %v", out, err)
	}
	if response.BatchItemFailures == nil {
		r.Fatalf("the answer %s has no list of failures", out)
	}
	retained := []string{}
	for _, f := range response.BatchItemFailures {
		retained = append(retained, f.ItemIdentifier)
	}
	slices.Sort(retained)
	return retained
}

// balanced checks what must hold of every invocation: every event is counted once.
func balanced(s *Report) error {
	n := s.Delivered + len(s.CanaryAges)
	for _, c := range s.Retried {
		n += c
	}
	for _, c := range s.DeadLettered {
		n += c
	}
	if n != s.Events+s.CanaryEvents || s.Delivered < 0 {
		return fmt.Errorf("%d events came in, but %d delivered, %v retried, %v dead letters", s.Events, s.Delivered,
			s.Retried, s.DeadLettered)
	}
	return nil
}

// want fails the test when the two are not the same.
func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s: got %.400s, want %.400s", what, g, w)
	}
}

// track is an event with an identity, of about size bytes.
func track(id string, size int) string {
	e := `{"type":"track","event":"Run","userId":"` + marker + `","messageId":"` + id +
		`","timestamp":"2026-11-01T00:00:00.000Z","properties":{"fill":"`
	return e + strings.Repeat("x", max(0, size-len(e)-3)) + `"}}`
}

// tracks are n of them, named prefix-0 and so on.
func tracks(prefix string, n, size int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = track(prefix+"-"+strconv.Itoa(i), size)
	}
	return all
}

func body(key string, events ...string) string {
	return `{"writeKey":"` + key + `","batch":[` + strings.Join(events, ",") + `]}`
}

func zipped(t testing.TB, body string) string {
	t.Helper()
	c, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	return c.Compress([]byte(body))
}

func attr(m message.Message, name string) string { return m.Attributes[name].Text }

// deadLetterEvents are the events that a dead letter holds, read as the deliver function would read
// it after a redrive.
func deadLetterEvents(t testing.TB, m message.Message) []string {
	t.Helper()
	d, err := message.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var msg message.Content
	if err := d.Decode([]byte(m.Body), &msg); err != nil {
		t.Fatalf("the dead letter %s can't be read: %v", attr(m, message.AttrDeadLetterID), err)
	}
	var all []string
	for _, e := range msg.Events {
		all = append(all, string(e.Raw))
	}
	if n := strconv.Itoa(len(all)); n != attr(m, message.AttrEventCount) {
		t.Errorf("the dead letter %s has %s events and says %s", attr(m, message.AttrDeadLetterID), n,
			attr(m, message.AttrEventCount))
	}
	return all
}

// status is an error as segment.Client makes it of an answer.
func status(code int) *segment.Error {
	return &segment.Error{Class: segment.Classify(code), Status: code, Detail: marker + " in an answer"}
}
