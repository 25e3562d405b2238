package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// maxViewers is how many pages follow the stream at the same time. Each costs a connection and
	// what it is sent; one too many loads itself again every refreshEvery.
	maxViewers = 100
	// viewerPatience is how long a page may take to read before its connection is closed.
	viewerPatience = 10 * time.Second
	// quietEvery is how often something is sent, so that a page that has gone is noticed.
	quietEvery = 20 * time.Second
)

// A stream sends the open pages those parts that have changed, as server-sent events. Every update
// is made once for all viewers of a span, and none waits for another. The zero value is ready; it
// is safe for concurrent use.
type stream struct {
	mu      sync.Mutex
	boards  map[string]*board // by the span
	viewers int
	closed  bool
	woken   chan struct{} // has room for one
}

// A board has the latest parts of one span.
type board struct {
	viewers int
	version int // of the latest change; 0: nothing was made since the first viewer came
	frames  map[string]frame
	changed chan struct{} // closed at the next change
}

// A frame is a part as the stream sends it.
type frame struct {
	version int
	html    []byte
	event   []byte
}

// wake returns a channel that gets something when a page begins to follow, which should not wait.
func (s *stream) wake() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	return s.woken
}

func (s *stream) open() {
	if s.woken == nil {
		s.woken = make(chan struct{}, 1)
		s.boards = map[string]*board{}
	}
}

// watched reports whether a page of the span is open.
func (s *stream) watched(span string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boards[span] != nil
}

// update sets the parts of a span, and tells its viewers those that have changed.
func (s *stream) update(span string, parts map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boards[span]
	if b == nil {
		return // the last viewer has gone meanwhile
	}
	next := b.version + 1
	for name, html := range parts {
		if f, ok := b.frames[name]; ok && bytes.Equal(f.html, html) {
			continue
		}
		b.frames[name] = frame{next, html, eventOf(name, html)}
		b.version = next
	}
	if b.version == next {
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

// eventOf is a part as a server-sent event.
func eventOf(name string, html []byte) []byte {
	data, err := json.Marshal(map[string]string{"id": name, "html": string(html)})
	if err != nil {
		panic(err) // strings can be encoded
	}
	return fmt.Appendf(nil, "event: part\ndata: %s\n\n", data)
}

// close ends the stream for all viewers.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, b := range s.boards {
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

// join adds a viewer; false: there are too many, or the stream has ended.
func (s *stream) join(span string) (*board, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.viewers == maxViewers {
		return nil, false
	}
	s.open()
	b := s.boards[span]
	if b == nil {
		b = &board{frames: map[string]frame{}, changed: make(chan struct{})}
		s.boards[span] = b
	}
	b.viewers++
	s.viewers++
	select {
	case s.woken <- struct{}{}:
	default:
	}
	return b, true
}

// leave removes a viewer. A board without viewers is forgotten, so that nothing is read for it.
func (s *stream) leave(span string, b *board) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewers--
	if b.viewers--; b.viewers == 0 {
		delete(s.boards, span)
	}
}

// since returns the events after a version, the latest version, and what is closed at the next.
func (s *stream) since(b *board, version int) (events [][]byte, latest int, changed <-chan struct{}, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range partNames {
		if f, ok := b.frames[name]; ok && f.version > version {
			events = append(events, f.event)
		}
	}
	return events, b.version, b.changed, s.closed
}

// serve answers with the parts of the span as they change, until the client goes or the stream
// ends.
func (s *stream) serve(w http.ResponseWriter, r *http.Request, span string) {
	b, ok := s.join(span)
	if !ok {
		w.Header().Set("Retry-After", fmt.Sprint(int(refreshEvery.Seconds())))
		http.Error(w, fmt.Sprintf("%d pages are followed already, or Spillway stops: this page loads itself again every %v",
			maxViewers, refreshEvery), http.StatusServiceUnavailable)
		return
	}
	defer s.leave(span, b)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	// The server's timeouts are for answers that end.
	_ = out.SetReadDeadline(time.Time{})
	quiet := time.NewTicker(quietEvery)
	defer quiet.Stop()
	send := func(events ...[]byte) error {
		_ = out.SetWriteDeadline(time.Now().Add(viewerPatience))
		for _, e := range events {
			if _, err := w.Write(e); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	if send([]byte(": follows\n\n")) != nil {
		return
	}
	version := 0
	for {
		events, latest, changed, closed := s.since(b, version)
		version = latest
		if closed || len(events) > 0 && send(events...) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-quiet.C:
			if send([]byte(": quiet\n\n")) != nil {
				return
			}
		}
	}
}
