package lambdas

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/cmd/spillway/sender"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// Limits of the filling.
const (
	batchEntries = 10 // of SendMessageBatch at most
	senders      = 8  // calls at the same time
)

// FillJSON sends each event as a message with its JSON, ten a request, as a program with the AWS
// SDK does.
func FillJSON(ctx context.Context, f peer.Filling) error {
	client := local.Client(peer.Endpoint(f.QueueURL))
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan []types.SendMessageBatchRequestEntry)
	for range senders {
		group.Go(func() error {
			for batch := range batches {
				if err := send(ctx, client, f.QueueURL, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(batches)
		return makeBatches(ctx, f, batches)
	})
	return group.Wait()
}

func makeBatches(ctx context.Context, f peer.Filling, batches chan<- []types.SendMessageBatchRequestEntry) error {
	var batch []types.SendMessageBatchRequestEntry
	flush := func() error {
		select {
		case batches <- batch:
			batch = nil
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for event, err := range f.Events() {
		if err != nil {
			return err
		}
		batch = append(batch, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(len(batch))), MessageBody: aws.String(string(event))})
		if len(batch) == batchEntries {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return flush()
}

func send(ctx context.Context, client *awssqs.Client, url string, batch []types.SendMessageBatchRequestEntry) error {
	out, err := client.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: batch})
	if err != nil {
		return fmt.Errorf("send %d messages to %s: %w", len(batch), url, err)
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("send %d messages to %s: %s", len(out.Failed), url, aws.ToString(out.Failed[0].Message))
	}
	return nil
}

func fillPacked(ctx context.Context, f peer.Filling) error { return fillSpillway(ctx, f, false) }
func fillSingle(ctx context.Context, f peer.Filling) error { return fillSpillway(ctx, f, true) }

// fillSpillway sends the events as `spillway send` does.
func fillSpillway(ctx context.Context, f peer.Filling, single bool) error {
	var wrong error
	s, err := sender.New(ctx, sender.Config{QueueURL: f.QueueURL, WriteKey: peer.WriteKey, Single: single,
		Skipped: func(_ int, cause error) { wrong = cause }, Sent: func(int) {}})
	if err != nil {
		return err
	}
	defer s.Close()
	number := 0
	_, err = s.Send(ctx, func(yield func(feed.Line, error) bool) {
		for event, err := range f.Events() {
			if err != nil {
				yield(feed.Line{}, err)
				return
			}
			line, err := feed.MadeUpLine(number, event)
			number++
			if !yield(line, err) || err != nil {
				return
			}
		}
	})
	if err == nil {
		err = wrong
	}
	if err != nil {
		return fmt.Errorf("send to %s: %w", f.QueueURL, err)
	}
	return nil
}
