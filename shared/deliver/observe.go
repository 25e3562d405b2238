package deliver

import "time"

// An Observation is the outcome of one event in one invocation, for clients that follow the
// pipeline. It contains the event, so it must not be logged.
//
// The observations of an invocation add up to the counts of its Report. So an event that Segment
// has, but whose message is retained because of another event, is observed as retried: it will be
// sent again. Canaries are not observed.
type Observation struct {
	MessageID   string // the event's; of a body that could not be read, that of the queue's message
	Event       []byte // as Segment gets it, or the body that could not be read. Valid during the call
	WriteKey    string // the one that is used, empty if there is none
	Disposition Disposition
	Reason      string // empty if delivered; of a retried event a segment.Class, of a dead letter its reason
	Detail      string // why it is retried, or what is wrong with the event; may quote it
	Age         time.Duration
	Receives    int // of the message, this one included
}

// observe calls watch for each event of a message that is complete, while its buffers are still its
// own.
func observe(m *delivery, watch func(Observation)) {
	if watch == nil || m.canary {
		return
	}
	o := Observation{WriteKey: m.content.WriteKey, Age: since(m.seen(), time.Now()), Receives: m.receives}
	if m.failure != nil {
		o.Disposition, o.Reason, o.Detail = Retried, m.failure.class.String(), m.failure.text()
	}
	tell := func(raw []byte) {
		o.Event, o.MessageID = raw, messageID(raw)
		watch(o)
	}
	whole := func() { // of a message whose events were not validated
		for i := range m.content.Events {
			tell(m.content.Events[i].Raw)
		}
		if len(m.content.Events) == 0 {
			o.Event, o.MessageID = m.text, m.id()
			watch(o)
		}
	}
	if len(m.events) == 0 && len(m.deadLetters) == 0 {
		whole()
	}
	for i, raw := range m.events {
		if m.dispositions[i] == DeadLettered {
			continue
		}
		if m.failure == nil {
			o.Disposition = Delivered
		}
		tell(raw)
	}
	for i := range m.deadLetters {
		l := &m.deadLetters[i]
		if m.failure == nil {
			o.Disposition, o.Reason, o.Detail = DeadLettered, l.Reason, l.Detail
		}
		if l.Events == nil {
			whole()
			continue
		}
		for _, raw := range l.Events {
			tell(raw)
		}
	}
}

// messageID is that of an event, empty if it has none that is a string. Of duplicate keys the last
// one counts.
func messageID(event []byte) (id string) {
	eachField(event, func(key, value []byte) {
		if string(key) == "messageId" {
			id = text(value)
		}
	})
	return id
}
