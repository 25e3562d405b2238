package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/publisher"
)

const (
	senders = 4
	// loadBytes is how much is published at once: four full messages.
	loadBytes = 4*event.MaxBatchBytes - event.MaxEventBytes
	flushIdle = 200 * time.Millisecond // input that pauses does not hold back what came before
)

// sending is one run of the verb: a reader, and some that publish what it read.
type sending struct {
	sendFlags
	client *publisher.Client
	bar    *progressbar.ProgressBar // nil: not shown
	stop   context.CancelCauseFunc  // with why nothing more is to be sent

	sent, refused atomic.Int64
	letters       atomic.Int64 // messages of exported lines
	line          atomic.Int64 // the last one that was read

	mu     sync.Mutex
	lost   int // the first line with an event that was not sent, 0: none
	waiter int // the first exported line that waits to be sent, 0: none
}

// inputLine is one line of a file.
type inputLine struct {
	raw  publisher.Raw
	line int
}

// run returns when everything was sent, or when what was begun after the context's end is done.
func (s *sending) run(ctx context.Context, in io.Reader, errOut io.Writer) {
	events := make(chan inputLine, 1024)
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
	loads := make(chan []inputLine)
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			for load := range loads {
				s.publish(ctx, load)
			}
		})
	}
	s.collect(ctx, events, loads)
	close(loads)
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

// wait notes the first exported line that waits; 0: none does any more.
func (s *sending) wait(line int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiter == 0 || line == 0 {
		s.waiter = line
	}
}

// lowest is the first line that was not sent: the one after the last that was read, if all of those
// were.
func (s *sending) lowest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lost == 0 && s.waiter == 0:
		return int(s.line.Load()) + 1
	case s.lost == 0 || s.waiter != 0 && s.waiter < s.lost:
		return s.waiter
	}
	return s.lost
}

// read passes on the input's lines that are events, and names the others.
func (s *sending) read(ctx context.Context, in io.Reader, events chan<- inputLine, errOut io.Writer) error {
	reader := bufio.NewReaderSize(in, 64<<10)
	letters := &exported{sending: s}
	var buf []byte
	for n := 1; ; n++ {
		var end error
		buf, end = readLine(reader, buf)
		if n == 1 {
			buf = bytes.TrimPrefix(buf, []byte("\xef\xbb\xbf"))
		}
		line := bytes.TrimSpace(buf)
		if len(line) > 0 {
			if isExported(line) {
				if letters.decoder == nil {
					if err := letters.open(ctx); err != nil {
						return err
					}
				}
				if err := letters.add(ctx, line, n); err != nil {
					fmt.Fprintf(errOut, "spillway: line %d is left out: %v\n", n, err)
					s.refused.Add(1)
				}
				if ctx.Err() != nil {
					return nil
				}
			} else if raw, err := publisher.NewRaw(line); err != nil {
				fmt.Fprintf(errOut, "spillway: line %d is left out: %v\n", n, errors.Unwrap(err))
				s.refused.Add(1)
			} else {
				select {
				case events <- inputLine{raw, n}:
				case <-ctx.Done():
				}
				if ctx.Err() != nil { // perhaps nobody takes it any more
					s.lose(n)
					return nil
				}
			}
		}
		if end == io.EOF {
			letters.flush(ctx)
			return nil
		}
		if end != nil {
			return fmt.Errorf("read line %d: %w", n, end)
		}
		s.line.Store(int64(n))
	}
}

// readLine reads up to the end of a line into buf. Of a line that is far too long only the
// beginning is kept.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		part, err := r.ReadSlice('\n')
		if len(buf) <= message.MaxRawBytes {
			buf = append(buf, part...)
		}
		if err != bufio.ErrBufferFull {
			return buf, err
		}
	}
}

// collect puts events together into loads.
func (s *sending) collect(ctx context.Context, events <-chan inputLine, loads chan<- []inputLine) {
	var load []inputLine
	size := 0
	flush := func() {
		if len(load) == 0 {
			return
		}
		select {
		case loads <- load:
		case <-ctx.Done():
			s.lose(load[0].line)
		}
		load, size = nil, 0
	}
	idle := time.NewTimer(flushIdle)
	defer idle.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				flush()
				return
			}
			n := len(e.raw.JSON()) + 1
			if size+n > loadBytes {
				flush()
			}
			load = append(load, e)
			size += n
			idle.Reset(flushIdle)
		case <-idle.C:
			flush()
		case <-ctx.Done():
			if len(load) > 0 {
				s.lose(load[0].line)
			}
			return
		}
	}
}

// publish sends a load and counts. A failure ends the run: the queue is away, or full.
func (s *sending) publish(ctx context.Context, load []inputLine) {
	if ctx.Err() != nil {
		s.lose(load[0].line)
		return
	}
	messages := make([]analytics.Message, len(load))
	for i := range load {
		messages[i] = load[i].raw
	}
	// What was begun is finished: a call that is cut off leaves open whether SQS has it.
	err := s.client.Publish(context.WithoutCancel(ctx), messages...)
	var failures *publisher.PublishError
	failed := 0
	if errors.As(err, &failures) {
		failed = len(failures.Failed)
		for i := range failures.Failed {
			s.lose(load[i].line)
		}
	}
	s.sent.Add(int64(len(load) - failed))
	if s.bar != nil {
		_ = s.bar.Add(len(load) - failed)
	}
	if err != nil {
		s.stop(err)
	}
}
