package deliver

import (
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/message"
)

// countSenders counts the events of a message by who sent them, when the message is received for
// the first time: so every event that came in counts once, and a backlog that drains, a redrive, or
// the bulk queue does not look like new traffic.
func (h *Handler) countSenders(m *delivery) {
	c := h.config.Senders
	if c == nil || m.canary || m.receives > 1 || m.redriven != "" || m.bulk {
		return
	}
	var key heavy.Key
	if m.content.WriteKey != "" {
		key.ID = h.keyID.Of(m.content.WriteKey)
	}
	next := 0 // in m.index
	code := func(i int) string {
		for next < len(m.index) && m.index[next] < i {
			next++
		}
		switch {
		case m.failure != nil:
			return "retried/" + m.failure.counted(m.bulk)
		case next < len(m.index) && m.index[next] == i && m.dispositions[next] == Delivered:
			return ""
		case i < len(m.content.Events) && m.content.Events[i].Problem != nil:
			return "dead_letter/" + message.ReasonFor(m.content.Events[i].Problem)
		case len(m.index) == 0 && len(m.deadLetters) > 0: // the message as a whole
			return "dead_letter/" + m.deadLetters[0].Reason
		}
		return "dead_letter/" + message.ReasonRejected
	}
	if len(m.content.Events) == 0 {
		c.Count(key, 1, func(i int) heavy.Event { return heavy.Event{Size: len(m.body), Code: code(i)} })
		return
	}
	c.Count(key, len(m.content.Events), func(i int) heavy.Event {
		e := &m.content.Events[i]
		counted := heavy.Event{Name: e.Name(), Size: len(e.Raw), Code: code(i)}
		if c.Users {
			counted.User = e.User()
		}
		return counted
	})
}

// countUnread counts the senders of a message that is retained because the circuit breaker is open.
// It is read for that, once: during an outage of Segment somebody asks who fills the queue, and
// with what.
func (in *intake) countUnread(rec *record, f *failure) {
	if in.h.config.Senders == nil || rec.receives > 1 || rec.redriven != "" || rec.bulk {
		return
	}
	m := in.decode(rec)
	m.failure = f
	in.h.countSenders(m)
	in.ledger.observe(m)
	in.h.release(m)
}
