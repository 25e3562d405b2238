package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// encoder writes events as the JSON that analytics-go sends, by hand, because encoding/json takes
// three to ten times as long and an event is written on its caller's goroutine. What differs is not
// the value: the order of a map's keys, and characters that encoding/json escapes for HTML. It is
// reused, and may not be used by two goroutines at the same time.
type encoder struct {
	buf    []byte // the event
	record []byte // the event as it is put on disk
	shard  int    // which part of the buffer this encoder's events go to: an encoder mostly stays with one processor
}

// errTooLong ends the writing of an event as soon as it is over the limit, so that a huge one costs
// no more than a large one.
var errTooLong = fmt.Errorf("%w: it is larger than the %d bytes that Segment takes; send less in one event",
	analytics.ErrMessageTooBig, event.MaxEventBytes)

// prepared is an event whose JSON is in the encoder.
type prepared struct {
	message analytics.Message // with type, messageId and timestamp set, for a callback; nil unless asked for
	bare    bool              // it is somebody else's, and analytics-go's context is not for it
}

// encode checks a message as analytics-go does, with the same errors, gives it an id and a time
// where it has none, and writes it to e.buf. keep asks for the message as it was sent.
func (e *encoder) encode(msg analytics.Message, now time.Time, keep bool) (p prepared, err error) {
	defer func() {
		if r := recover(); r != nil { // a MarshalJSON or Validate of the caller's
			err = &EventError{Reason: Unencodable, Err: fmt.Errorf("writing it as JSON panicked: %v", r)}
		}
	}()
	e.buf = e.buf[:0]
	switch m := msg.(type) {
	case nil:
		return p, &EventError{Reason: Unencodable, Err: errors.New("the message is nil")}
	case analytics.Track:
		return track(e, &m, now, keep)
	case *analytics.Track:
		if m != nil {
			c := *m
			return track(e, &c, now, keep)
		}
	case analytics.Identify:
		return identify(e, &m, now, keep)
	case *analytics.Identify:
		if m != nil {
			c := *m
			return identify(e, &c, now, keep)
		}
	case analytics.Page:
		return page(e, &m, now, keep)
	case *analytics.Page:
		if m != nil {
			c := *m
			return page(e, &c, now, keep)
		}
	case analytics.Screen:
		return screen(e, &m, now, keep)
	case *analytics.Screen:
		if m != nil {
			c := *m
			return screen(e, &c, now, keep)
		}
	case analytics.Group:
		return group(e, &m, now, keep)
	case *analytics.Group:
		if m != nil {
			c := *m
			return group(e, &c, now, keep)
		}
	case analytics.Alias:
		return alias(e, &m, now, keep)
	case *analytics.Alias:
		if m != nil {
			c := *m
			return alias(e, &c, now, keep)
		}
	case Raw:
		if err := m.Validate(); err != nil {
			return p, err
		}
		e.buf = append(e.buf, m.json...)
		p.bare = true
		if keep {
			p.message = m
		}
		return p, nil
	default:
		if err := msg.Validate(); err != nil {
			return p, err
		}
		return p, &EventError{Reason: Unencodable, Err: fmt.Errorf("messages with custom types cannot be enqueued: %T", msg)}
	}
	return p, &EventError{Reason: Unencodable, Err: fmt.Errorf("the message is a nil %T", msg)}
}

// identity fills in what analytics-go fills in.
func identity(id *string, at *time.Time, now time.Time) {
	if *id == "" {
		*id = uuid.NewString()
	}
	if *at == (time.Time{}) {
		*at = now
	}
}

func track(e *encoder, m *analytics.Track, now time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "track"
	identity(&m.MessageId, &m.Timestamp, now)
	e.head(`{"type":"track"`, m.MessageId, m.AnonymousId, m.UserId)
	e.text(`,"event":`, m.Event)
	err = e.tail(m.Timestamp, m.Context, `,"properties":`, m.Properties, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func identify(e *encoder, m *analytics.Identify, now time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "identify"
	identity(&m.MessageId, &m.Timestamp, now)
	e.head(`{"type":"identify"`, m.MessageId, m.AnonymousId, m.UserId)
	err = e.tail(m.Timestamp, m.Context, `,"traits":`, m.Traits, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func page(e *encoder, m *analytics.Page, now time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "page"
	identity(&m.MessageId, &m.Timestamp, now)
	e.head(`{"type":"page"`, m.MessageId, m.AnonymousId, m.UserId)
	e.optional(`,"name":`, m.Name)
	err = e.tail(m.Timestamp, m.Context, `,"properties":`, m.Properties, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func screen(e *encoder, m *analytics.Screen, now time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "screen"
	identity(&m.MessageId, &m.Timestamp, now)
	e.head(`{"type":"screen"`, m.MessageId, m.AnonymousId, m.UserId)
	e.optional(`,"name":`, m.Name)
	err = e.tail(m.Timestamp, m.Context, `,"properties":`, m.Properties, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func group(e *encoder, m *analytics.Group, now time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "group"
	identity(&m.MessageId, &m.Timestamp, now)
	e.head(`{"type":"group"`, m.MessageId, m.AnonymousId, m.UserId)
	e.text(`,"groupId":`, m.GroupId)
	err = e.tail(m.Timestamp, m.Context, `,"traits":`, m.Traits, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func alias(e *encoder, m *analytics.Alias, now time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "alias"
	identity(&m.MessageId, &m.Timestamp, now)
	e.head(`{"type":"alias"`, m.MessageId, "", m.UserId)
	e.text(`,"previousId":`, m.PreviousId)
	err = e.tail(m.Timestamp, m.Context, "", nil, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

// head writes what all events begin with.
func (e *encoder) head(open, messageID, anonymousID, userID string) {
	e.buf = append(e.buf, open...)
	e.text(`,"messageId":`, messageID)
	e.optional(`,"anonymousId":`, anonymousID)
	e.optional(`,"userId":`, userID)
}

// tail writes what all events end with; details are an event's properties or traits.
func (e *encoder) tail(at time.Time, context *analytics.Context, key string, details,
	integrations map[string]any) error {
	e.buf = append(e.buf, `,"timestamp":`...)
	if err := e.time(at); err != nil {
		return unencodable("timestamp", err)
	}
	if context != nil {
		e.buf = append(e.buf, `,"context":`...)
		if err := e.context(context); err != nil {
			return unencodable("context", err)
		}
	}
	if len(details) > 0 {
		e.buf = append(e.buf, key...)
		if err := e.object(details, 2); err != nil {
			return unencodable(key[2:len(key)-2], err)
		}
	}
	if len(integrations) > 0 {
		e.buf = append(e.buf, `,"integrations":`...)
		if err := e.object(integrations, 2); err != nil {
			return unencodable("integrations", err)
		}
	}
	e.buf = append(e.buf, '}')
	if len(e.buf) > event.MaxEventBytes {
		return &EventError{Reason: TooLarge, Err: errTooLong}
	}
	return nil
}

func unencodable(where string, err error) error {
	if errors.Is(err, errTooLong) {
		return &EventError{Reason: TooLarge, Err: err}
	}
	return &EventError{Reason: Unencodable, Err: fmt.Errorf("its %s can't be written as JSON: %w", where, err)}
}

// text writes a key, which stands in the code with its quotes and comma, and a string.
func (e *encoder) text(key, value string) {
	e.buf = append(e.buf, key...)
	e.quote(value)
}

func (e *encoder) optional(key, value string) {
	if value != "" {
		e.text(key, value)
	}
}

// quote writes no more of a string than makes an event too long: the encoder keeps its memory.
func (e *encoder) quote(s string) {
	e.buf = rawjson.AppendQuoted(e.buf, s[:min(len(s), event.MaxEventBytes)])
}

// time writes a time as encoding/json does.
func (e *encoder) time(t time.Time) (err error) {
	e.buf = append(e.buf, '"')
	if e.buf, err = t.AppendText(e.buf); err != nil {
		return err
	}
	e.buf = append(e.buf, '"')
	return nil
}

// other writes a value of a type that has no short way.
func (e *encoder) other(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > event.MaxEventBytes {
		return errTooLong
	}
	e.buf = append(e.buf, text...)
	return nil
}
