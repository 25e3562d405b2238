// Package feed supplies the events that a verb sends: lines of a file, or made-up events.
package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/replay"
)

// A Line is one event of a feed.
type Line struct {
	Number int // from 1
	Event  publisher.Raw
	// Exported is a line that `spillway dlq export`, `spillway dlq drop` or `spillway replay --out`
	// wrote: a message with one event and what is known about it, such as its write key. Event is
	// unset then.
	Exported []byte
}

// A LineError says why a line can't be sent. The feed continues after it.
type LineError struct {
	Number int
	Err    error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Number, e.Err) }

// Unwrap returns why.
func (e *LineError) Unwrap() error { return e.Err }

// Read yields the events of NDJSON. For a line that can't be sent it yields a *LineError and
// continues; any other error ends the feed.
func Read(in io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		reader := bufio.NewReaderSize(in, 64<<10)
		var buf []byte
		for n := 1; ; n++ {
			var end error
			buf, end = readLine(reader, buf)
			if n == 1 {
				buf = bytes.TrimPrefix(buf, []byte("\xef\xbb\xbf"))
			}
			if line := bytes.TrimSpace(buf); len(line) > 0 && !yield(parse(line, n)) {
				return
			}
			switch {
			case end == io.EOF:
				return
			case end != nil:
				yield(Line{}, fmt.Errorf("read line %d: %w", n, end))
				return
			}
		}
	}
}

// parse copies what it returns.
func parse(line []byte, n int) (Line, error) {
	if isExported(line) {
		return Line{Number: n, Exported: bytes.Clone(line)}, nil
	}
	raw, err := publisher.NewRaw(line)
	if err != nil {
		return Line{}, &LineError{n, errors.Unwrap(err)}
	}
	return Line{Number: n, Event: raw}, nil
}

// readLine reads a line into buf. Of a line that is far too long it returns only the beginning.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		part, err := r.ReadSlice('\n')
		if len(buf) <= message.MaxRawBytes {
			buf = append(buf, part...)
		}
		if err != bufio.ErrBufferFull {
			return buf, err
		}
	}
}

func isExported(line []byte) (exported bool) {
	if !bytes.Contains(line, []byte(`"`+deadletter.ExportField+`"`)) &&
		!bytes.Contains(line, []byte(`"`+replay.ExportField+`"`)) {
		return false // almost every line
	}
	var json rawjson.Scanner
	json.Reset(line)
	for json.Enter('{'); ; {
		key, ok := json.Field()
		if !ok {
			return exported && json.End() == nil
		}
		exported = exported || json.Peek() == '{' &&
			(string(key) == deadletter.ExportField || string(key) == replay.ExportField)
		json.Value()
	}
}
