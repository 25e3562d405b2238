package deliver

import "time"

// An Observation is the outcome of one event in one invocation, for clients that follow the
// pipeline. It contains the event, so it must not be logged.
//
// The observations of an invocation add up to the counts of its Report. So an event that Segment
// has, but whose message is retained because of another event, is observed as retried: it will be
// sent again. Canaries are not observed. One exception: what has ended is observed before it is
// archived, even if its message is then retained as NotArchived.
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

// A Watch says how the events of an invocation are observed. The zero Watch observes none.
type Watch struct {
	// Tell gets the Observations. Its calls of one invocation are sequential, those of several are
	// concurrent. Delivery waits for them, so that it must be fast and must not panic.
	Tell func(Observation)
	// Wants returns of how many of n events with the same disposition and reason Tell gets an
	// Observation: an event is not read for any other. nil: Tell gets all of them, and messages are
	// decoded for it even while the breaker is open.
	Wants func(d Disposition, reason string, n int) int
}

// all reports whether every event is observed.
func (w *Watch) all() bool { return w.Tell != nil && w.Wants == nil }

// observe tells of the events of a message that is complete, while its buffers are still its own.
func (w *Watch) observe(m *delivery) {
	if w.Tell == nil || m.canary {
		return
	}
	o := Observation{Disposition: Delivered, WriteKey: m.content.WriteKey, Receives: m.receives}
	if m.failure != nil {
		o.Disposition, o.Reason = Retried, m.failure.counted(m.bulk)
	}
	if len(m.events) == 0 && len(m.deadLetters) == 0 {
		w.tellWhole(&o, m)
		return
	}
	w.tellEvents(&o, m)
	for i := range m.deadLetters {
		l := &m.deadLetters[i]
		if m.failure == nil {
			o.Disposition, o.Reason, o.Detail = DeadLettered, l.Reason, l.Detail
		}
		if l.Events == nil {
			w.tellWhole(&o, m)
			continue
		}
		for _, raw := range l.Events[:w.wants(&o, len(l.Events))] {
			w.tell(&o, m, raw, messageID(raw))
		}
	}
}

// tellEvents tells of the events that are no dead letters.
func (w *Watch) tellEvents(o *Observation, m *delivery) {
	n := len(m.events)
	for _, d := range m.dispositions {
		if d == DeadLettered {
			n--
		}
	}
	if n == 0 {
		return
	}
	n = w.wants(o, n)
	for i, raw := range m.events {
		if n == 0 {
			return
		}
		if m.dispositions[i] != DeadLettered {
			w.tell(o, m, raw, messageID(raw))
			n--
		}
	}
}

// tellWhole tells of a message whose events were not validated: of its body, if that could not be
// read.
func (w *Watch) tellWhole(o *Observation, m *delivery) {
	n := w.wants(o, m.count())
	if len(m.content.Events) == 0 && n > 0 {
		w.tell(o, m, m.body, m.id())
		return
	}
	for i := range m.content.Events[:min(n, len(m.content.Events))] {
		raw := m.content.Events[i].Raw
		w.tell(o, m, raw, messageID(raw))
	}
}

func (w *Watch) tell(o *Observation, m *delivery, raw []byte, id string) {
	if m.failure != nil && o.Detail == "" {
		o.Detail = m.failure.text()
	}
	o.Event, o.MessageID, o.Age = raw, id, since(m.seen(), time.Now())
	w.Tell(*o)
}

// wants is of how many of n events with this disposition and reason there is an Observation.
func (w *Watch) wants(o *Observation, n int) int {
	if w.Wants == nil {
		return n
	}
	return min(max(w.Wants(o.Disposition, o.Reason, n), 0), n)
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
