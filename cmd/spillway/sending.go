package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"

	"github.com/spillwayhq/spillway/shared/envelope"
	"github.com/spillwayhq/spillway/shared/queue"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
)

const (
	senders   = 4
	flushIdle = 200 * time.Millisecond // input that pauses does not hold back what came before
)

// sending is one run of the verb: a reader, a packer and some senders, one after the other.
type sending struct {
	sendFlags
	queue *queue.Queue
	bar   *progressbar.ProgressBar // nil: not shown
	stop  context.CancelCauseFunc  // with why nothing more is to be sent

	sent, messages, refused atomic.Int64
	line                    atomic.Int64 // the last one that was read

	mu   sync.Mutex
	lost int // the first line with an event that was not sent, 0: none
}

// event is one line.
type event struct {
	raw  []byte
	line int
}

// message is what is sent, with what is to be said of it.
type message struct {
	queue.Message
	events int
	line   int // the first of its events
}

// run returns when everything was sent, or when what was begun after the context's end is done.
func (s *sending) run(ctx context.Context, in io.Reader, errOut io.Writer) {
	events := make(chan event, 1024)
	go func() { // a read of standard input can't be interrupted, so nobody waits for this one
		defer close(events)
		var err error
		if s.count > 0 {
			err = generate(ctx, s.count, events)
		} else {
			err = s.read(ctx, in, events, errOut)
		}
		if err != nil {
			s.stop(err)
		}
	}()
	calls := make(chan []message)
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			for call := range calls {
				s.call(ctx, call)
			}
		})
	}
	if err := s.pack(ctx, events, calls); err != nil {
		s.stop(err)
	}
	close(calls)
	running.Wait()
	if ctx.Err() == nil {
		return
	}
	for {
		select {
		case e, ok := <-events:
			if ok {
				s.lose(e.line)
				continue
			}
		default:
		}
		return
	}
}

// lose notes that an event was not sent.
func (s *sending) lose(line int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == 0 || line < s.lost {
		s.lost = line
	}
}

// lowest is the first line that was not sent: the one after the last that was read, if all of those were.
func (s *sending) lowest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == 0 {
		return int(s.line.Load()) + 1
	}
	return s.lost
}

// read passes on the input's lines that are events, and names the others.
func (s *sending) read(ctx context.Context, in io.Reader, events chan<- event, errOut io.Writer) error {
	reader := bufio.NewReaderSize(in, 64<<10)
	var buf []byte
	for n := 1; ; n++ {
		var end error
		buf, end = readLine(reader, buf)
		if n == 1 {
			buf = bytes.TrimPrefix(buf, []byte("\xef\xbb\xbf"))
		}
		line := bytes.TrimSpace(buf)
		if len(line) > 0 {
			if why := notAnEvent(line); why != nil {
				fmt.Fprintf(errOut, "spillway: line %d is left out: %v\n", n, why)
				s.refused.Add(1)
			} else {
				select {
				case events <- event{identify(line), n}:
				case <-ctx.Done():
				}
				if ctx.Err() != nil { // perhaps nobody takes it any more
					s.lose(n)
					return nil
				}
			}
		}
		if end == io.EOF {
			return nil
		}
		if end != nil {
			return fmt.Errorf("read line %d: %w", n, end)
		}
		s.line.Store(int64(n))
	}
}

// readLine reads up to the end of a line into buf. Of a line that is far too long only the beginning is kept.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		part, err := r.ReadSlice('\n')
		if len(buf) <= envelope.MaxRawBytes {
			buf = append(buf, part...)
		}
		if err != bufio.ErrBufferFull {
			return buf, err
		}
	}
}

// notAnEvent says why a line can't be sent. What Segment's rules say of an event is not asked: such events become dead letters,
// where they can be looked at. A line that is no JSON would take its neighbours in the message along.
func notAnEvent(line []byte) error {
	if len(line) > segment.MaxEventBytes {
		return fmt.Errorf("it is larger than the %s bytes that Segment takes", number(segment.MaxEventBytes))
	}
	var json rawjson.Scanner
	json.Reset(line)
	if json.Peek() != '{' {
		json.Value()
		if err := json.End(); err != nil {
			return fmt.Errorf("it is not JSON: %w", err)
		}
		return errors.New("it is no JSON object")
	}
	json.Enter('{')
	batch := false
	for {
		key, ok := json.Field()
		if !ok {
			break
		}
		batch = batch || string(key) == "batch" && json.Peek() == '['
		json.Value()
	}
	if err := json.End(); err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	if batch {
		return errors.New("it is a batch: write each of its events on a line of its own")
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
func (s *sending) pack(ctx context.Context, events <-chan event, calls chan<- []message) error {
	compressor, err := envelope.NewCompressor()
	if err != nil {
		return err
	}
	packer := envelope.NewPacker(envelope.Header{WriteKey: s.writeKey}, compressor)
	first := math.MaxInt // line in packer
	var call []message
	size := 0
	flush := func() {
		if len(call) == 0 {
			return
		}
		select {
		case calls <- call:
		case <-ctx.Done():
			s.lose(call[0].line)
		}
		call, size = nil, 0
	}
	add := func() {
		if packer.Len() == 0 {
			return
		}
		m := message{events: packer.Len(), line: first}
		m.Message = queue.Pack(packer.Pack())
		first = math.MaxInt
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
		case e, ok := <-events:
			if !ok {
				add()
				flush()
				return nil
			}
			if s.single && packer.Len() > 0 || !packer.Fits(len(e.raw)) {
				add()
			}
			packer.Add(e.raw)
			first = min(first, e.line)
			idle.Reset(flushIdle)
		case <-idle.C:
			add()
			flush()
		case <-ctx.Done():
			if packer.Len() > 0 {
				s.lose(first)
			}
			if len(call) > 0 {
				s.lose(call[0].line)
			}
			return nil
		}
	}
}

// call sends messages and counts. A failure ends the run: the queue is away, or full.
func (s *sending) call(ctx context.Context, call []message) {
	if ctx.Err() != nil {
		s.lose(call[0].line)
		return
	}
	messages := make([]queue.Message, len(call))
	for i := range call {
		messages[i] = call[i].Message
	}
	// What was begun is finished: a call that is cut off leaves open whether SQS has it.
	err := s.queue.Send(context.WithoutCancel(ctx), messages)
	var partial *queue.SendError
	failed := map[int]error{}
	if errors.As(err, &partial) {
		failed = partial.Failed
	}
	for i := range call {
		if failed[i] != nil {
			s.lose(call[i].line)
			continue
		}
		s.sent.Add(int64(call[i].events))
		s.messages.Add(1)
		if s.bar != nil {
			_ = s.bar.Add(call[i].events)
		}
	}
	if err != nil {
		s.stop(err)
	}
}
