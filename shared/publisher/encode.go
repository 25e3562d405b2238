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

// encoder writes events as the JSON values that analytics-go sends; the order of a map's keys and
// the escaping of characters for HTML differ. It is reused, and is not safe for concurrent use.
//
// It is written by hand because an event is encoded on its caller's goroutine. For the typical
// event of the benchmarks, with its messageId given, it takes 2.1 µs and 1 allocation. For the same
// analytics.Track, encoding/json takes 20 µs and 66 allocations, and github.com/segmentio/encoding
// v0.5.4 takes 14 µs and 39: Context marshals itself by reflection.
//
// With structs of our own in place of analytics-go's, Context included, encoding/json takes 7.5 µs,
// and segmentio/encoding takes 2.1 µs too. But segmentio/encoding overflows the stack on a map that
// holds itself, which ends the program, accepts years of five digits, and encodes a huge event to
// its end. What prevents that would have to be written by hand again.
//
// Measured on 26 November 2026 on 2 shared cores, medians of 6 runs of 0.5 s: encoding/json also by
// BenchmarkEnqueue; all of them in a module of their own, with a copy of this encoder and
// json.Append(buf[:0], &m, 0), by go test -bench Encode -benchtime 0.5s -count 6.
type encoder struct {
	buf    []byte // the event
	record []byte // the event as it is written to disk
	shard  int    // of the buffer, for this encoder's events
}

// errTooLong ends the encoding as soon as an event is over the limit, so that a huge event takes no
// more time and memory than a large one.
var errTooLong = fmt.Errorf("%w: it is larger than the %d bytes that Segment takes; send less in one event",
	analytics.ErrMessageTooBig, event.MaxEventBytes)

// prepared is an event whose JSON is in the encoder.
type prepared struct {
	message analytics.Message // with type, messageId and timestamp set, for a callback; nil unless asked for
	raw     bool              // it is a Raw, and its message has no context
	name    place             // of a track's name in the JSON, without its quotes
}

// place is where something is in an event's JSON, which has at most event.MaxEventBytes.
type place struct{ from, to uint16 }

// encode checks a message as analytics-go does, with the same errors, gives it an id and a time
// where it has none, and writes it to e.buf. keep asks for the message as it was sent.
func (e *encoder) encode(msg analytics.Message, at time.Time, keep bool) (p prepared, err error) {
	defer func() {
		if r := recover(); r != nil { // in a MarshalJSON or Validate of the caller's
			err = &EventError{Reason: Unencodable, Err: fmt.Errorf("writing it as JSON panicked: %v", r)}
		}
	}()
	e.buf = e.buf[:0]
	switch m := msg.(type) {
	case nil:
		return p, &EventError{Reason: Unencodable, Err: errors.New("the message is nil")}
	case analytics.Track:
		return track(e, &m, at, keep)
	case analytics.Identify:
		return identify(e, &m, at, keep)
	case analytics.Page:
		return page(e, &m, at, keep)
	case analytics.Screen:
		return screen(e, &m, at, keep)
	case analytics.Group:
		return group(e, &m, at, keep)
	case analytics.Alias:
		return alias(e, &m, at, keep)
	case Raw:
		if err := m.Validate(); err != nil {
			return p, err
		}
		e.buf = append(e.buf, m.json...)
		p.raw = true
		if keep {
			p.message = m
		}
		return p, nil
	default:
		return e.encodePointer(msg, at, keep)
	}
}

// encodePointer is encode for pointers. The caller's message does not change.
func (e *encoder) encodePointer(msg analytics.Message, at time.Time, keep bool) (p prepared, err error) {
	switch m := msg.(type) {
	case *analytics.Track:
		if m != nil {
			c := *m
			return track(e, &c, at, keep)
		}
	case *analytics.Identify:
		if m != nil {
			c := *m
			return identify(e, &c, at, keep)
		}
	case *analytics.Page:
		if m != nil {
			c := *m
			return page(e, &c, at, keep)
		}
	case *analytics.Screen:
		if m != nil {
			c := *m
			return screen(e, &c, at, keep)
		}
	case *analytics.Group:
		if m != nil {
			c := *m
			return group(e, &c, at, keep)
		}
	case *analytics.Alias:
		if m != nil {
			c := *m
			return alias(e, &c, at, keep)
		}
	default:
		if err := msg.Validate(); err != nil {
			return p, err
		}
		return p, &EventError{Reason: Unencodable, Err: fmt.Errorf("messages with custom types cannot be enqueued: %T", msg)}
	}
	return p, &EventError{Reason: Unencodable, Err: fmt.Errorf("the message is a nil %T", msg)}
}

// identity fills in what analytics-go fills in.
func identity(id *string, timestamp *time.Time, at time.Time) {
	if *id == "" {
		*id = uuid.NewString()
	}
	if timestamp.IsZero() {
		*timestamp = at
	}
}

func track(e *encoder, m *analytics.Track, at time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "track"
	identity(&m.MessageId, &m.Timestamp, at)
	e.head(`{"type":"track"`, m.MessageId, m.AnonymousId, m.UserId)
	from := len(e.buf) + len(`,"event":"`)
	e.text(`,"event":`, m.Event)
	if to := len(e.buf) - 1; to <= event.MaxEventBytes { // otherwise it is refused
		p.name = place{uint16(from), uint16(to)}
	}
	err = e.tail(m.Timestamp, m.Context, `,"properties":`, m.Properties, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func identify(e *encoder, m *analytics.Identify, at time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "identify"
	identity(&m.MessageId, &m.Timestamp, at)
	e.head(`{"type":"identify"`, m.MessageId, m.AnonymousId, m.UserId)
	err = e.tail(m.Timestamp, m.Context, `,"traits":`, m.Traits, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func page(e *encoder, m *analytics.Page, at time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "page"
	identity(&m.MessageId, &m.Timestamp, at)
	e.head(`{"type":"page"`, m.MessageId, m.AnonymousId, m.UserId)
	e.optional(`,"name":`, m.Name)
	err = e.tail(m.Timestamp, m.Context, `,"properties":`, m.Properties, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func screen(e *encoder, m *analytics.Screen, at time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "screen"
	identity(&m.MessageId, &m.Timestamp, at)
	e.head(`{"type":"screen"`, m.MessageId, m.AnonymousId, m.UserId)
	e.optional(`,"name":`, m.Name)
	err = e.tail(m.Timestamp, m.Context, `,"properties":`, m.Properties, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func group(e *encoder, m *analytics.Group, at time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "group"
	identity(&m.MessageId, &m.Timestamp, at)
	e.head(`{"type":"group"`, m.MessageId, m.AnonymousId, m.UserId)
	e.text(`,"groupId":`, m.GroupId)
	err = e.tail(m.Timestamp, m.Context, `,"traits":`, m.Traits, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

func alias(e *encoder, m *analytics.Alias, at time.Time, keep bool) (p prepared, err error) {
	if err := m.Validate(); err != nil {
		return p, err
	}
	m.Type = "alias"
	identity(&m.MessageId, &m.Timestamp, at)
	e.head(`{"type":"alias"`, m.MessageId, "", m.UserId)
	e.text(`,"previousId":`, m.PreviousId)
	err = e.tail(m.Timestamp, m.Context, "", nil, m.Integrations)
	if keep {
		p.message = *m
	}
	return p, err
}

// head writes how all events begin.
func (e *encoder) head(open, messageID, anonymousID, userID string) {
	e.buf = append(e.buf, open...)
	e.text(`,"messageId":`, messageID)
	e.optional(`,"anonymousId":`, anonymousID)
	e.optional(`,"userId":`, userID)
}

// tail writes how all events end; details are an event's properties or traits.
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

// text writes a key, which has its quotes and comma already, and a string.
func (e *encoder) text(key, value string) {
	e.buf = append(e.buf, key...)
	e.quote(value)
}

func (e *encoder) optional(key, value string) {
	if value != "" {
		e.text(key, value)
	}
}

// quote cuts a string at the size that makes an event too long: the encoder's memory is reused.
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

// other writes a value of a type that the encoder does not know.
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
