package sender

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// exported sends exported lines. Each is a message with one event; lines that agree in everything
// but the event, such as the write key, share a new message.
type exported struct {
	*run
	decoder *message.Decoder
	message message.Content
	queue   *sqsclient.Queue
	packer  *message.Packer
	header  string // what the events in packer have in common, as JSON
	packed  []message.Message
	events  int // in packed
}

// errUnreadable is why a line with an unreadable body instead of an event is skipped.
var errUnreadable = errors.New("it is a dead letter whose body can't be read: correct the body, and send it with " +
	"`aws sqs send-message`")

// add takes a line, and sends when a call is full.
func (e *exported) add(ctx context.Context, line feed.Line) {
	if e.decoder == nil {
		if err := e.open(ctx); err != nil {
			e.progress.fail(line.Number)
			e.stop(err)
			return
		}
	}
	if err := e.decoder.Decode(line.Exported, &e.message); err != nil {
		e.skip(line.Number, fmt.Errorf("it is an exported dead letter that can't be sent: %w", err))
		return
	}
	events := e.message.Events
	if events[0].Problem != nil && len(events[0].Raw) == len(line.Exported) { // not a message: taken for an event
		e.skip(line.Number, errUnreadable)
		return
	}
	h := e.message.Header
	h.WriteKey = cmp.Or(h.WriteKey, e.WriteKey)
	if h.WriteKey != "" && !event.ValidWriteKey(h.WriteKey) {
		e.skip(line.Number, fmt.Errorf("correct its writeKey: %w", event.InvalidWriteKey))
		return
	}
	if header := string(message.AppendJSON(nil, h)); header != e.header {
		e.pack(ctx)
		h.Context, h.Integrations = bytes.Clone(h.Context), bytes.Clone(h.Integrations)
		e.packer.Reset(h)
		e.header = header
	}
	for i := range events {
		// The export has given the event an identity, unless somebody removed it.
		raw, _ := events[i].AppendIdentified(nil, uuid.NewString(), time.Now()) // deliver counts what has no room
		if e.Single && e.packer.Len() > 0 || !e.packer.Fits(len(raw)) {
			e.pack(ctx)
		}
		e.progress.packExported(line.Number)
		e.packer.Add(raw)
	}
}

// open is called at the first exported line.
func (e *exported) open(ctx context.Context) error {
	api, err := queues.NewClient(ctx, e.QueueURL)
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
	e.queue, e.packer = sqsclient.New(api, e.QueueURL), message.NewPacker(message.Header{}, compressor)
	e.packer.Fair = true // a file may hold more than a queue takes in an hour
	return nil
}

// pack makes a message of what is in the packer, and sends when a call is full.
func (e *exported) pack(ctx context.Context) {
	if e.packer.Len() == 0 {
		return
	}
	e.events += e.packer.Len()
	e.packed = append(e.packed, e.packer.Pack())
	if len(e.packed) == sqsclient.MaxEntries {
		e.send(ctx)
	}
}

// send sends the messages. A failure ends the run, as a failure of the publisher does.
func (e *exported) send(ctx context.Context) {
	if len(e.packed) == 0 || ctx.Err() != nil {
		return
	}
	// A call that has begun is finished: one that is cut off leaves open whether SQS has the
	// events.
	if err := e.queue.Send(context.WithoutCancel(ctx), e.packed); err != nil {
		e.stop(err)
		return
	}
	e.sentMessages.Add(int64(len(e.packed)))
	e.count(e.events)
	e.packed, e.events = nil, 0
	if e.packer.Len() == 0 {
		e.progress.sentExported()
	}
}

// flush sends what is left.
func (e *exported) flush(ctx context.Context) {
	if e.packer == nil {
		return
	}
	e.pack(ctx)
	e.send(ctx)
}

func (e *exported) close() {
	if e.decoder != nil {
		e.decoder.Close()
	}
}
