package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// isExported reports whether a line is one that `dlq export` or `dlq drop` wrote.
func isExported(line []byte) (exported bool) {
	if !bytes.Contains(line, []byte(`"`+deadletter.ExportField+`"`)) {
		return false // almost every line
	}
	var json rawjson.Scanner
	json.Reset(line)
	for json.Enter('{'); ; {
		key, ok := json.Field()
		if !ok {
			return exported && json.End() == nil
		}
		exported = exported || string(key) == deadletter.ExportField && json.Peek() == '{'
		json.Value()
	}
}

// exported sends lines that were exported. Each is a message, whose event goes with what the
// message says besides it, such as its write key: the publisher has one for all events. Lines that
// say the same share a message.
type exported struct {
	*sending
	decoder  *message.Decoder
	message  message.Content
	queue    *sqsclient.Queue
	packer   *message.Packer
	said     string // what the events in packer have in common
	messages []message.Message
	events   int // in messages
}

// open is called at the first such line.
func (e *exported) open(ctx context.Context) error {
	api, err := sqsClient(ctx, e.queueURL)
	if err != nil {
		return err
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return err
	}
	if e.decoder, err = message.NewDecoder(); err != nil {
		return err
	}
	e.queue, e.packer = sqsclient.New(api, e.queueURL), message.NewPacker(message.Header{}, compressor)
	return nil
}

// errUnreadable is why a line is left out that has a body in the place of an event.
var errUnreadable = errors.New("it is a dead letter whose body can't be read: mend the body, and send it with `aws " +
	"sqs send-message`")

// add takes a line; the error says why it can't be sent.
func (e *exported) add(ctx context.Context, line []byte, n int) error {
	if err := e.decoder.Decode(line, &e.message); err != nil {
		return fmt.Errorf("it is an exported dead letter that can't be sent: %w", err)
	}
	events := e.message.Events
	if events[0].Problem != nil && len(events[0].Raw) == len(line) { // it is no batch, and was taken for an event
		return errUnreadable
	}
	h := e.message.Header
	h.WriteKey = cmp.Or(h.WriteKey, e.writeKey)
	if said := string(message.AppendJSON(nil, h)); said != e.said {
		e.pack(ctx)
		h.Context, h.Integrations = bytes.Clone(h.Context), bytes.Clone(h.Integrations)
		e.packer.Reset(h)
		e.said = said
	}
	for i := range events {
		// it has an identity, unless somebody took it out
		raw := events[i].AppendIdentified(nil, uuid.NewString(), time.Now())
		if e.single && e.packer.Len() > 0 || !e.packer.Fits(len(raw)) {
			e.pack(ctx)
		}
		e.wait(n)
		e.packer.Add(raw)
	}
	return nil
}

// pack makes a message of what is in the packer, and sends when a call is full.
func (e *exported) pack(ctx context.Context) {
	if e.packer == nil || e.packer.Len() == 0 {
		return
	}
	e.events += e.packer.Len()
	e.messages = append(e.messages, e.packer.Pack())
	if len(e.messages) == sqsclient.MaxEntries {
		e.send(ctx)
	}
}

// send sends the messages. A failure ends the run, as one of the publisher does.
func (e *exported) send(ctx context.Context) {
	if len(e.messages) == 0 {
		return
	}
	// What was begun is finished: a call that is cut off leaves open whether SQS has it.
	if err := e.queue.Send(context.WithoutCancel(ctx), e.messages); err != nil {
		e.stop(err)
		return
	}
	e.sent.Add(int64(e.events))
	e.letters.Add(int64(len(e.messages)))
	e.messages, e.events = nil, 0
	if e.packer.Len() == 0 {
		e.wait(0)
	}
}

// flush sends what is left.
func (e *exported) flush(ctx context.Context) {
	e.pack(ctx)
	if ctx.Err() == nil {
		e.send(ctx)
	}
}
