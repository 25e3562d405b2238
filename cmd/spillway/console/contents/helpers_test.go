package contents

import (
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400)
	os.Exit(m.Run())
}

// bench is an SQS emulator with the queues of a pipeline.
type bench struct {
	server             *sqs.Server
	fs                 *store.Mem
	api                *awssqs.Client
	dead, events, bulk *sqs.Queue
	actions            Actions
}

const endpoint = "http://localhost:9"

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{fs: new(store.Mem)}
	var err error
	b.server, err = sqs.Open(sqs.Options{Dir: "data", FS: b.fs, Logger: slog.New(slog.DiscardHandler),
		CountAttribute: message.AttrEventCount})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.server.Close() })
	n := topology.DefaultNames()
	for name, q := range map[string]**sqs.Queue{n.DeadLetterQueue: &b.dead, n.EventsQueue: &b.events, n.BulkQueue: &b.bulk} {
		if *q, err = b.server.CreateQueue(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.api = local.Client(endpoint, func(o *awssqs.Options) { o.HTTPClient = b.server.HTTPClient() })
	b.actions = Actions{API: b.api, EventsURL: local.QueueURL(endpoint, n.EventsQueue),
		DeadLetterURL: local.QueueURL(endpoint, n.DeadLetterQueue), Dir: t.TempDir(),
		Name: dlq.KeyNames(map[string]string{"the-shop-key": "shop web"})}
	return b
}

func (b *bench) local(t testing.TB) *Local {
	l := NewLocal(LocalConfig{Dead: b.dead, Events: b.events, Bulk: b.bulk, Actions: b.actions})
	t.Cleanup(l.Close)
	return l
}

// send sends messages to a queue.
func (b *bench) send(t testing.TB, url string, messages ...message.Message) {
	t.Helper()
	if err := sqsclient.NewSender(b.api, url).Send(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) sendDead(t testing.TB, dead ...message.DeadLetter) {
	t.Helper()
	c, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	var all []message.Message
	for i := range dead {
		all = append(all, dead[i].Messages(c)...)
	}
	for len(all) > 0 {
		n := min(len(all), sqsclient.MaxEntries)
		b.send(t, b.actions.DeadLetterURL, all[:n]...)
		all = all[n:]
	}
}

// drop deletes n dead letters, as another command does.
func (b *bench) drop(t testing.TB, n int) {
	t.Helper()
	out, err := b.api.ReceiveMessage(t.Context(),
		&awssqs.ReceiveMessageInput{QueueUrl: aws.String(b.actions.DeadLetterURL),
			MaxNumberOfMessages: int32(n)})
	if err != nil {
		t.Fatal(err)
	}
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range out.Messages {
		entries = append(entries,
			types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
	}
	if len(entries) == 0 {
		return
	}
	if _, err := b.api.DeleteMessageBatch(t.Context(), &awssqs.DeleteMessageBatchInput{
		QueueUrl: aws.String(b.actions.DeadLetterURL), Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) purge(t testing.TB) {
	t.Helper()
	if _, err := b.api.PurgeQueue(t.Context(),
		&awssqs.PurgeQueueInput{QueueUrl: aws.String(b.actions.DeadLetterURL)}); err != nil {
		t.Fatal(err)
	}
}
