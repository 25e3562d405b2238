package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// maxRepeated is how many dead letters that are not new end a scan however many it holds.
const maxRepeated = 20_000

// scan is one pass over a queue.
type scan struct {
	q     *Queue
	began time.Time

	mu       sync.Mutex
	handles  map[string]string // receipt handles of the dead letters that it holds, by SQS's message ids
	held     int               // how many it has handed out and not deleted
	repeated int               // receives in a row that returned no new dead letter
	putBack  int               // how many it has put back
	stuck    bool              // it can't put any back
}

// scan calls handle with the dead letters of each receive, from so many goroutines at the same
// time, until every dead letter that was visible when the scan began was received. The scan ends
// early when ctx ends or handle fails. When it returns, what handle did not delete is visible
// again, except what was put back, which is after [PutBackFor] at most.
func (q *Queue) scan(ctx context.Context, workers int,
	handle func(context.Context, *scan, []*Received) error) (putBack int, err error) {
	s := &scan{q: q, began: time.Now(), handles: map[string]string{}}
	group, scanning := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for scanning.Err() == nil {
				received, later, end, err := s.receive(ctx)
				if err != nil || end {
					return err
				}
				if len(received) > 0 {
					if err := handle(scanning, s, received); err != nil {
						return err
					}
				}
				s.makeRoom(ctx, append(received, later...))
			}
			return context.Cause(ctx)
		})
	}
	err = group.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return s.putBack, errors.Join(err, s.release(ctx))
}

// receive returns dead letters that are new to this scan, and those that were sent after it began.
// One is received again when it was invisible for less time than the scan takes. The scan ends when
// nothing is received, or nothing new in as many receives as it takes to receive all of them again.
func (s *scan) receive(ctx context.Context) (received, later []*Received, end bool, err error) {
	// A receive is not interrupted: SQS may already have made dead letters invisible, and the
	// answer would be lost. It takes at most a second.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	out, err := s.q.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(s.q.url), MaxNumberOfMessages: sqsclient.MaxEntries,
		VisibilityTimeout:           int32(VisibilityTimeout / time.Second),
		WaitTimeSeconds:             s.q.wait,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if overLimit := (*types.OverLimit)(nil); errors.As(err, &overLimit) {
		return nil, nil, true, nil
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("receive from %s: %w", s.q.url, err)
	}
	if len(out.Messages) == 0 {
		return nil, nil, true, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range out.Messages {
		m := &out.Messages[i]
		_, known := s.handles[aws.ToString(m.MessageId)]
		s.handles[aws.ToString(m.MessageId)] = aws.ToString(m.ReceiptHandle)
		// One that was sent after the scan began has come back, perhaps because of this scan: it is
		// for the next one.
		switch l := Parse(m); {
		case known:
		case l.Sent.After(s.began):
			later = append(later, l)
		default:
			received = append(received, l)
		}
	}
	if len(received) > 0 {
		s.held += len(received)
		s.repeated = 0
		return received, later, false, nil
	}
	s.repeated++
	return nil, later, s.repeated*sqsclient.MaxEntries > min(s.held, maxRepeated)+10*sqsclient.MaxEntries, nil
}

// extend makes dead letters invisible for another [VisibilityTimeout]. If it fails, another
// consumer may receive them too, and nothing is lost.
func (s *scan) extend(ctx context.Context, received []*Received) {
	changes := make([]sqsclient.VisibilityChange, len(received))
	s.mu.Lock()
	for i, l := range received {
		changes[i] = sqsclient.VisibilityChange{ReceiptHandle: s.handles[l.MessageID], Timeout: VisibilityTimeout}
	}
	s.mu.Unlock()
	_ = s.q.own.ChangeVisibility(ctx, changes)
}

// delete deletes dead letters from the queue. It returns those that it could not delete, and an
// error that says why.
func (s *scan) delete(ctx context.Context, received []*Received) (failed []*Received, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	failed = received
	for try := 1; len(failed) > 0; try++ {
		if failed, err = s.tryDelete(ctx, failed); len(failed) > 0 && (try == deleteTries || ctx.Err() != nil) {
			return failed, fmt.Errorf("delete %d dead letters from %s: %w", len(failed), s.q.url, err)
		}
	}
	return nil, nil
}

func (s *scan) tryDelete(ctx context.Context, received []*Received) (failed []*Received, err error) {
	for from := 0; from < len(received); from += sqsclient.MaxEntries {
		batch := received[from:min(from+sqsclient.MaxEntries, len(received))]
		deleted, batchErr := s.deleteBatch(ctx, batch)
		if batchErr != nil {
			err = batchErr
		}
		s.mu.Lock()
		for i, l := range batch {
			if !deleted[strconv.Itoa(i)] {
				failed = append(failed, l)
				continue
			}
			delete(s.handles, l.MessageID)
			if !l.Sent.After(s.began) {
				s.held--
			}
		}
		s.mu.Unlock()
	}
	if len(failed) > 0 && err == nil {
		err = errors.New("SQS's answer does not name them")
	}
	return failed, err
}

// deleteBatch makes one call. deleted has the indexes of those that SQS deleted; err is why it did
// not delete one of the others.
func (s *scan) deleteBatch(ctx context.Context, received []*Received) (deleted map[string]bool, err error) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(received))
	s.mu.Lock()
	for i, l := range received {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
			ReceiptHandle: aws.String(s.handles[l.MessageID])}
	}
	s.mu.Unlock()
	out, err := s.q.api.DeleteMessageBatch(ctx,
		&sqs.DeleteMessageBatchInput{QueueUrl: aws.String(s.q.url), Entries: entries})
	if err != nil {
		return nil, err
	}
	deleted = map[string]bool{}
	for _, e := range out.Successful {
		deleted[aws.ToString(e.Id)] = true
	}
	for _, e := range out.Failed {
		err = fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
	}
	return deleted, err
}

// release makes what the scan holds visible again, also when the scan was interrupted.
func (s *scan) release(ctx context.Context) error {
	changes := make([]sqsclient.VisibilityChange, 0, len(s.handles))
	for _, handle := range s.handles {
		changes = append(changes, sqsclient.VisibilityChange{ReceiptHandle: handle})
	}
	var group errgroup.Group
	size := (len(changes)/readers/sqsclient.MaxEntries + 1) * sqsclient.MaxEntries
	for from := 0; from < len(changes); from += size {
		part := changes[from:min(from+size, len(changes))]
		group.Go(func() error {
			// After that time they are visible without a call.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), VisibilityTimeout)
			defer cancel()
			return s.q.own.ChangeVisibility(ctx, part)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("some dead letters remain invisible for up to %v: %w", VisibilityTimeout, err)
	}
	return nil
}
