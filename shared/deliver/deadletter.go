package deliver

import (
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// putWhole makes a dead letter of the message's body as it came.
func (m *delivery) putWhole(reason, detail string) {
	m.deadLetters = append(m.deadLetters,
		message.DeadLetter{ID: m.id(), Reason: reason, Detail: detail, Body: m.body, Count: m.count()})
}

// putInvalid adds an invalid event to the dead letter for its problem. Events with the same problem
// share one.
func (m *delivery) putInvalid(index int, raw []byte, problem *event.Problem) {
	same := func(p *event.Problem) bool { return p.Code == problem.Code }
	if i := slices.IndexFunc(m.problems, same); i >= 0 {
		m.deadLetters[i].Events = append(m.deadLetters[i].Events, raw)
		return
	}
	m.problems = append(m.problems, problem)
	m.put(index, raw, message.ReasonFor(problem), problem.Error())
}

// putRejected makes a dead letter of an event that Segment rejected on its own.
func (m *delivery) putRejected(i int, f *failure) {
	m.put(m.index[i], m.events[i], message.ReasonRejected, f.text())
}

func (m *delivery) put(index int, raw []byte, reason, detail string) {
	id := m.id() + "/" + strconv.Itoa(index)
	m.deadLetters = append(m.deadLetters,
		message.DeadLetter{ID: id, Reason: reason, Detail: detail, Events: [][]byte{raw}})
}

// expire makes a dead letter of the events that were never delivered. These differ from one receive
// to the next, so the ID depends on them: dead letters with the same ID hold the same events.
func (m *delivery) expire() {
	l := message.DeadLetter{ID: m.id() + "/expired", Reason: message.ReasonExpired, Detail: m.failure.text()}
	var which []byte
	for i, d := range m.dispositions {
		if d == Retried {
			m.dispositions[i] = DeadLettered
			l.Events = append(l.Events, m.events[i])
			which = append(strconv.AppendInt(which, int64(m.index[i]), 10), ' ')
		}
	}
	if l.Events != nil {
		l.ID += "/" + digest(string(which), 8)
	} else { // no write key: its events were not separated
		l.Body, l.Count = m.body, m.count()
	}
	m.deadLetters = append(m.deadLetters, l)
}

// messages returns a dead letter as messages of the dead-letter queue.
func (m *delivery) messages(l *message.DeadLetter, c *message.Compressor, now time.Time) []message.Message {
	l.Header = m.content.Header
	l.Header.WriteKey = m.ownKey
	l.FirstSeen, l.LastSeen, l.Receives, l.Replay = m.cameIn(), now, m.receives, m.replay
	return l.Messages(c)
}

// eventsOf is how many events a dead letter holds.
func eventsOf(l *message.DeadLetter) int {
	if l.Events == nil {
		return l.Count
	}
	return len(l.Events)
}
