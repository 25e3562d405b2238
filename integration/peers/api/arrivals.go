package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/hibiken/asynq"

	localsqs "github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/message"
)

// arrivals are the events that have come to a backend from one trial.
type arrivals interface {
	// count says how many there are, cheaply. In SQS it counts an event that came twice twice.
	count(context.Context) (int, error)
	// ids takes them all, with how often each came.
	ids(context.Context) (map[string]int, error)
}

// nowhere is the backend of the way that does nothing: everything has arrived.
type nowhere struct{ t *trial }

func (n nowhere) count(context.Context) (int, error) { return n.t.next, nil }

func (n nowhere) ids(context.Context) (map[string]int, error) {
	ids := map[string]int{}
	for i := range n.t.next {
		ids[n.t.id(i)] = 1
	}
	return ids, nil
}

// received are the events of all trials that have come to the Segment emulator, which tells of
// each.
type received struct {
	mu       sync.Mutex
	byPrefix map[string]map[string]int // of a trial: how often each messageId came
}

// add adds an event. A messageId is a trial's prefix, a dash and a number.
func (r *received) add(messageID string) {
	prefix := messageID[:max(strings.LastIndexByte(messageID, '-'), 0)]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byPrefix[prefix] == nil {
		r.byPrefix[prefix] = map[string]int{}
	}
	r.byPrefix[prefix][messageID]++
}

// atSegment are those of one trial.
type atSegment struct {
	all    *received
	prefix string
}

func (s atSegment) count(context.Context) (int, error) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	return len(s.all.byPrefix[s.prefix]), nil
}

func (s atSegment) ids(context.Context) (map[string]int, error) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	return maps.Clone(s.all.byPrefix[s.prefix]), nil
}

// inRedis are the tasks of a queue of asynq.
type inRedis struct {
	inspector *asynq.Inspector
	queue     string
}

func (r inRedis) count(context.Context) (int, error) {
	info, err := r.inspector.GetQueueInfo(r.queue)
	if err != nil {
		return 0, fmt.Errorf("count the tasks in Redis: %w", err)
	}
	return info.Pending, nil
}

func (r inRedis) ids(context.Context) (map[string]int, error) {
	ids := map[string]int{}
	const size = 1000
	for page := 1; ; page++ {
		tasks, err := r.inspector.ListPendingTasks(r.queue, asynq.PageSize(size), asynq.Page(page))
		if err != nil {
			return nil, fmt.Errorf("read the tasks in Redis: %w", err)
		}
		for _, task := range tasks {
			if err := addID(ids, task.Payload); err != nil {
				return nil, err
			}
		}
		if len(tasks) < size {
			return ids, nil
		}
	}
}

// inSQS are the messages of a queue of the SQS emulator.
type inSQS struct {
	client   *sqs.Client
	endpoint string
	name     string // of the queue
	url      string // of the queue, not through a proxy
	taken    map[string]int
}

func (s inSQS) count(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+localsqs.QueuesPath, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("count the messages in SQS: %w", err)
	}
	defer response.Body.Close()
	var state struct {
		Queues []struct {
			Name   string
			Events int
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&state); err != nil {
		return 0, fmt.Errorf("count the messages in SQS: %w", err)
	}
	for _, q := range state.Queues {
		if q.Name == s.name {
			return q.Events, nil
		}
	}
	return 0, fmt.Errorf("count the messages in SQS: it has no queue %s", s.name)
}

// ids receives what it has not taken before: what it has stays in flight.
func (s inSQS) ids(ctx context.Context) (map[string]int, error) {
	decoder, err := message.NewDecoder()
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	for {
		out, err := s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &s.url, MaxNumberOfMessages: 10,
			VisibilityTimeout: 3600})
		if err != nil {
			return nil, fmt.Errorf("receive what has arrived in SQS: %w", err)
		}
		if len(out.Messages) == 0 {
			return s.taken, nil
		}
		for _, m := range out.Messages {
			if err := addMessage(s.taken, decoder, &m); err != nil {
				return nil, err
			}
		}
	}
}

// addMessage adds the events of a message: many in one of Spillway's, one in another.
func addMessage(ids map[string]int, decoder *message.Decoder, m *types.Message) error {
	var content message.Content
	if err := decoder.Decode([]byte(*m.Body), &content); err != nil {
		return fmt.Errorf("read a message that has arrived: %w", err)
	}
	for i := range content.Events {
		if err := addID(ids, content.Events[i].Raw); err != nil {
			return err
		}
	}
	return nil
}

func addID(ids map[string]int, event []byte) error {
	var e struct {
		MessageID string `json:"messageId"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return fmt.Errorf("read an event that has arrived: %w", err)
	}
	ids[e.MessageID]++
	return nil
}
