// Package peer says what a peer is: one way of bringing events from a queue to Segment. Spillway is
// one of them, so that all are filled, run, killed and measured by the same code.
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
)

// WriteKey is the write key of all events. The Segment emulator takes any.
const WriteKey = "peers"

// BacklogJSON is the Backlog of the peers on SQS that take one event a message, as JSON.
const BacklogJSON = "sqs-json"

// A Queue is what a peer takes its events from.
type Queue string

// The queues. Each runs as a process of its own.
const (
	SQS   Queue = "sqs"   // our emulator, which writes to disk before it answers
	Redis Queue = "redis" // Debian's redis-server, which keeps its data in memory
)

// A Peer is one way of bringing events from a queue to Segment.
type Peer struct {
	Name  string // its key in the results and on the command line
	What  string // its row in the tables
	Queue Queue
	// Backlog is the key of what Fill puts into the queue. Peers with the same key have the same
	// Queue and Fill, and the queue is filled once for all of them: each run gets a copy.
	Backlog string
	// Fill puts the events into the queue. It returns when the queue has them all.
	Fill func(ctx context.Context, f Filling) error
	// Left counts the jobs in Redis, at host:port, that are not done. Only peers on Redis have it:
	// the SQS emulator says it itself.
	Left func(ctx context.Context, redis string) (int64, error)
	// Worker takes events from the queue to Segment in a process of its own, until ctx ends with
	// the process's SIGTERM; then it ends in good order.
	Worker func(ctx context.Context, w Working) error
	// Program is the name of a program that runs the worker in place of Worker, for one whose
	// libraries would weigh on all processes of this program. See machine.MainWorker.
	Program string
	// Function is what the Lambda emulator runs, for peers that are a Lambda function.
	Function *Function
	// Sample is how many events a design gets that would take hours for all; 0: all. The tables say
	// so.
	Sample int
	// Lossless is promised: a run in which the peer loses an event fails.
	Lossless bool
}

// A Function is the deployment of a peer that is a Lambda function. Each environment is a process,
// which is stopped (SIGSTOP) between invocations as Lambda freezes it.
type Function struct {
	// Binary is the name of its built program. Env are the variables that it is deployed with.
	Binary string
	Env    func(w Working) []string
	// Source says how the event source mapping makes batches.
	Source Source
}

// A Source is what a design decides about its function and its event source mapping.
type Source struct {
	BatchSize               int           // messages of an invocation at most
	Window                  time.Duration // how long an invocation waits for more messages
	ReportBatchItemFailures bool          // the answer names the messages that failed
	Timeout                 time.Duration // of an invocation
	MemoryMB                int           // which Lambda bills, and the emulator does not enforce
}

// Filling is what Fill gets.
type Filling struct {
	Count    int    // events
	QueueURL string // of SQS
	Redis    string // host:port
}

// Working is what Worker gets.
type Working struct {
	QueueURL string // of SQS
	Redis    string // host:port
	Segment  string // URL without a path, as analytics-go's Endpoint
}

// Events yields the events of the filling, in order.
func (f Filling) Events() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range f.Count {
			if event, err := Event(i); !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Event is the event with that index as JSON: a track event of about 1 KB as analytics-go sends it,
// with a messageId that follows from the index.
func Event(i int) ([]byte, error) {
	return feed.MadeUp(i, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
}

// Events is how many of count events the peer gets.
func (p *Peer) Events(count int) int {
	if p.Sample > 0 {
		return min(p.Sample, count)
	}
	return count
}

// Endpoint is the SQS endpoint of a queue's URL, which ends with the account and the queue's name.
func Endpoint(queueURL string) string {
	for range 2 {
		queueURL = queueURL[:max(0, strings.LastIndexByte(queueURL, '/'))]
	}
	return queueURL
}

// Post sends a request as an SDK does, with that Content-Encoding unless it is empty, and reads the
// answer to its end, so that the connection is used again. An answer that is not 200 is an error
// whose text is the status.
func Post(ctx context.Context, client *http.Client, url string, body []byte, encoding string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.SetBasicAuth(WriteKey, "")
	request.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
