package publisher

import (
	"bytes"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// defaultKey is as what events count that get the pipeline's default write key.
const defaultKey = "(default)"

// senders counts events by their names: accepted ones in the background, when they are packed, so
// that Enqueue takes no longer, and those that are not accepted at once. It is safe for concurrent
// use.
type senders struct {
	counter *heavy.Counter // nil: nobody would read it
	key     heavy.Key
}

func newSenders(config *Config) *senders {
	if config.Metrics == nil {
		return &senders{}
	}
	s := &senders{counter: heavy.NewCounter(config.Pipeline, heavy.PartPublisher), key: heavy.Key{ID: defaultKey}}
	if config.WriteKey != "" {
		s.key.ID = event.KeyID(config.WriteKey)
	}
	return s
}

// count counts events; code is why they are not accepted, empty if they are.
func (s *senders) count(items []item, code string) {
	if s.counter == nil || len(items) == 0 {
		return
	}
	s.counter.Count(s.key, len(items), func(i int) heavy.Event {
		it := &items[i]
		return heavy.Event{Name: nameOf(it.json, it.raw, it.name), Size: len(it.json), Code: code}
	})
}

// countOne counts one event that was encoded.
func (s *senders) countOne(json []byte, p prepared, code string) {
	if s.counter != nil {
		s.count([]item{{json: json, raw: p.raw, name: p.name}}, code)
	}
}

// countRejected counts a message that could not be encoded.
func (s *senders) countRejected(m analytics.Message, code string) {
	if s.counter == nil {
		return
	}
	var name string
	switch m := m.(type) {
	case analytics.Track:
		name = m.Event
	case *analytics.Track:
		if m != nil {
			name = m.Event
		}
	}
	s.counter.Count(s.key, 1, func(int) heavy.Event { return heavy.Event{Name: []byte(name), Code: code} })
}

// head begins every event that the encoder writes; its type follows.
const head = `{"type":"`

// nameOf returns the name of a track, and the type of any other event.
func nameOf(json []byte, raw bool, name place) []byte {
	switch {
	case raw:
		var s rawjson.Scanner
		var e event.Event
		s.Reset(json)
		if event.Scan(&s, json, &e) != nil {
			return nil
		}
		return e.Name()
	case name.to > 0:
		text := json[name.from:name.to]
		if bytes.IndexByte(text, '\\') >= 0 {
			return rawjson.AppendUnescaped(nil, text)
		}
		return text
	}
	kind, _, _ := bytes.Cut(json[min(len(head), len(json)):], []byte{'"'})
	return kind
}
