package trial

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// maxLog is how many lines of the log an outcome has, and maxLine how many bytes of each.
	maxLog  = 20
	maxLine = 1000
	// maxBody bounds a request to Segment in bytes, which is twice what Segment takes.
	maxBody = 1 << 20
)

// A Run is the end of all that leaves a function in one trial: its Segment, SQS and log. It is safe
// for concurrent use.
type Run struct {
	trial  Trial
	queues map[string]string // names by URL

	mu      sync.Mutex
	outcome Outcome
}

// New reads the payload of an invocation for which Is is true. queues are the names of the queues
// that the function may send to, by their URLs.
func New(payload []byte, queues map[string]string) (*Run, error) {
	var p struct {
		Trial *Trial `json:"spillwayTrial"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return nil, fmt.Errorf("read a trial: %w", err)
	}
	if p.Trial == nil || len(p.Trial.Payload) == 0 {
		return nil, fmt.Errorf("read a trial: it needs a payload, as in {%q:{\"payload\":…}}", mark)
	}
	return &Run{trial: *p.Trial, queues: queues, outcome: Outcome{Visibility: map[string]int{}}}, nil
}

// Invoke runs a function on the trial's payload, and returns what became of it as the answer of the
// invocation. The function must be made with the Run as its Segment and SQS.
func (r *Run) Invoke(ctx context.Context, function func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	answer, err := function(ctx, r.trial.Payload)
	if err != nil {
		return nil, fmt.Errorf("in a trial: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome.Answer = answer
	return json.Marshal(map[string]*Outcome{mark: &r.outcome})
}

// Logger returns where the function logs: what nobody sent must not be in its log.
func (r *Run) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler((*logWriter)(r), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// logWriter collects the lines of the log.
type logWriter Run

func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.outcome.Log) < maxLog {
		text := bytes.TrimSpace(line)
		w.outcome.Log = append(w.outcome.Log, strings.ToValidUTF8(string(text[:min(len(text), maxLine)]), ""))
	}
	return len(line), nil
}

// RoundTrip is Segment: it implements http.RoundTripper.
func (r *Run) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := readBody(request)
	if err != nil {
		return nil, fmt.Errorf("read a request to Segment: %w", err)
	}
	answer := Answer{Status: http.StatusOK}
	for _, a := range r.trial.Segment {
		if bytes.Contains(body, []byte(a.Text)) {
			answer = a
			break
		}
	}
	writeKey, _, _ := request.BasicAuth()
	text := string(body)
	if !strings.HasPrefix(writeKey, WriteKey) && writeKey != "" { // a real one, as the default is
		id := event.KeyID(writeKey)
		writeKey, text = id, strings.ReplaceAll(text, writeKey, id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome.Segment = append(r.outcome.Segment, Request{writeKey, text, answer.Status})
	response := &http.Response{StatusCode: answer.Status, Header: http.Header{}, Body: http.NoBody, Request: request,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if answer.RetryAfter > 0 {
		response.Header.Set("Retry-After", strconv.Itoa(answer.RetryAfter))
	}
	return response, nil
}

func readBody(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	defer request.Body.Close()
	var from io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return nil, err
		}
		from = unpacked
	}
	return io.ReadAll(io.LimitReader(from, maxBody))
}

// SendMessageBatch is SQS's: it takes all messages, or fails.
func (r *Run) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if r.trial.QueueFails {
		return nil, &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "the trial's queue fails"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := aws.ToString(in.QueueUrl)
	if name := r.queues[queue]; name != "" {
		queue = name
	}
	out := new(sqs.SendMessageBatchOutput)
	for i := range in.Entries {
		e := &in.Entries[i]
		sent := Sent{Queue: queue}
		sent.Body, sent.Attributes = aws.ToString(e.MessageBody), sqsclient.ParseAttributes(e.MessageAttributes)
		r.outcome.Sent = append(r.outcome.Sent, sent)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id,
			MessageId: aws.String(fmt.Sprint("trial-", len(r.outcome.Sent)))})
	}
	return out, nil
}

// ChangeMessageVisibilityBatch is SQS's: it changes all that is asked for.
func (r *Run) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
	_ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := new(sqs.ChangeMessageVisibilityBatchOutput)
	for i := range in.Entries {
		e := &in.Entries[i]
		r.outcome.Visibility[aws.ToString(e.ReceiptHandle)] = int(e.VisibilityTimeout)
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	return out, nil
}
