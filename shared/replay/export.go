package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// ExportField is the field of an exported line that says what the archive knows of its event.
const ExportField = "archived"

// bodyField is the field of an exported line that holds a body that could not be read, in place of
// an event.
const bodyField = "body"

// lineInfo is the value of ExportField.
type lineInfo struct {
	Time       time.Time `json:"time"`
	Outcome    string    `json:"outcome"`
	Reason     string    `json:"reason,omitempty"`
	Detail     string    `json:"detail,omitempty"`
	Replay     string    `json:"replay,omitempty"`
	ReceivedAt time.Time `json:"receivedAt,omitzero"`
}

// Export writes the events as lines instead of sending them: each is a message of the events queue
// with one event, and ExportField. Unlike Send it takes dead letters of every reason, and an event
// once for each of its outcomes. It has no checkpoint: after an error begin again.
func (r *Replay) Export(ctx context.Context, out io.Writer, tell func(Progress)) (Counts, error) {
	w, err := r.newWalk(newDoubles(nil), tell)
	if err != nil {
		return Counts{}, err
	}
	w.chooser.forExport = true
	buffered := bufio.NewWriterSize(out, 1<<20)
	var line []byte
	w.take = func(_ context.Context, e *chosen) (err error) {
		if line, err = appendLine(line[:0], e); err == nil {
			_, err = buffered.Write(line)
		}
		return err
	}
	err = w.read(ctx, r.from, r.end())
	return w.chooser.counts, errors.Join(err, buffered.Flush())
}

// appendLine appends an event's line.
func appendLine(dst []byte, e *chosen) ([]byte, error) {
	info, err := encode(lineInfo{Time: e.Time, Outcome: e.Outcome, Reason: e.Reason, Detail: e.Detail, Replay: e.Replay,
		ReceivedAt: e.ReceivedAt})
	if err != nil {
		return dst, fmt.Errorf("encode what is known of an event: %w", err)
	}
	dst = append(append(append(dst, `{"`+ExportField+`":`...), info...), ',')
	if e.event == nil {
		body, err := encode(string(e.Event))
		if err != nil {
			return dst, fmt.Errorf("encode a body that could not be read: %w", err)
		}
		return append(append(append(dst, `"`+bodyField+`":`...), body...), "}\n"...), nil
	}
	start := len(dst)
	dst = append(dst, message.AppendJSON(nil, e.header, e.event)[1:]...)
	for i, c := range dst[start:] { // an event that has them is in base64 in the archive
		if c == '\n' || c == '\r' {
			dst[start+i] = ' '
		}
	}
	return append(dst, '\n'), nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
