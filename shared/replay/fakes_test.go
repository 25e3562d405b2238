package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/message"
)

// noon is when the events of these tests ended.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// memory is an archive.Store in memory.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	packer  *archive.Packer // of put
	files   map[string][]byte
	// broken is asked by Open for an error after so many bytes; nil: none.
	broken func(name string) (after int64, err error)
	// writing is asked before a file is written; nil: nothing.
	writing func(name string) error
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}, files: map[string][]byte{}} }

// put packs records into an object.
func (m *memory) put(t testing.TB, name string, records ...archive.Record) {
	t.Helper()
	if m.packer == nil {
		var err error
		if m.packer, err = archive.NewPacker(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range records {
		m.packer.Add(&records[i], i)
	}
	var object []byte
	for _, f := range m.packer.Frames() {
		object = append(object, f.Data...)
	}
	m.objects[objectName(name)] = append(m.objects[objectName(name)], object...)
}

// objectName is an object of the hour of noon, unless the name has its own.
func objectName(name string) string {
	if strings.Contains(name, "/") {
		return archive.Prefix + name + archive.Extension
	}
	return archive.Prefix + noon.Format(archive.HourFormat) + "/" + name + archive.Extension
}

func (m *memory) object(name string) archive.Object {
	hour, _ := archive.ParseName(name)
	data := m.objects[name]
	return archive.Object{Name: name, Hour: hour, Size: int64(len(data)), Version: fmt.Sprint(len(data))}
}

func (m *memory) Objects(_ context.Context, from, to time.Time) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(m.objects)) {
			if o := m.object(name); !o.Hour.Before(from.UTC().Truncate(time.Hour)) && !o.Hour.After(to) && !yield(o, nil) {
				return
			}
		}
	}
}

func (m *memory) Open(_ context.Context, o archive.Object, offset int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[o.Name]
	if !ok {
		return nil, archive.ErrNotFound
	}
	var r io.Reader = bytes.NewReader(data[min(int64(len(data)), offset):])
	if m.broken != nil {
		if after, err := m.broken(o.Name); err != nil {
			r = io.MultiReader(io.LimitReader(r, after), failing{err})
		}
	}
	return io.NopCloser(r), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (m *memory) Finish(_ context.Context, o archive.Object) (archive.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[o.Name]; !ok {
		return o, archive.ErrNotFound
	}
	return m.object(o.Name), nil
}

func (m *memory) Replace(context.Context, archive.Object, io.ReadSeeker) (archive.Object, error) {
	return archive.Object{}, errors.ErrUnsupported
}

func (m *memory) Delete(context.Context, archive.Object) error { return errors.ErrUnsupported }

func (m *memory) Files(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(m.files)) {
			if strings.HasPrefix(name, prefix) && !yield(name, nil) {
				return
			}
		}
	}
}

func (m *memory) ReadFile(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.files[name]; ok {
		return data, nil
	}
	return nil, archive.ErrNotFound
}

func (m *memory) WriteFile(_ context.Context, name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writing != nil {
		if err := m.writing(name); err != nil {
			return err
		}
	}
	m.files[name] = bytes.Clone(data)
	return nil
}

func (m *memory) DeleteFile(context.Context, string) error { return errors.ErrUnsupported }

// queue is the bulk queue: it has what was sent.
type queue struct {
	mu       sync.Mutex
	messages []message.Message
	calls    []int // events of each
	fail     func([]message.Message) error
}

func (q *queue) Send(_ context.Context, messages []message.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		if err := q.fail(messages); err != nil {
			return err
		}
	}
	q.messages = append(q.messages, messages...)
	n := 0
	for _, m := range messages {
		var events int
		_, _ = fmt.Sscan(m.Attributes[message.AttrEventCount].Text, &events)
		n += events
	}
	q.calls = append(q.calls, n)
	return nil
}

// sent is an event in the queue with what its message says.
type sent struct {
	header message.Header
	event  string
}

// events are all events in the queue.
func (q *queue) events(t testing.TB) (all []sent) {
	t.Helper()
	d, err := message.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, m := range q.messages {
		var c message.Content
		if err := d.Decode([]byte(m.Body), &c); err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Events {
			all = append(all, sent{message.Header{WriteKey: c.WriteKey, Origin: c.Origin, ReceivedAt: c.ReceivedAt,
				Context: bytes.Clone(c.Context), Integrations: bytes.Clone(c.Integrations)}, string(e.Raw)})
		}
	}
	return all
}

// track is an event of a user.
func track(name, user, id string) []byte {
	return fmt.Appendf(nil, `{"type":"track","event":%q,"userId":%q,"messageId":%q,"timestamp":"2026-11-24T11:59:59Z"}`,
		name, user, id)
}

// delivered is the record of a track that was delivered at noon and some minutes.
func delivered(minute int, id string) archive.Record {
	return archive.Record{Time: noon.Add(time.Duration(minute) * time.Minute), Outcome: archive.Delivered, WriteKey: "wk",
		Event: track("Run Started", "u1", id)}
}

// hour is the selection of everything from noon to one.
func hour() Options { return Options{Selection: Selection{From: noon, To: noon.Add(time.Hour)}} }

func begin(t testing.TB, m *memory, o Options) *Replay {
	t.Helper()
	r, err := New(t.Context(), m, m, "spillway", NewID(noon), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send counts and sends, and checks that both say the same.
func send(t testing.TB, m *memory, o Options) (*queue, Result) {
	t.Helper()
	r, q := begin(t, m, o), &queue{}
	counts, err := r.Count(t.Context(), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Send(t.Context(), SendOptions{To: q, Rate: 1e9})
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(len(q.events(t))); n != result.Sent || n != counts.Events || n != result.Events {
		t.Errorf("%d events are in the queue, %d were sent, %d match, %d were counted", n, result.Sent, result.Events, counts.Events)
	}
	return q, result
}
