package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// Field is the field of an exported line that says which letter it is of, and what was wrong with
// it.
const ExportField = "deadLetter"

// Body is the field of an exported line that has, in the place of an event, the body of a letter
// that can't be read, as it came.
const bodyField = "body"

// Provenance is what Field holds.
type lineInfo struct {
	ID        string    `json:"id"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen,omitzero"`
	Receives  int       `json:"receives"`
}

// Lines is the letter as NDJSON, an event a line, and how many there are. A line is a message of
// the events queue, with Field besides: sent there, it is the same event as before, for its
// identity is in it. The write key is in it as well. Of a body that can't be read there is one
// line, which is no message.
func (l *Received) Lines(r *Reader) (lines []byte, events int, err error) {
	from, err := encode(lineInfo{ID: l.ID, Reason: l.Reason, Detail: l.Detail, FirstSeen: l.FirstSeen.UTC(),
		LastSeen: l.LastSeen.UTC(), Receives: l.Receives})
	if err != nil {
		return nil, 0, fmt.Errorf("write letter %s as JSON: %w", l.ID, err)
	}
	begin := func() { lines = append(append(append(lines, `{"`+ExportField+`":`...), from...), ',') }
	m, unreadable := r.Read(l)
	if unreadable != nil {
		body, err := encode(string(l.Body))
		if err != nil {
			return nil, 0, fmt.Errorf("write the body of letter %s as JSON: %w", l.ID, err)
		}
		begin()
		lines = append(append(append(lines, `"`+bodyField+`":`...), body...), "}\n"...)
		return lines, 1, nil
	}
	header := m.Header
	header.ReceivedAt = time.Time{} // the line has when it was first seen; sent again it is no backlog
	var event []byte
	for i := range m.Events {
		event = m.Events[i].AppendIdentified(event[:0], message.EventID(message.StableID(l.ID), i), l.FirstSeen)
		begin()
		start := len(lines)
		lines = append(lines, message.AppendJSON(nil, header, event)[1:]...)
		oneLine(lines[start:])
		lines = append(lines, '\n')
	}
	return lines, len(m.Events), nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// oneLine: in JSON a line's end stands only where white space may.
func oneLine(text []byte) {
	for i, c := range text {
		if c == '\n' || c == '\r' {
			text[i] = ' '
		}
	}
}

// Copied is what became of the letters that the filter is about.
type ExportResult struct {
	DeadLetters, Events int
	NotDeleted          int          // of Letters, those that are still there although they were to be dropped
	InQueue             ReasonCounts // all letters that were there
}

// Export writes letters as lines, those that were written twice once, and leaves them where they
// are. write is called with whole letters, one call after the other; its error ends the export.
func (q *Queue) Export(ctx context.Context, f Filter, write func(lines []byte) error) (ExportResult, error) {
	written := seenBefore{}
	return q.copy(ctx, f, write, written.again, nil)
}

// Drop writes letters as lines and deletes them. keep must not return before what it is given is
// safe, because that is what is left of it.
func (q *Queue) Drop(ctx context.Context, f Filter, keep func(lines []byte) error) (ExportResult, error) {
	return q.copy(ctx, f, keep, func(*Received) bool { return false }, (*scan).remove)
}

// copy leaves out what skip says, and hands to then what is written.
func (q *Queue) copy(ctx context.Context, f Filter, write func([]byte) error, skip func(*Received) bool,
	then func(*scan, context.Context, []*Received) ([]*Received, error)) (ExportResult, error) {
	out := ExportResult{InQueue: ReasonCounts{}}
	turn := make(chan struct{}, 1) // one after the other
	err := q.scan(ctx, func(ctx context.Context, w *scan, letters []*Received) error {
		r, err := NewReader()
		if err != nil {
			return err
		}
		defer r.Close()
		turn <- struct{}{}
		defer func() { <-turn }()
		if ctx.Err() != nil { // while it waited for another
			return ctx.Err()
		}
		var lines []byte
		var wanted []*Received
		events := 0
		for _, l := range letters {
			out.InQueue[l.Reason]++
			if !f.Match(l, w.began) || skip(l) {
				continue
			}
			text, n, err := l.Lines(r)
			if err != nil {
				return err
			}
			lines = append(lines, text...)
			wanted = append(wanted, l)
			events += n
		}
		if len(wanted) == 0 {
			return nil
		}
		if err := write(lines); err != nil {
			return fmt.Errorf("write %d letters: %w", len(wanted), err)
		}
		out.DeadLetters += len(wanted)
		out.Events += events
		if then == nil {
			return nil
		}
		left, err := then(w, ctx, slices.Clip(wanted))
		out.NotDeleted += len(left)
		return err
	})
	return out, err
}
