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

// A Decoder reads bodies. It keeps buffers between two messages and may not be used by two
// goroutines at the same time.
type Decoder struct {
	zstd    *zstd.Decoder
	scanner rawjson.Scanner
	packed  []byte
}

// NewDecoder makes a Decoder. [Decoder.Close] gives its memory back.
func NewDecoder() (*Decoder, error) {
	// One block decoder, in the caller's goroutine. What bounds the memory is the size of the
	// result.
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxRawBytes))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return &Decoder{zstd: z}, nil
}

// Close releases the Decoder.
func (d *Decoder) Close() { d.zstd.Close() }

// zstdMagic is how a zstd frame begins, in base64 (RFC 8878, 3.1.1: 28 B5 2F FD).
const zstdMagic = "KLUv/"

// Decode reads body into m, whose buffers it uses again. Events are slices of m's buffer or of
// body, so both must live and stay unchanged as long as they are used. What is wrong with a single
// event is that event's Problem; an error is always an *Error and means that nothing of the message
// could be read.
func (d *Decoder) Decode(body []byte, m *Content) error {
	m.reset()
	text := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(text) == 0:
		return &DecodeError{ReasonUndecodable, errors.New("it is empty: write the JSON of a Segment batch or event")}
	case text[0] == '{':
	case bytes.HasPrefix(text, []byte(zstdMagic)):
		var err error
		if text, err = d.decompress(text, m); err != nil {
			return err
		}
	default:
		return &DecodeError{ReasonUndecodable,
			fmt.Errorf("it begins with %q: a body is a JSON object, or one compressed with zstd in base64", text[0])}
	}
	if len(text) > MaxRawBytes {
		return &DecodeError{ReasonTooLarge, fmt.Errorf("it has %d bytes, at most %d are read", len(text), MaxRawBytes)}
	}
	if err := d.parse(text, m); err != nil {
		return &DecodeError{ReasonUndecodable, err}
	}
	return nil
}

func (d *Decoder) decompress(text []byte, m *Content) ([]byte, error) {
	text = bytes.TrimRight(text, " \t\r\n")
	d.packed = append(d.packed[:0], make([]byte, base64.StdEncoding.DecodedLen(len(text)))...)
	n, err := base64.StdEncoding.Decode(d.packed, text)
	if err != nil {
		return nil, &DecodeError{ReasonUndecodable, fmt.Errorf("decode base64: %w", err)}
	}
	clipWindow(d.packed[:n])
	m.raw, err = d.zstd.DecodeAll(d.packed[:n], m.raw[:0])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, &DecodeError{ReasonTooLarge, fmt.Errorf("decompressed it would have more than %d bytes", MaxRawBytes)}
	case err != nil:
		return nil, &DecodeError{ReasonUndecodable, fmt.Errorf("decompress zstd: %w", err)}
	}
	return m.raw, nil
}

// clipWindow makes a frame announce no larger window than MaxRawBytes, the largest that the decoder
// takes. The zstd command announces 2 to 128 MB for what it reads from a pipe, be it ever so short;
// but nothing in a result of MaxRawBytes refers back by more than that. Sizes are of RFC 8878,
// 3.1.1.1: the window's descriptor is byte 5, its exponent the upper five bits, unless the frame is
// a single segment, which has none.
func clipWindow(frame []byte) {
	const singleSegment, oneMiB = 1 << 5, (20 - 10) << 3
	if len(frame) > 5 && frame[4]&singleSegment == 0 && frame[5] > oneMiB {
		frame[5] = oneMiB
	}
}

// parse walks the top level once. The body is a batch when it has a key "batch", otherwise it is an
// event itself.
func (d *Decoder) parse(text []byte, m *Content) error {
	s := &d.scanner
	s.Reset(text)
	s.Enter('{')
	isBatch := false
	var h rawHeader
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		switch string(key) {
		case "batch":
			isBatch = true
			if s.Peek() != '[' {
				return errors.New("batch must be an array of events")
			}
			m.Events = m.Events[:0] // a second "batch" takes the place of the first
			if err := d.batch(text, m); err != nil {
				return err
			}
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
	switch err := s.End(); {
	case err != nil:
		return err
	case !isBatch:
		return d.single(text, h.writeKey.bytes, m)
	case len(m.Events) == 0:
		return errors.New("empty_batch: the batch holds no event")
	}
	return h.check(m)
}

func (d *Decoder) batch(text []byte, m *Content) error {
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

// single reads the whole text as one event. All of its fields are its own, the write key besides is
// the message's: the browser SDK sends it so.
func (d *Decoder) single(text, writeKey []byte, m *Content) error {
	if rawjson.IsString(writeKey) {
		m.WriteKey = string(rawjson.Unquote(nil, writeKey))
	}
	m.Events = append(m.Events[:0], event.Event{})
	d.scanner.Reset(text)
	return event.Scan(&d.scanner, text, &m.Events[0])
}

// rawHeader is a batch's fields as they stand in the body, each the last of its name.
type rawHeader struct{ writeKey, origin, receivedAt, context, integrations field }

type field struct {
	bytes []byte
	flaws rawjson.Flaws
}

func (f *field) read(s *rawjson.Scanner) {
	s.TakeFlaws()
	f.bytes = s.Value()
	f.flaws = s.TakeFlaws()
}

// check refuses what Segment would not read: it would answer for the whole batch, the events of
// other messages included.
func (f *field) check(name string) error {
	switch {
	case f.flaws.NotUTF8:
		return fmt.Errorf("the batch's %s holds bytes that are not UTF-8", name)
	case f.flaws.Depth-1 > event.MaxDepth: // the batch itself is a level
		return fmt.Errorf("the batch's %s is nested deeper than %d levels", name, event.MaxDepth)
	}
	return nil
}

// check takes the fields over into m; null is absent.
func (h *rawHeader) check(m *Content) error {
	text := func(name string, f *field) (string, error) {
		if rawjson.IsNull(f.bytes) {
			return "", nil
		}
		if !rawjson.IsString(f.bytes) {
			return "", fmt.Errorf("the batch's %s must be a string", name)
		}
		return string(rawjson.Unquote(nil, f.bytes)), f.check(name)
	}
	object := func(name string, f *field) ([]byte, error) {
		if rawjson.IsNull(f.bytes) {
			return nil, nil
		}
		if !rawjson.IsObject(f.bytes) {
			return nil, fmt.Errorf("the batch's %s must be an object", name)
		}
		return f.bytes, f.check(name)
	}
	var origin, receivedAt string
	var errs [5]error
	m.WriteKey, errs[0] = text("writeKey", &h.writeKey)
	origin, errs[1] = text("origin", &h.origin)
	receivedAt, errs[2] = text("receivedAt", &h.receivedAt)
	m.Context, errs[3] = object("context", &h.context)
	m.Integrations, errs[4] = object("integrations", &h.integrations)
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
