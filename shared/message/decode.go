package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Decoder reads bodies. It reuses its buffers, and is not safe for concurrent use.
type Decoder struct {
	zstd    *zstd.Decoder
	scanner rawjson.Scanner
	packed  []byte
}

// NewDecoder returns a Decoder, which [Decoder.Close] must release.
func NewDecoder() (*Decoder, error) {
	// One block decoder, in the caller's goroutine. The size of the result bounds the memory.
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxRawBytes))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return &Decoder{zstd: z}, nil
}

// Close releases the Decoder.
func (d *Decoder) Close() { d.zstd.Close() }

// zstdMagic is the beginning of a zstd frame in base64 (RFC 8878, 3.1.1: 28 B5 2F FD).
const zstdMagic = "KLUv/"

// Decode reads body, of any size and content, into m, whose buffers it reuses. Events are slices of
// m's buffer or of body, so neither may change while they are used. What is wrong with a single
// event is that event's Problem; an error is always a *[DecodeError] and means that nothing of the
// message could be read.
func (d *Decoder) Decode(body []byte, m *Content) error {
	m.reset()
	text := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(text) == 0:
		return undecodable("it is empty: %s", whatABodyIs)
	case text[0] == '{':
	case bytes.HasPrefix(text, []byte(zstdMagic)):
		var err error
		if text, err = d.decompress(text, m); err != nil {
			return err
		}
	default:
		return undecodable("it begins with %q: %s", text[0], whatABodyIs)
	}
	if len(text) > MaxRawBytes {
		return tooLarge("it has %d bytes, more than the maximum of %d", len(text), MaxRawBytes)
	}
	if err := d.parse(text, m); err != nil {
		return &DecodeError{ReasonUndecodable, err}
	}
	return nil
}

const whatABodyIs = "a body is a JSON object, a Segment batch or an event, plain or compressed with zstd in base64"

func undecodable(format string, args ...any) error {
	return &DecodeError{ReasonUndecodable, fmt.Errorf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &DecodeError{ReasonTooLarge, fmt.Errorf(format, args...)}
}

func (d *Decoder) decompress(text []byte, m *Content) ([]byte, error) {
	text = bytes.TrimRight(text, " \t\r\n")
	d.packed = append(d.packed[:0], make([]byte, base64.StdEncoding.DecodedLen(len(text)))...)
	n, err := base64.StdEncoding.Decode(d.packed, text)
	if err != nil {
		return nil, undecodable("decode base64: %w", err)
	}
	clipWindow(d.packed[:n])
	m.raw, err = d.zstd.DecodeAll(d.packed[:n], m.raw[:0])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, tooLarge("decompressed it has more than %d bytes", MaxRawBytes)
	case err != nil:
		return nil, undecodable("decompress zstd: %w", err)
	}
	return m.raw, nil
}

// clipWindow makes a frame announce at most a window of MaxRawBytes, the largest that the decoder
// accepts. The zstd command announces 2 to 128 MB for any input from a pipe, however short; but
// nothing in a result of MaxRawBytes refers back by more than that. By RFC 8878, 3.1.1.1, the
// window's descriptor is byte 5, with the exponent in its upper five bits, unless the frame is a
// single segment, which has none.
func clipWindow(frame []byte) {
	const singleSegment, oneMiB = 1 << 5, (20 - 10) << 3
	if len(frame) > 5 && frame[4]&singleSegment == 0 && frame[5] > oneMiB {
		frame[5] = oneMiB
	}
}

// parse reads the top level in one pass. The body is a batch when it has a key "batch", otherwise
// it is an event itself.
func (d *Decoder) parse(text []byte, m *Content) error {
	s := &d.scanner
	s.Reset(text)
	s.Enter('{')
	isBatch := false
	var h headerFields
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		if string(key) != "batch" {
			h.read(s, key)
			continue
		}
		isBatch = true
		if err := d.parseEvents(text, m); err != nil {
			return err
		}
	}
	switch err := s.End(); {
	case err != nil:
		return err
	case !isBatch:
		return d.parseSingle(text, h.writeKey.bytes, m)
	case len(m.Events) == 0:
		return errors.New("empty_batch: the batch holds no event")
	}
	return h.decode(m)
}

// parseEvents reads the batch's array of events. A second one replaces the first.
func (d *Decoder) parseEvents(text []byte, m *Content) error {
	if d.scanner.Peek() != '[' {
		return errors.New("batch must be an array of events")
	}
	m.Events = m.Events[:0]
	d.scanner.Enter('[')
	for d.scanner.Elem() {
		// In place, so that a message costs no allocation once its slice has grown.
		if len(m.Events) < cap(m.Events) {
			m.Events = m.Events[:len(m.Events)+1]
		} else {
			m.Events = append(m.Events, event.Event{})
		}
		if err := event.Scan(&d.scanner, text, &m.Events[len(m.Events)-1]); err != nil {
			return err
		}
	}
	return d.scanner.Err()
}

// parseSingle reads the whole text as one event, to which all fields belong. Its write key is the
// message's too: the browser SDK sends it so.
func (d *Decoder) parseSingle(text, writeKey []byte, m *Content) error {
	if rawjson.IsString(writeKey) {
		m.WriteKey = string(rawjson.Unquote(nil, writeKey))
	}
	m.Events = append(m.Events[:0], event.Event{})
	d.scanner.Reset(text)
	return event.Scan(&d.scanner, text, &m.Events[0])
}

// headerFields are the JSON values of a batch's fields. Of duplicate keys the last counts.
type headerFields struct{ writeKey, origin, receivedAt, context, integrations headerField }

type headerField struct {
	bytes []byte
	flaws rawjson.Flaws
}

// read consumes the value of a field.
func (h *headerFields) read(s *rawjson.Scanner, key []byte) {
	switch string(key) {
	case "writeKey":
		h.writeKey.read(s)
	case "origin":
		h.origin.read(s)
	case "receivedAt":
		h.receivedAt.read(s)
	case "context":
		h.context.read(s)
	case "integrations":
		h.integrations.read(s)
	default:
		s.Value()
	}
}

func (f *headerField) read(s *rawjson.Scanner) {
	s.TakeFlaws()
	f.bytes = s.Value()
	f.flaws = s.TakeFlaws()
}

// decode sets m's header.
func (h *headerFields) decode(m *Content) error {
	var origin, receivedAt string
	var errs [5]error
	m.WriteKey, errs[0] = h.writeKey.text("writeKey")
	origin, errs[1] = h.origin.text("origin")
	receivedAt, errs[2] = h.receivedAt.text("receivedAt")
	m.Context, errs[3] = h.context.object("context")
	m.Integrations, errs[4] = h.integrations.object("integrations")
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if origin != "" {
		if m.Origin, m.HasOrigin = event.ParseOrigin(origin); !m.HasOrigin {
			return errors.New(`the batch's origin must be "client" or "server"`)
		}
	}
	if receivedAt != "" {
		var err error
		if m.ReceivedAt, err = time.Parse(time.RFC3339Nano, receivedAt); err != nil {
			return errors.New("the batch's receivedAt must be a time like 2026-01-02T15:04:05.000Z")
		}
	}
	return nil
}

// text returns the value of a string; null and absent are empty.
func (f *headerField) text(name string) (string, error) {
	switch {
	case rawjson.IsNull(f.bytes):
		return "", nil
	case !rawjson.IsString(f.bytes):
		return "", fmt.Errorf("the batch's %s must be a string", name)
	}
	return string(rawjson.Unquote(nil, f.bytes)), f.validate(name)
}

// object returns the bytes of an object; null and absent are nil.
func (f *headerField) object(name string) ([]byte, error) {
	switch {
	case rawjson.IsNull(f.bytes):
		return nil, nil
	case !rawjson.IsObject(f.bytes):
		return nil, fmt.Errorf("the batch's %s must be an object", name)
	}
	return f.bytes, f.validate(name)
}

// validate refuses what Segment could not read: it would refuse the whole batch, with the events of
// other messages.
func (f *headerField) validate(name string) error {
	switch {
	case f.flaws.NotUTF8:
		return fmt.Errorf("the batch's %s holds bytes that are not UTF-8", name)
	case f.flaws.Depth-1 > event.MaxDepth: // the batch itself is a level
		return fmt.Errorf("the batch's %s is nested deeper than %d levels", name, event.MaxDepth)
	}
	return nil
}
