package publisher

import (
	"bytes"
	"log/slog"
	"sync/atomic"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/message"
)

// A settler ends messages: it counts their events, tells the callback and the callers of Publish,
// and marks records on disk as done.
type settler struct {
	callback analytics.Callback // nil: none
	log      *slog.Logger
	disk     *disk // nil: none
	counts   counts
	lost     atomic.Int64 // events that Shutdown gave up
}

// succeed settles a message that SQS has.
func (s *settler) succeed(o *outgoing) {
	s.counts.published.Add(int64(o.events))
	s.counts.messages.Add(1)
	if o.records != nil {
		s.counts.replayed.Add(int64(o.events))
	}
	s.settle(o, nil)
}

// fail settles a message that is given up.
func (s *settler) fail(o *outgoing, reason string, err error) {
	s.counts.drop(reason, o.events)
	if reason == NotSent {
		s.lost.Add(int64(o.events))
	}
	if reason != Failed { // the callers of Publish have the error
		s.log.Error("events are dropped", "reason", reason, "events", o.events, "error", err)
	}
	s.settle(o, err)
}

// settle tells the outcome of a message's events; a nil error is success.
func (s *settler) settle(o *outgoing, err error) {
	if o.records != nil {
		s.disk.Done(o.records...)
		if s.callback != nil {
			for _, m := range s.decode(o) {
				s.tell(m, err)
			}
		}
	}
	for i := range o.items {
		it := &o.items[i]
		if it.message != nil {
			s.tell(it.message, err)
		}
		if it.pub != nil {
			it.pub.settle(it.index, err)
		}
	}
}

// tell calls the callback, whose panic must not end the program.
func (s *settler) tell(m analytics.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("the callback panicked", "panic", r)
		}
	}()
	if err == nil {
		s.callback.Success(m)
	} else {
		s.callback.Failure(m, err)
	}
}

// decode returns the events of a message from disk for the callback: as analytics-go's types, or as
// Raw.
func (s *settler) decode(o *outgoing) []analytics.Message {
	var content message.Content
	decoder, err := message.NewDecoder()
	if err == nil {
		defer decoder.Close()
		err = decoder.Decode([]byte(o.Body), &content)
	}
	if err != nil {
		s.log.Error("events from disk can't be read for the callback", "events", o.events, "error", err)
	}
	messages := make([]analytics.Message, len(content.Events))
	for i := range content.Events {
		messages[i] = Raw{bytes.Clone(content.Events[i].Raw)}.Message()
	}
	return messages
}
