package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path"

	"github.com/spillwayhq/spillway/shared/frame"
)

// end is the content of the file END: without it nobody could tell that the end of the log is gone.
// It is written when a segment is made and by Close.
type end struct {
	Segment uint64 `json:"segment"` // the newest
	Next    uint64 `json:"next"`    // number of the next message
	Closed  bool   `json:"closed"`  // no message was added since
}

func (l *Log) writeEnd(closed bool) error {
	if l.last == 0 {
		return nil
	}
	data, err := json.Marshal(end{l.last, l.next, closed})
	if err != nil {
		return err
	}
	name := path.Join(l.dir, endName)
	if err := l.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := l.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(frame.Append(nil, 0, 0, frame.Checksum(0, data), data), 0)
	return errors.Join(err, f.Sync(), f.Close(), l.fs.SyncDir(l.dir))
}

// end returns what END says; false: it is not there, or not readable.
func (r *replay) end() (e end, ok bool) {
	b, err := r.readFile(path.Join(r.dir, endName))
	parsed, state := frame.Parse(b, 0, maxFrameBytes)
	return e, err == nil && state == frame.Whole && json.Unmarshal(parsed.Data, &e) == nil
}

// readEnd compares the log's end with what END says.
func (r *replay) readEnd() {
	e, ok := r.end()
	if !ok {
		return
	}
	if e.Segment > r.last {
		r.missing(r.last+1, e.Segment)
		r.last = e.Segment
		if !e.Closed {
			r.damage.Files[len(r.damage.Files)-1].Uncounted = true
			r.damage.Uncounted++
		}
	}
	if e.Next > r.next {
		r.lose(e.Next, -1)
	}
	if e.Closed && e.Segment == r.last {
		r.counted()
	}
}

// counted says that the damages are counted, since END knows where the log ended.
func (r *replay) counted() {
	for i := range r.damage.Files {
		r.damage.Files[i].Uncounted = false
	}
	r.damage.Uncounted = 0
}
