// Package deadletter is what a person can do with dead letters: look at them, send them again, take
// a copy, and drop them.
//
// SQS has no way to look at a queue: whoever wants to see what is there receives it, and hides it
// from others meanwhile. So every work here is a walk through the queue, in which each letter is
// received once, kept hidden for as long as the walk takes, and made visible again at its end
// unless it was deleted. A walk that is killed leaves its letters hidden for [Hidden] and no
// longer; receiving counts, but the dead-letter queue has nowhere to move a letter to, so the count
// does no harm.
//
// What is taken out is first where it goes: a letter is sent before it is deleted and written
// before it is deleted. So an interruption at any point loses none, and may leave one in both
// places. That it is then the same event twice is the work of its Letter-Id, from which package
// deliver derives what events do not say themselves.
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

const (
	// Hidden is for how long a received letter is hidden from others: longer than the walk through
	// as many letters as SQS hands out takes, 120,000, at five receives a second and worker; short
	// enough to wait for when a walk was killed.
	VisibilityTimeout = 5 * time.Minute
	// workers receive at the same time. Each holds up to ten letters of 1 MiB.
	workers = 4
	// callTime bounds a call that is not given up when its caller is interrupted.
	callTime = 30 * time.Second
	// deleteTries is how often SQS is asked to delete what it would not.
	deleteTries = 3
)

// API is what the package needs of an *sqs.Client.
type API interface {
	sqsclient.API
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput,
		...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
		...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// A Queue is a dead-letter queue. Two works on it at the same time do not disturb each other, but
// each sees only the letters that the other does not hold.
type Queue struct {
	api API
	url string
	own *sqsclient.Queue
}

// New makes a Queue of the client and the dead-letter queue's URL.
func New(api API, url string) *Queue { return &Queue{api: api, url: url, own: sqsclient.New(api, url)} }

// Size is about how many letters are there, and how many more are hidden: somebody works on them,
// or did and was killed.
func (q *Queue) Size(ctx context.Context) (visible, hidden int, err error) {
	out, err := q.api.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(q.url), AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		}})
	if err != nil {
		return 0, 0, fmt.Errorf("ask %s how many letters it holds: %w", q.url, err)
	}
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(out.Attributes[string(name)])
		return n
	}
	return number(types.QueueAttributeNameApproximateNumberOfMessages),
		number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible), nil
}

// walk is one way through a queue.
type scan struct {
	q     *Queue
	began time.Time

	mu    sync.Mutex
	held  map[string]string // the receipt handles of hidden letters, by SQS's message ids
	given int               // how many of them each has had
	stale int               // receives in a row that brought each nothing
}

// walk calls each with the letters of one receive after the other, several at the same time, until
// it has had every letter that was there when the walk began. What each has deleted it forgets; the
// rest is visible again when walk returns, also when ctx ends or each fails, which ends the walk.
func (q *Queue) scan(ctx context.Context, each func(context.Context, *scan, []*Received) error) error {
	w := &scan{q: q, began: time.Now(), held: map[string]string{}}
	group, walking := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for walking.Err() == nil {
				letters, end, err := w.receive(ctx)
				if err != nil || end {
					return err
				}
				if len(letters) > 0 {
					if err := each(walking, w, letters); err != nil {
						return err
					}
				}
			}
			return context.Cause(ctx)
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return errors.Join(err, w.restore(ctx))
}

// receive returns letters that are new to this walk. A letter comes again when it was hidden for
// less time than the walk takes; the walk is at its end when nothing comes, or only such letters
// for as long as it takes to see all of them.
func (w *scan) receive(ctx context.Context) (letters []*Received, end bool, err error) {
	// What was begun is finished: a receive that is cut off may hide letters that nobody has seen.
	// It takes a second at most.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	out, err := w.q.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(w.q.url), MaxNumberOfMessages: sqsclient.MaxEntries,
		VisibilityTimeout:           int32(VisibilityTimeout / time.Second),
		WaitTimeSeconds:             1, // asks all of SQS's servers: without it "nothing" means little
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if overLimit := (*types.OverLimit)(nil); errors.As(err, &overLimit) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("receive from %s: %w", w.q.url, err)
	}
	if len(out.Messages) == 0 {
		return nil, true, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range out.Messages {
		m := &out.Messages[i]
		_, known := w.held[aws.ToString(m.MessageId)]
		w.held[aws.ToString(m.MessageId)] = aws.ToString(m.ReceiptHandle)
		// A letter that was written since is one that came back, perhaps because of this walk: the
		// next one is for it.
		if l := read(m); !known && !l.Sent.After(w.began) {
			letters = append(letters, l)
		}
	}
	if len(letters) > 0 {
		w.given += len(letters)
		w.stale = 0
		return letters, false, nil
	}
	w.stale++
	return nil, w.stale*sqsclient.MaxEntries > w.given+10*sqsclient.MaxEntries, nil
}

// keep hides letters anew that have to wait. If it can't, somebody else may see them too, and
// nothing is lost.
func (w *scan) keep(ctx context.Context, letters []*Received) {
	hidden := make([]sqsclient.VisibilityChange, len(letters))
	w.mu.Lock()
	for i, l := range letters {
		hidden[i] = sqsclient.VisibilityChange{ReceiptHandle: w.held[l.MessageID], Timeout: VisibilityTimeout}
	}
	w.mu.Unlock()
	_ = w.q.own.ChangeVisibility(ctx, hidden)
}

// remove deletes letters and forgets them. What it returns could not be deleted, and the error says
// why not.
func (w *scan) remove(ctx context.Context, letters []*Received) (left []*Received, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	left = letters
	for try := 1; len(left) > 0; try++ {
		if left, err = w.removeOnce(ctx, left); len(left) > 0 && (try == deleteTries || ctx.Err() != nil) {
			return left, fmt.Errorf("delete %d letters from %s: %w", len(left), w.q.url, err)
		}
	}
	return nil, nil
}

func (w *scan) removeOnce(ctx context.Context, letters []*Received) (left []*Received, err error) {
	for from := 0; from < len(letters); from += sqsclient.MaxEntries {
		part := letters[from:min(from+sqsclient.MaxEntries, len(letters))]
		entries := make([]types.DeleteMessageBatchRequestEntry, len(part))
		w.mu.Lock()
		for i, l := range part {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
				ReceiptHandle: aws.String(w.held[l.MessageID])}
		}
		w.mu.Unlock()
		out, failed := w.q.api.DeleteMessageBatch(ctx,
			&sqs.DeleteMessageBatchInput{QueueUrl: aws.String(w.q.url), Entries: entries})
		done := map[string]bool{}
		if failed != nil {
			err, out = failed, &sqs.DeleteMessageBatchOutput{}
		}
		for _, e := range out.Successful {
			done[aws.ToString(e.Id)] = true
		}
		for _, e := range out.Failed {
			err = fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
		}
		w.mu.Lock()
		for i, l := range part {
			if !done[strconv.Itoa(i)] {
				left = append(left, l)
				continue
			}
			delete(w.held, l.MessageID)
			w.given--
		}
		w.mu.Unlock()
	}
	if len(left) > 0 && err == nil {
		err = errors.New("SQS's answer does not name them")
	}
	return left, err
}

// restore makes what is held visible again. It is not given up when the walk is interrupted.
func (w *scan) restore(ctx context.Context) error {
	hidden := make([]sqsclient.VisibilityChange, 0, len(w.held))
	for _, handle := range w.held {
		hidden = append(hidden, sqsclient.VisibilityChange{ReceiptHandle: handle})
	}
	var group errgroup.Group
	size := (len(hidden)/workers/sqsclient.MaxEntries + 1) * sqsclient.MaxEntries
	for from := 0; from < len(hidden); from += size {
		part := hidden[from:min(from+size, len(hidden))]
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), VisibilityTimeout) // then they are visible by themselves
			defer cancel()
			return w.q.own.ChangeVisibility(ctx, part)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("some letters stay hidden for up to %v, then they are there again: %w", VisibilityTimeout, err)
	}
	return nil
}
