package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

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

// byteOrderMark begins the UTF-8 of some writers, but JSON does not allow it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// zstdMagic is the beginning of a zstd frame in base64 (RFC 8878, 3.1.1: 28 B5 2F FD).
const zstdMagic = "KLUv/"

// Decode reads body, of any size and content, into m, whose buffers it reuses. Events are slices of
// m's buffer or of body, so neither may change while they are used. What is wrong with a single
// event is that event's Problem, and a field of the batch that Segment could not read is left out
// (see m.Omitted); an error is always a *[DecodeError] and means that the message has no event that
// could be read. That of an archive-only message has none: only m.ArchiveFrame is set then. The
// write key is not checked: see [event.ValidWriteKey].
func (d *Decoder) Decode(body []byte, m *Content) error {
	m.reset()
	text := trimStart(body)
	switch {
	case len(text) == 0:
		return undecodable("it is empty: %s", whatABodyIs)
	case text[0] == '{':
	case bytes.HasPrefix(text, []byte(zstdMagic)):
		var err error
		if text, err = d.decompress(text, m); err != nil {
			return err
		}
		text = trimStart(text)
	default:
		return undecodable("it begins with %q: %s", text[0], whatABodyIs)
	}
	if len(text) > MaxRawBytes {
		return tooLarge("it has %d bytes, more than the maximum of %d", len(text), MaxRawBytes)
	}
	if isArchiveOnly(text) {
		var err error
		if m.ArchiveFrame, err = archiveFrame(text); err != nil {
			return err
		}
		return &DecodeError{ReasonUndecodable, errArchiveOnly}
	}
	if err := d.parse(text, m); err != nil {
		return &DecodeError{ReasonUndecodable, err}
	}
	return nil
}

var errArchiveOnly = errors.New("it is an archive-only message: a part of the archive, whose events have ended; " +
	"a deliver function that has an archive stores it")

// trimStart removes white space and a byte order mark.
func trimStart(text []byte) []byte {
	const space = " \t\r\n"
	return bytes.TrimLeft(bytes.TrimPrefix(bytes.TrimLeft(text, space), byteOrderMark), space)
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

// parse reads the top level in one pass. The body is a batch when its field "batch" is an array,
// otherwise it is an event itself.
func (d *Decoder) parse(text []byte, m *Content) error {
	s := &d.scanner
	s.Reset(text)
	s.Enter('{')
	hasBatch, isBatch := false, false
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
		hasBatch, isBatch = true, s.Peek() == '['
		if !isBatch {
			s.Value()
		} else if err := d.parseEvents(text, m); err != nil {
			return err
		}
	}
	if err := s.End(); err != nil {
		return err
	}
	var err error
	if m.WriteKey, err = h.key(); err != nil {
		return err
	}
	if !isBatch {
		if err := d.parseSingle(text, m); err == nil && hasBatch && m.Events[0].Problem == event.TypeUnknown {
			return errors.New("batch must be an array of events")
		}
		return err
	}
	if len(m.Events) == 0 {
		return errors.New("empty_batch: the batch holds no event")
	}
	h.decode(m)
	if len(m.Context) > 0 {
		shared := event.ScanContext(m.Context)
		for i := range m.Events {
			m.Events[i].Inherit(shared, "")
		}
	}
	return nil
}

// parseEvents reads the batch's array of events. A second one replaces the first.
func (d *Decoder) parseEvents(text []byte, m *Content) error {
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
func (d *Decoder) parseSingle(text []byte, m *Content) error {
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

// key returns the write key; null and absent are empty. One of another type is an error: without a
// key the events would go to the default source.
func (h *headerFields) key() (string, error) {
	switch v := h.writeKey.bytes; {
	case rawjson.IsNull(v):
		return "", nil
	case rawjson.IsString(v):
		return string(rawjson.Unquote(nil, v)), nil
	}
	return "", errors.New("the writeKey must be a string")
}

// decode sets the rest of m's header. A field that can't be read is left out: it never costs the
// events.
func (h *headerFields) decode(m *Content) {
	if v := h.origin.bytes; !rawjson.IsNull(v) {
		if rawjson.IsString(v) {
			m.Origin, m.HasOrigin = event.ParseOrigin(string(rawjson.Unquote(nil, v)))
		}
		if !m.HasOrigin {
			m.Omitted |= event.OmittedBatchOrigin
		}
	}
	if v := h.receivedAt.bytes; !rawjson.IsNull(v) {
		var ok bool
		if m.ReceivedAt, ok = event.ParseTime(v); !ok {
			m.Omitted |= event.OmittedBatchReceivedAt
		}
	}
	var ok bool
	if m.Context, ok = h.context.object(); !ok {
		m.Omitted |= event.OmittedBatchContext
	}
	if m.Integrations, ok = h.integrations.object(); !ok {
		m.Omitted |= event.OmittedBatchIntegrations
	}
}

// object returns the bytes of an object; null and absent are nil. ok is false for what Segment
// could not read: it would refuse the whole batch, with the events of other messages.
func (f *headerField) object() (value []byte, ok bool) {
	switch {
	case rawjson.IsNull(f.bytes):
		return nil, true
	case !rawjson.IsObject(f.bytes) || f.flaws.NotUTF8 || f.flaws.Depth-1 > event.MaxDepth: // the batch is a level
		return nil, false
	}
	return f.bytes, true
}
