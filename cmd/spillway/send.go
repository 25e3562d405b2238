package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/envelope"
	"github.com/spillwayhq/spillway/shared/queue"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
)

type sendFlags struct {
	queueURL, writeKey string
	count              int
	single             bool
}

func newSend() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send",
		Short: "Send events to the queue: NDJSON from standard input, or made-up ones",
		Long: "Sends events to the queue, packed and compressed: a JSON object a line from standard input, or --count made-up ones of about 1 KB.\n" +
			"A line that is no JSON object is named and left out, and the exit code is 1 then.",
		Example: "  spillway send --count 100000\n  spillway send < events.ndjson\n  spillway send --queue-url https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events < events.ndjson",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("count") && f.count < 1 {
				return fmt.Errorf("--count is %d: write 1 or more", f.count)
			}
			return send(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr(), f)
		},
	}
	c.Flags().StringVar(&f.queueURL, "queue-url", "http://localhost:9324/"+local.AccountID+"/"+topology.EventsQueue, "the events queue; one of AWS is used with the default credentials")
	c.Flags().StringVar(&f.writeKey, "write-key", "", "write key of the events; without one the function's own is used")
	c.Flags().IntVar(&f.count, "count", 0, "make up this many events instead of reading them")
	c.Flags().BoolVar(&f.single, "single", false, "one event a message, not packed: to see what packing is worth")
	return c
}

const (
	senders   = 4
	flushIdle = 200 * time.Millisecond // input that pauses does not hold back what came before
	maxLine   = envelope.MaxRawBytes
)

// sending is one run of the verb.
type sending struct {
	sendFlags
	queue    *queue.Queue
	bar      *progressbar.ProgressBar // nil: not shown
	sent     atomic.Int64
	messages atomic.Int64
	failed   atomic.Int64
	refused  int

	mu    sync.Mutex
	first error // why messages failed
}

func send(ctx context.Context, in io.Reader, out, errOut io.Writer, f sendFlags) error {
	if file, ok := in.(*os.File); ok && f.count == 0 && term.IsTerminal(int(file.Fd())) {
		return errors.New("there is nothing to send: write --count 1000, or give events on standard input, one JSON object a line: spillway send < events.ndjson")
	}
	client, err := sqsClient(ctx, f.queueURL)
	if err != nil {
		return err
	}
	s := &sending{sendFlags: f, queue: queue.New(client, f.queueURL), bar: newBar(errOut, f.count)}
	start := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	events := make(chan []byte, 1024)
	readErr := make(chan error, 1)
	go func() {
		defer close(events)
		if f.count > 0 {
			readErr <- generate(ctx, f.count, events)
			return
		}
		readErr <- s.read(ctx, in, events, errOut)
	}()
	calls := make(chan []queue.Message)
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			for call := range calls {
				if err := s.call(ctx, call); err != nil {
					cancel(err)
				}
			}
		})
	}
	packErr := s.pack(ctx, events, calls)
	close(calls)
	running.Wait()
	if packErr != nil {
		cancel(packErr)
	}
	if f.count == 0 && ctx.Err() != nil {
		// A read from a terminal or a pipe can't be interrupted; the process ends anyway.
		readErr <- nil
	}
	err = <-readErr
	if s.bar != nil {
		_ = s.bar.Finish()
	}

	elapsed := time.Since(start)
	fmt.Fprintf(out, "sent %s events in %s messages, %.2f s, %s events/s\n", number(s.sent.Load()), number(s.messages.Load()), elapsed.Seconds(),
		number(int64(float64(s.sent.Load())/elapsed.Seconds())))
	switch {
	case s.first != nil:
		return fmt.Errorf("%s events were not sent: %w", number(s.failed.Load()), s.first)
	case packErr != nil:
		return packErr
	case ctx.Err() != nil:
		return fmt.Errorf("stopped before the end of the input: %w", context.Cause(ctx))
	case err != nil:
		return err
	case s.refused > 0:
		return fmt.Errorf("%d lines were left out", s.refused)
	}
	return nil
}

// sqsClient makes a client for the endpoint that a queue's URL names: AWS with the default credentials, or another with dummy ones.
func sqsClient(ctx context.Context, queueURL string) (*sqs.Client, error) {
	u, err := url.Parse(queueURL)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return nil, fmt.Errorf("--queue-url %q is no queue's URL: write one like http://localhost:9324/%s/%s, as `spillway up` prints it", queueURL, local.AccountID, topology.EventsQueue)
	}
	if host := strings.Split(u.Hostname(), "."); strings.HasSuffix(u.Hostname(), ".amazonaws.com") && len(host) >= 4 && host[0] == "sqs" {
		c, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(host[1]))
		if err != nil {
			return nil, fmt.Errorf("load the AWS configuration: %w", err)
		}
		return sqs.NewFromConfig(c), nil
	}
	return sqs.New(sqs.Options{
		Region: local.Region, BaseEndpoint: aws.String(u.Scheme + "://" + u.Host),
		Credentials: credentials.NewStaticCredentialsProvider(local.AccessKey, local.AccessKey, ""),
	}), nil
}

// newBar draws progress on a terminal; elsewhere it is nil.
func newBar(w io.Writer, count int) *progressbar.ProgressBar {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	total := int64(-1)
	if count > 0 {
		total = int64(count)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("sending"), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// read passes on the input's lines that are JSON objects, and names the others.
func (s *sending) read(ctx context.Context, in io.Reader, events chan<- []byte, errOut io.Writer) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	for n := 1; scanner.Scan(); n++ {
		line := bytes.TrimSpace(scanner.Bytes())
		if len(line) == 0 {
			continue
		}
		var json rawjson.Scanner
		json.Reset(line)
		json.Value()
		if err := json.End(); err != nil || line[0] != '{' {
			if err == nil {
				err = errors.New("it is no object")
			}
			fmt.Fprintf(errOut, "spillway: line %d is not a JSON object and is left out: %v\n", n, err)
			s.refused++
			continue
		}
		select {
		case events <- identify(line):
		case <-ctx.Done():
			return nil
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	return nil
}

// identify copies an event with a messageId and a timestamp, so that a message that is sent twice is the same event twice.
func identify(raw []byte) []byte {
	var json rawjson.Scanner
	var e segment.Event
	json.Reset(raw)
	if segment.ScanEvent(&json, raw, &e) != nil || e.Identified() {
		return bytes.Clone(raw)
	}
	return e.AppendIdentified(nil, uuid.NewString(), time.Now())
}

// pack puts events into messages, and messages into calls as full as SQS takes them.
func (s *sending) pack(ctx context.Context, events <-chan []byte, calls chan<- []queue.Message) error {
	compressor, err := envelope.NewCompressor()
	if err != nil {
		return err
	}
	packer := envelope.NewPacker(envelope.Header{WriteKey: s.writeKey}, compressor)
	var call []queue.Message
	size := 0
	flush := func() {
		if len(call) == 0 {
			return
		}
		select {
		case calls <- call:
		case <-ctx.Done():
		}
		call, size = nil, 0
	}
	add := func() {
		if packer.Len() == 0 {
			return
		}
		m := queue.Pack(packer.Pack())
		if len(call) == queue.MaxEntries || size+m.Size() > queue.MaxBatchBytes {
			flush()
		}
		call = append(call, m)
		size += m.Size()
	}
	idle := time.NewTimer(flushIdle)
	defer idle.Stop()
	for {
		select {
		case event, ok := <-events:
			if !ok {
				add()
				flush()
				return nil
			}
			if s.single && packer.Len() > 0 || !packer.Fits(len(event)) {
				add()
			}
			packer.Add(event)
			idle.Reset(flushIdle)
		case <-idle.C:
			add()
			flush()
		case <-ctx.Done():
			return nil
		}
	}
}

// call sends messages and counts; the error is why any of them failed.
func (s *sending) call(ctx context.Context, messages []queue.Message) error {
	// What was begun is finished: a call that is cut off leaves open whether SQS has it.
	err := s.queue.Send(context.WithoutCancel(ctx), messages)
	var partial *queue.SendError
	failed := map[int]error{}
	if errors.As(err, &partial) {
		failed = partial.Failed
	}
	for i := range messages {
		n := eventCount(&messages[i])
		if failed[i] != nil {
			s.failed.Add(n)
			continue
		}
		s.sent.Add(n)
		s.messages.Add(1)
		if s.bar != nil {
			_ = s.bar.Add64(n)
		}
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.first == nil {
			s.first = err
		}
	}
	return err
}

func eventCount(m *queue.Message) int64 {
	var n int64
	a := m.Attributes[envelope.AttrEventCount]
	_, _ = fmt.Sscan(aws.ToString(a.StringValue), &n)
	return n
}
