package message

import (
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestHasKeyIsTrueOnlyForTheHeadersOwnKey(t *testing.T) {
	headers := []Header{
		{},
		{WriteKey: "a"},
		{WriteKey: "b"},
		{WriteKey: "a", Origin: event.FromClient},
		{WriteKey: "a", Context: []byte(`{"a":1}`)},
		{WriteKey: "a", Context: []byte(`{"a": 1}`)},
		{WriteKey: "a", Context: []byte(`{"a":2}`)}, // of the same length
		{WriteKey: "a", Integrations: []byte(`{"a":1}`)},
		{WriteKey: "a", Integrations: []byte(`{"a":2}`)},
		{WriteKey: "a", Context: []byte(`{"a":1}`), Integrations: []byte(`{"a":1}`)},
	}
	for i := range headers {
		for j := range headers {
			key := headers[j].Key()
			if got := headers[i].HasKey(&key); got != (i == j) || got != (headers[i].Key() == key) {
				t.Errorf("header %+v has the key of %+v: %v", headers[i], headers[j], got)
			}
		}
	}
	h := &headers[len(headers)-1]
	key := h.Key()
	if n := testing.AllocsPerRun(100, func() { h.HasKey(&key) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
