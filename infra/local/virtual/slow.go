package virtual

import (
	"context"
	"time"

	"github.com/spillwayhq/spillway/infra/local/lambda"
)

// sqsLatency is what a call of SQS usually takes within a region.
const sqsLatency = 10 * time.Millisecond

// Slow returns the queue with calls that take as long as those of SQS: without it a backlog of any
// size is received at once.
func Slow(q lambda.Queue) lambda.Queue { return slow{q} }

type slow struct{ lambda.Queue }

func (q slow) Receive(ctx context.Context, most int, wait time.Duration) ([]lambda.Message, error) {
	got, err := q.Queue.Receive(ctx, most, wait)
	time.Sleep(sqsLatency)
	return got, err
}

func (q slow) Delete(ctx context.Context, handles []string) error {
	time.Sleep(sqsLatency)
	return q.Queue.Delete(ctx, handles)
}
