package deliver

import (
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
)

// refusal is a dead letter in the making. Events of one message that are refused for the same
// reason share one, so that 2,500 wrong events are not 2,500 messages.
type refusal struct {
	id     string
	reason string
	detail string
	code   string   // of a Problem, for metrics; otherwise the reason
	events [][]byte // nil: the message's body goes as it is
	count  int
}

// whole makes a letter of the message's body as it came.
func (m *delivery) whole(reason, detail string) refusal {
	return refusal{id: m.id(), reason: reason, detail: detail, code: reason, count: m.count()}
}

// refuse puts an event among the letters because of a problem of its own.
func (m *delivery) refuse(index int, raw []byte, problem *event.Problem) {
	for i := range m.letters {
		if l := &m.letters[i]; l.code == problem.Code {
			l.events = append(l.events, raw)
			l.count++
			return
		}
	}
	m.letters = append(m.letters, refusal{
		id: m.letterID(index), reason: message.ReasonFor(problem), detail: problem.Error(), code: problem.Code,
		events: [][]byte{raw}, count: 1,
	})
}

// reject puts an event among the letters that Segment refused when it stood alone.
func (m *delivery) reject(i int, err *segment.Error) {
	m.letters = append(m.letters, refusal{
		id: m.letterID(m.index[i]), reason: message.ReasonRejected, detail: answer(err), code: message.ReasonRejected,
		events: [][]byte{m.events[i]}, count: 1,
	})
}

// expire makes a letter of the events that were never delivered. Which these are differs from one
// receive to the next, so that the letter's name holds it: two letters of one name are to be one.
func (m *delivery) expire() {
	l := refusal{id: m.id() + "/expired", reason: message.ReasonExpired, detail: answer(m.waits),
		code: message.ReasonExpired}
	var which []byte
	for i, fate := range m.fates {
		if fate == waiting {
			m.fates[i] = inLetter
			l.events = append(l.events, m.events[i])
			l.count++
			which = append(strconv.AppendInt(which, int64(m.index[i]), 10), ' ')
		}
	}
	if l.count > 0 {
		l.id += "/" + digest(string(which), 8)
	} else { // no write key: never taken apart
		l.count = m.count()
	}
	m.letters = append(m.letters, l)
}

func (m *delivery) letterID(index int) string { return m.id() + "/" + strconv.Itoa(index) }

func answer(err *segment.Error) string {
	if err.Detail == "" {
		return err.Error()
	}
	return err.Error() + ": " + err.Detail
}

// write turns a letter into queue messages.
func (m *delivery) write(l *refusal, c *message.Compressor, now time.Time) []message.Message {
	header := m.content.Header
	header.WriteKey = m.ownKey
	written := message.DeadLetter{
		ID: l.id, Reason: l.reason, Detail: l.detail, Header: header, Events: l.events, Body: m.text, Count: l.count,
		FirstSeen: m.cameIn(), LastSeen: now, Receives: m.receives,
	}
	return written.Messages(c)
}
