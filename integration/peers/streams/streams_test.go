package streams

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/integration/peers/streams/benthos"
)

func TestEachStreamDeliversEachMessageOnceAndDeletesIt(t *testing.T) {
	for _, p := range Peers() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			emulator := segmentd.New(segmentd.Options{})
			segment := httptest.NewServer(emulator)
			server, err := sqs.Open(sqs.Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			queues := httptest.NewServer(server)
			t.Cleanup(func() {
				for _, s := range []*httptest.Server{segment, queues} {
					s.CloseClientConnections() // analytics-go leaves them open, and a receive waits for 20 s
					s.Close()
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			})
			client, name := local.Client(queues.URL), "events"
			if _, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name}); err != nil {
				t.Fatal(err)
			}
			url := local.QueueURL(queues.URL, name)
			const count = 505 // the last batches are not full
			if err := p.Fill(t.Context(), peer.Filling{Count: count, QueueURL: url}); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			worker := p.Worker
			if p.Program != "" { // in this process, to be tested as the other
				worker = benthos.Run
			}
			go func() { ended <- worker(ctx, peer.Working{QueueURL: url, Segment: segment.URL}) }()
			q, _ := server.Queue(name)
			left := func() int { return int(q.Stats().Visible + q.Stats().InFlight) }
			for deadline := time.Now().Add(time.Minute); left() > 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if s := emulator.Stats(); s.Distinct != count || s.Duplicates != 0 {
				t.Errorf("Segment has %d of %d events, and %d twice", s.Distinct, count, s.Duplicates)
			}
			if n := left(); n > 0 {
				t.Errorf("%d messages are left in the queue", n)
			}
		})
	}
}
