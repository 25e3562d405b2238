package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// ExportField is the field of an exported line that says from which dead letter it is.
const ExportField = "deadLetter"

// bodyField is the field of an exported line that holds a body that can't be read, in place of an
// event.
const bodyField = "body"

// lineInfo is the value of ExportField.
type lineInfo struct {
	ID        string    `json:"id"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen,omitzero"`
	Receives  int       `json:"receives"`
}

// ExportResult is the result of a [Queue.Export] or a [Queue.Drop].
type ExportResult struct {
	DeadLetters, Events int          // written
	NotDeleted          int          // of DeadLetters, those that Drop could not delete
	InQueue             ReasonCounts // all dead letters that were in the queue, also those outside the filter
}

// Export writes the dead letters that the filter selects as lines, those that were written twice
// only once, and leaves them in the queue. write gets the lines of whole dead letters; calls are
// sequential, and an error ends the export. After an error the result says what was written.
func (q *Queue) Export(ctx context.Context, f Filter, write func(lines []byte) error) (ExportResult, error) {
	e := newExporter(f, write)
	written := seenBefore{}
	e.skip = written.add
	return e.run(ctx, q)
}

// Copy writes dead letters as [Queue.Export] does, those of a queue that can be read without
// receiving its messages. all yields some at a time; now is the time of the filter's ages.
func Copy(ctx context.Context, all iter.Seq[[]*Received], f Filter, now time.Time,
	write func(lines []byte) error) (ExportResult, error) {
	r, err := NewReader()
	if err != nil {
		return ExportResult{}, err
	}
	defer r.Close()
	e := newExporter(f, write)
	written := seenBefore{}
	e.skip = written.add
	for some := range all {
		if ctx.Err() != nil {
			return e.result, context.Cause(ctx)
		}
		if _, err := e.copy(some, now, r); err != nil {
			return e.result, err
		}
	}
	return e.result, nil
}

// Drop writes the dead letters that the filter selects as lines and then deletes them. write must
// not return before the lines are safely stored, because they are then the only copy. Otherwise
// Drop is as [Queue.Export].
func (q *Queue) Drop(ctx context.Context, f Filter, write func(lines []byte) error) (ExportResult, error) {
	e := newExporter(f, write)
	e.drop = true
	return e.run(ctx, q)
}

// exporter writes the dead letters of a scan.
type exporter struct {
	filter Filter
	write  func(lines []byte) error
	skip   func(*Received, *message.Content) bool // nil: none
	drop   bool

	turn   chan struct{} // of one: guards skip, write and result
	result ExportResult
}

func newExporter(f Filter, write func([]byte) error) *exporter {
	return &exporter{filter: f, write: write, turn: make(chan struct{}, 1), result: ExportResult{InQueue: ReasonCounts{}}}
}

func (e *exporter) run(ctx context.Context, q *Queue) (ExportResult, error) {
	n := readers
	if e.drop {
		n = workers
	}
	_, err := q.scan(ctx, n, e.handle)
	return e.result, err
}

// handle writes the dead letters of one receive, and deletes them if the scan is a Drop.
func (e *exporter) handle(ctx context.Context, s *scan, received []*Received) error {
	r, err := NewReader()
	if err != nil {
		return err
	}
	defer r.Close()
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	if ctx.Err() != nil { // it ended while this waited for its turn
		return ctx.Err()
	}
	selected, err := e.copy(received, s.began, r)
	if err != nil || !e.drop || len(selected) == 0 {
		return err
	}
	failed, err := s.delete(ctx, slices.Clip(selected))
	e.result.NotDeleted += len(failed)
	return err
}

// copy writes those of the dead letters that are selected, in one call, and returns them.
func (e *exporter) copy(received []*Received, now time.Time, r *Reader) (selected []*Received, err error) {
	var lines []byte
	events := 0
	for _, l := range received {
		e.result.InQueue[l.Reason]++
		if !e.filter.Match(l, now, r) {
			continue
		}
		if e.skip != nil {
			if m, _ := r.Read(l); e.skip(l, m) {
				continue
			}
		}
		text, n, err := l.lines(r)
		if err != nil {
			return nil, err
		}
		lines = append(lines, text...)
		selected = append(selected, l)
		events += n
	}
	if len(selected) == 0 {
		return nil, nil
	}
	if err := e.write(lines); err != nil {
		return nil, fmt.Errorf("write %d dead letters: %w", len(selected), err)
	}
	e.result.DeadLetters += len(selected)
	e.result.Events += events
	return selected, nil
}

// lines returns the dead letter as NDJSON, an event a line, and how many lines there are. A line is
// a message of the events queue with ExportField added: sent there, it is the same event as before,
// because its identity is in it. The write key is in it too. A body that can't be read gives one
// line, which is no message.
func (l *Received) lines(r *Reader) (lines []byte, events int, err error) {
	info, err := encode(lineInfo{ID: l.ID, Reason: l.Reason, Detail: l.Detail, FirstSeen: l.FirstSeen.UTC(),
		LastSeen: l.LastSeen.UTC(), Receives: l.Receives})
	if err != nil {
		return nil, 0, fmt.Errorf("encode dead letter %s as JSON: %w", l.ID, err)
	}
	begin := func() { lines = append(append(append(lines, `{"`+ExportField+`":`...), info...), ',') }
	m, unreadable := r.Read(l)
	if unreadable != nil {
		body, err := encode(string(l.Body))
		if err != nil {
			return nil, 0, fmt.Errorf("encode the body of dead letter %s as JSON: %w", l.ID, err)
		}
		begin()
		lines = append(append(append(lines, `"`+bodyField+`":`...), body...), "}\n"...)
		return lines, 1, nil
	}
	header := m.Header
	header.ReceivedAt = time.Time{} // the line says when it was first seen; sent again, it is not old
	var event []byte
	for i := range m.Events {
		event, _ = m.Events[i].AppendIdentified(event[:0], message.EventID(message.StableID(l.ID), i), l.FirstSeen)
		begin()
		start := len(lines)
		lines = append(lines, message.AppendJSON(nil, header, event)[1:]...)
		replaceLineBreaks(lines[start:])
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

// replaceLineBreaks puts JSON on one line: its line breaks are only between values.
func replaceLineBreaks(text []byte) {
	for i, c := range text {
		if c == '\n' || c == '\r' {
			text[i] = ' '
		}
	}
}
