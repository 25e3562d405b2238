package lambda

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// benchQueue never runs empty, and signals when total messages are deleted. It costs next to
// nothing, so that what is measured is the mapping; and it has no end at which open batches would
// wait for their batching window.
type benchQueue struct {
	template Message
	total    int
	done     chan struct{}

	mu      sync.Mutex
	issued  int
	deleted int
}

func (q *benchQueue) Receive(ctx context.Context, most int, _ time.Duration) ([]Message, error) {
	q.mu.Lock()
	first := q.issued
	q.issued += most
	q.mu.Unlock()
	messages := make([]Message, most)
	for i := range messages {
		messages[i] = q.template
		messages[i].MessageID = fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", first+i)
		messages[i].ReceiptHandle = messages[i].MessageID
	}
	return messages, ctx.Err()
}

func (q *benchQueue) Delete(_ context.Context, handles []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.deleted
	if q.deleted += len(handles); before < q.total && q.deleted >= q.total {
		close(q.done)
	}
	return nil
}

// BenchmarkMapping1000InvocationsOf100Messages is 100,000 messages of 1 KB, from Run to their
// delete, with a handler that does nothing.
func BenchmarkMapping1000InvocationsOf100Messages(b *testing.B) {
	event := strings.Repeat(`{"type":"track","userId":"user-1","event":"Order Completed","properties":{"name":"a thing","price":12.5,"currency":"EUR"},`, 8)
	benchmarkMapping(b, 100_000,
		MappingConfig{BatchSize: 100, MaximumBatchingWindow: time.Second, MaximumConcurrency: 10,
			ReportBatchItemFailures: true}, event)
}

// BenchmarkMapping500PackedMessages is 59 MB of packed messages, about 125,000 events, in full
// payloads.
func BenchmarkMapping500PackedMessages(b *testing.B) {
	benchmarkMapping(b, 500, MappingConfig{BatchSize: 50, MaximumBatchingWindow: time.Second, MaximumConcurrency: 10,
		ReportBatchItemFailures: true}, strings.Repeat("x", 118_000))
}

func benchmarkMapping(b *testing.B, total int, config MappingConfig, body string) {
	b.ReportAllocs()
	b.SetBytes(int64(total * len(body)))
	for b.Loop() {
		q := &benchQueue{total: total, done: make(chan struct{}), template: Message{
			Body: body, MD5OfBody: strings.Repeat("m", 32),
			Attributes: map[string]string{"SentTimestamp": "1545082649183", "ApproximateReceiveCount": "1"},
		}}
		f := NewFunction(FunctionConfig{Timeout: time.Minute, ReservedConcurrency: 10,
			NewEnvironment: same(func(context.Context, []byte) ([]byte, error) {
				return []byte(`{"batchItemFailures":null}`), nil
			})})
		config.Queue, config.QueueARN, config.Function = q, testARN, f
		m, err := NewEventSourceMapping(config)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		<-q.done
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		f.Close()
		if s := m.Stats(); s.MessagesDeleted < int64(total) || s.Failed+s.Throttled > 0 {
			b.Fatalf("%+v", s)
		}
	}
}
