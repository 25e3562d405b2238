package deliver

import (
	"time"
)

// An Observation is what became of one event in one invocation, for somebody who watches. It holds what
// is somebody's: it is for the terminal of who may see events, and not for a log.
//
// The observations of an invocation add up to the counts of its Report. So an event that Segment has
// taken, but whose message stays because of another event in it, is retried: it will be sent once
// more. Canaries are not observed.
type Observation struct {
	MessageID   string // the event's; of a body that could not be read, that of the queue's message
	Event       []byte // as Segment gets it, or the body that could not be read. Valid during the call
	WriteKey    string // the one that is used, empty if there is none
	Disposition Disposition
	Reason      string // of what was not delivered: the segment.Class for which it stays, or the reason of the dead letter
	Detail      string // Segment's answer or what is wrong with the event; may quote it
	Age         time.Duration
	Receives    int // of the message, this one included
}

// observe tells who watches what became of a message's events. It is called when the message's fate
// is final, while its buffers still are its own.
func (r *run) observe(m *delivery) {
	if r.watcher == nil || r.isCanary(m) {
		return
	}
	o := Observation{WriteKey: m.content.WriteKey, Age: m.age(time.Now()), Receives: m.receives}
	if m.waits != nil {
		o.Disposition, o.Reason, o.Detail = Retried, m.waits.Class.String(), answer(m.waits)
	}
	tell := func(raw []byte) {
		o.Event, o.MessageID = raw, messageID(raw)
		r.watcher(o)
	}
	body := func() { // of a message that was not taken apart
		for i := range m.content.Events {
			tell(m.content.Events[i].Raw)
		}
		if len(m.content.Events) == 0 {
			o.Event, o.MessageID = m.text, m.id()
			r.watcher(o)
		}
	}
	if len(m.events) == 0 && len(m.letters) == 0 {
		body()
	}
	for i, raw := range m.events {
		if m.fates[i] == inLetter {
			continue
		}
		if m.waits == nil {
			o.Disposition = Delivered
		}
		tell(raw)
	}
	for i := range m.letters {
		l := &m.letters[i]
		if m.waits == nil {
			o.Disposition, o.Reason, o.Detail = DeadLettered, l.reason, l.detail
		}
		if l.events == nil {
			body()
			continue
		}
		for _, raw := range l.events {
			tell(raw)
		}
	}
}

// messageID is that of an event, empty if it has none that is a text. On duplicate keys the last
// one counts.
func messageID(event []byte) (id string) {
	eachField(event, func(key, value []byte) {
		if string(key) == "messageId" {
			id = text(value)
		}
	})
	return id
}
