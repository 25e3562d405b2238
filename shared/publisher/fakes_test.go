package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// fakeQueue is the SQS of one region. It decodes the messages it takes, and fails as answer says.
type fakeQueue struct {
	decoder *message.Decoder

	mu        sync.Mutex
	discard   bool          // takes all messages and decodes none
	answer    func() answer // nil: takes all messages at once
	calls     int
	messages  int
	got       map[string]int // how often, by messageId
	headers   []message.Header
	groups    map[string]int // messages, by MessageGroupId
	events    []string
	noContext []string // ids of events whose message has no context
	bad       []error
}

// An answer says how a call ends.
type answer struct {
	latency time.Duration
	err     error                // of the call, which takes no message
	lose    bool                 // all messages are taken, and the answer is lost
	refuse  map[int]*refusal     // by entry
	entry   func(i int) *refusal // the same for any number of entries
}

type refusal struct{ senderFault bool }

var (
	errRefused   = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	errReset     = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	errThrottled = &types.RequestThrottled{Message: aws.String("slow down")}
)

func (q *fakeQueue) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	q.mu.Lock()
	q.calls++
	var m answer
	if q.answer != nil {
		m = q.answer()
	}
	q.mu.Unlock()
	if m.latency > 0 {
		select {
		case <-time.After(m.latency):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.SendMessageBatchOutput{}
	size := 0
	for i, e := range in.Entries {
		size += len(*e.MessageBody)
		r := m.refuse[i]
		if r == nil && m.entry != nil {
			r = m.entry(i)
		}
		if r != nil {
			out.Failed = append(out.Failed,
				types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError"), SenderFault: r.senderFault})
			continue
		}
		q.take(*e.MessageBody)
		if q.groups == nil {
			q.groups = map[string]int{}
		}
		q.groups[aws.ToString(e.MessageGroupId)]++
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	if size > message.MaxBytes || len(in.Entries) > sqsclient.MaxEntries {
		q.bad = append(q.bad, fmt.Errorf("a call of %d entries with %d bytes", len(in.Entries), size))
	}
	if m.lose {
		return nil, errReset
	}
	return out, nil
}

func (q *fakeQueue) take(body string) {
	q.messages++
	if q.discard {
		return
	}
	var m message.Content
	err := error(nil)
	if q.decoder == nil {
		q.decoder, err = message.NewDecoder()
	}
	if err == nil {
		err = q.decoder.Decode([]byte(body), &m)
	}
	if err != nil {
		q.bad = append(q.bad, err)
		return
	}
	m.Context = bytes.Clone(m.Context)
	q.headers = append(q.headers, m.Header)
	for i := range m.Events {
		if p := m.Events[i].Problem; p != nil {
			q.bad = append(q.bad, p)
		}
		id := string(rawjson.Unquote(nil, m.Events[i].MessageID()))
		if q.got == nil {
			q.got = map[string]int{}
		}
		q.got[id]++
		if m.Context == nil {
			q.noContext = append(q.noContext, id)
		}
		q.events = append(q.events, string(m.Events[i].Raw))
	}
}

func (q *fakeQueue) set(f func() answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answer = f
}

func always(m answer) func() answer { return func() answer { return m } }

func (q *fakeQueue) has(id string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.got[id]
}

func (q *fakeQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.got)
}

func (q *fakeQueue) sent() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.calls
}

// check fails the test when a queue got what SQS or deliver would not accept.
func (q *fakeQueue) check(t testing.TB) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := errors.Join(q.bad...); err != nil {
		t.Error(err)
	}
}

// logs collects what a client logs.
type logs struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.String(), text)
}

// newClient makes a client whose regions are the fake queues, in that order.
func newClient(t testing.TB, config Config, queues ...*fakeQueue) *Client {
	t.Helper()
	return newClientIn(t.Context(), t, config, queues...)
}

// newClientIn is newClient with a context, which may name a file system.
func newClientIn(ctx context.Context, t testing.TB, config Config, queues ...*fakeQueue) *Client {
	t.Helper()
	byURL := map[string]*fakeQueue{}
	for i, q := range queues {
		queueURL := fmt.Sprintf("http://region%d.test/000000000000/events", i)
		byURL[queueURL] = q
		if i == 0 {
			config.QueueURL = queueURL
		} else {
			config.Fallbacks = append(config.Fallbacks, queueURL)
		}
	}
	config.SQS = func(queueURL string) (SQS, error) { return byURL[queueURL], nil }
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := New(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
