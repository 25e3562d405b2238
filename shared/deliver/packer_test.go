package deliver

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// load is a message of n events of size bytes each, with a header.
type load struct {
	n, size int
	h       message.Header
}

// packAll packs the loads as an invocation does, checks the packer's bounds at each step, and
// returns the batches in the order in which they leave.
func packAll(t *testing.T, loads []load) (batches []*batch, messages []*delivery) {
	t.Helper()
	var p packer
	for _, l := range loads {
		m := &delivery{}
		bytes := make([]byte, l.n*l.size) // where an event is tells it from the others
		for e := range l.n {
			m.events = append(m.events, bytes[e*l.size:(e+1)*l.size])
		}
		messages = append(messages, m)
		for _, pt := range split(nil, m, p.roomFor(&l.h)) {
			batches = append(batches, p.add(pt)...)
			held := 0
			for _, b := range p.open {
				held += b.size
			}
			if len(p.open) > maxOpen || held > maxOpenBytes || held != p.bytes {
				t.Fatalf("%d batches with %d bytes are open (counted: %d), at most %d with %d may be", len(p.open), held, p.bytes,
					maxOpen, maxOpenBytes)
			}
		}
	}
	return append(batches, p.rest()...), messages
}

func repeat(n int, l load) []load { return slices.Repeat([]load{l}, n) }

func TestPackingTakesAsFewBatchesAsTheLimitsAllow(t *testing.T) {
	a, b := message.Header{WriteKey: "A"}, message.Header{WriteKey: "B"}
	const full = event.MaxBatchBytes
	for _, c := range []struct {
		name  string
		loads []load
		want  []int // events of the batches, sorted
	}{
		{"nothing", nil, []int{}},
		{"a single event", []load{{1, 1000, a}}, []int{1}},
		{"100 single events are one batch", repeat(100, load{1, 1000, a}), []int{100}},
		{"10 messages of 250 are one batch by count", repeat(10, load{250, 100, a}), []int{2500}},
		{"an eleventh is a second one", repeat(11, load{250, 100, a}), []int{250, 2500}},
		{"messages that have too many events together are apart", []load{{2000, 100, a}, {1000, 100, a}, {500, 100, a}},
			[]int{1000, 2500}},
		{"two messages fill a batch by count", []load{{1250, 100, a}, {1250, 100, a}}, []int{2500}},
		{"with one event more they do not share one", []load{{1250, 100, a}, {1251, 100, a}}, []int{1250, 1251}},
		{"nor in the other order", []load{{2500, 100, a}, {1, 100, a}}, []int{1, 2500}},
		{"two messages fill a batch to the byte", []load{{10, full/20 - 1, a}, {10, full/20 - 1, a}}, []int{20}},
		{"with one byte more they do not share one", []load{{10, full/20 - 1, a}, {10, full/20 - 1, a}, {1, 0, a}}, []int{1, 20}},
		{"nor where a large one comes second", []load{{2, 30_000, a}, {20, full/20 - 1, a}}, []int{2, 20}},
		{"2,501 events of one message are split", []load{{2501, 100, a}}, []int{1, 2500}},
		{"a message that is full to the byte is one batch", []load{{475, 999, a}}, []int{475}},
		{"one byte more an event and it is two", []load{{475, 1000, a}}, []int{1, 474}},
		{"halves go together", []load{{2, full/4 - 1, a}, {2, full/4 - 1, a}}, []int{4}},
		{"whole messages that do not fit together are not split", []load{{3, full / 5, a}, {3, full / 5, a}}, []int{3, 3}},
		{"the small one goes where the least room is left",
			[]load{{3, full / 5, a}, {4, full / 5, a}, {1, full/5 - 10, a}, {2, full/5 - 10, a}}, []int{5, 5}},
		{"the tail of a large message takes others along", []load{{600, 999, a}, {100, 999, a}}, []int{225, 475}},
		{"keys are apart", append(repeat(10, load{1, 100, a}), repeat(10, load{1, 100, b})...), []int{10, 10}},
	} {
		batches, _ := packAll(t, c.loads)
		got := []int{}
		for _, b := range batches {
			got = append(got, len(b.Events))
		}
		slices.Sort(got)
		want(t, c.name, got, c.want)
	}
}

func TestOnlyEventsWithTheSameHeaderShareABatch(t *testing.T) {
	base := message.Header{WriteKey: "A", Context: []byte(`{"ip":"1"}`), Integrations: []byte(`{"All":true}`)}
	others := map[string]func(*message.Header){
		"write key":               func(h *message.Header) { h.WriteKey = "a" },
		"origin":                  func(h *message.Header) { h.Origin = event.FromClient },
		"context":                 func(h *message.Header) { h.Context = []byte(`{"ip":"2"}`) },
		"white space of context":  func(h *message.Header) { h.Context = []byte(`{"ip": "1"}`) },
		"no context":              func(h *message.Header) { h.Context = nil },
		"integrations":            func(h *message.Header) { h.Integrations = []byte(`{"All":false}`) },
		"context as integrations": func(h *message.Header) { h.Context, h.Integrations = h.Integrations, h.Context },
	}
	for name, change := range others {
		h := base
		change(&h)
		batches, _ := packAll(t, []load{{1, 100, base}, {1, 100, h}, {1, 100, base}})
		want(t, name, len(batches), 2)
	}
	same := base
	same.Context, same.Integrations = bytes.Clone(base.Context), bytes.Clone(base.Integrations)
	batches, _ := packAll(t, []load{{1, 100, base}, {1, 100, same}})
	want(t, "equal bytes in other places", len(batches), 1)
}

func TestPackedBatchesHoldEachEventOnceWithinTheLimits(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		headers := make([]message.Header, 1+rng.IntN(100))
		for i := range headers {
			headers[i].WriteKey = "key-" + strconv.Itoa(i)
			if rng.IntN(20) == 0 {
				headers[i].Context = bytes.Repeat([]byte("c"), rng.IntN(event.MaxBodyBytes-event.MaxEventBytes-300))
			}
		}
		var loads []load
		for total := 0; total < 3<<20 && len(loads) < 300; {
			l := load{1 + rng.IntN(1+rng.IntN(1+rng.IntN(600))), 20 + rng.IntN(1+rng.IntN(2000)),
				headers[rng.IntN(len(headers))]}
			if rng.IntN(10) == 0 {
				l.n, l.size = 1+rng.IntN(30), event.MaxEventBytes-rng.IntN(10)
			}
			total += l.n * l.size
			loads = append(loads, l)
		}
		batches, messages := packAll(t, loads)
		times := map[*byte]int{}
		partsOf := map[*delivery]int{}
		for _, b := range batches {
			size, events := 0, [][]byte{}
			for _, e := range b.Events {
				times[&e[0]]++
				size += len(e) + 1
			}
			for _, pt := range b.parts {
				partsOf[pt.m]++
				events = append(events, pt.m.events[pt.from:pt.to]...)
			}
			overhead := event.Overhead(b.WriteKey, b.Context, b.Integrations)
			if size > event.MaxBatchBytes || overhead+size > event.MaxBodyBytes || len(b.Events) > event.MaxBatchEvents ||
				size != b.size {
				t.Fatalf("seed %d: a batch of %d events, %d bytes and %d around them", seed, len(b.Events), size, overhead)
			}
			if len(events) != len(b.Events) {
				t.Fatalf("seed %d: a batch's parts have %d events, it has %d", seed, len(events), len(b.Events))
			}
			for i := range events {
				if &events[i][0] != &b.Events[i][0] {
					t.Fatalf("seed %d: event %d of a batch is not the event of its part", seed, i)
				}
			}
		}
		for i, m := range messages {
			size := 0
			for _, e := range m.events {
				if times[&e[0]] != 1 {
					t.Fatalf("seed %d: an event of message %d is in %d batches", seed, i, times[&e[0]])
				}
				size += len(e) + 1
			}
			room := event.Room(event.Overhead(loads[i].h.WriteKey, loads[i].h.Context, nil))
			if size <= room && len(m.events) <= event.MaxBatchEvents && partsOf[m] != 1 {
				t.Fatalf("seed %d: message %d of %d bytes fits one batch and is in %d", seed, i, size, partsOf[m])
			}
		}
	}
}

func TestOpenBatchesOfManyGrowingKeysAreBoundedInBytes(t *testing.T) {
	var loads []load
	for round := range 40 {
		for key := range maxOpen {
			loads = append(loads, load{1 + round%3, 10_000, message.Header{WriteKey: strconv.Itoa(key)}})
		}
	}
	packAll(t, loads) // checks the bounds at each step
}

func TestOpenBatchesOfManyKeysAreBoundedInNumber(t *testing.T) {
	var loads []load
	for key := range 5 * maxOpen {
		loads = append(loads, load{1, 100, message.Header{WriteKey: strconv.Itoa(key)}})
	}
	batches, _ := packAll(t, loads) // checks the bounds at each step
	want(t, "batches", len(batches), 5*maxOpen)
}

func TestEventsAreGroupedByWhatSegmentMergesIntoThem(t *testing.T) {
	r := newRig(t, nil)
	with := func(fields string, id string) string {
		return `{"writeKey":"` + keyA + `",` + fields + `"batch":[` + track(id, 300) + `]}`
	}
	retained := r.invoke(t.Context(),
		in{id: "1", body: with(`"context":{"a":1},`, "1")},
		in{id: "2", body: with(`"context":{"a":1},"integrations":{"All":false},`, "2")},
		in{id: "3", body: with(`"context":{"a":1},`, "3")},
		in{id: "4", body: with(`"context":{"a":1},"origin":"client",`, "4"), origin: "server"},
		in{id: "5", body: with(`"context":{"a":1},`, "5"), origin: "client"},
		in{id: "6", body: zipped(t, with(`"context":{"a":1},`, "6"))},
	)
	want(t, "retained", retained, []string{})
	want(t, "delivered", r.last.Delivered, 6)
	groups := []string{}
	for _, s := range r.segment.attempts {
		var ids []string
		for id := range 7 {
			if slices.Contains(s.events, track(strconv.Itoa(id), 300)) {
				ids = append(ids, strconv.Itoa(id))
			}
		}
		groups = append(groups, fmt.Sprintf("%s: %s %s %s", strings.Join(ids, " "), s.Origin, s.Context, s.Integrations))
	}
	slices.Sort(groups)
	want(t, "groups", groups,
		[]string{`1 3 6: server {"a":1} `, `2: server {"a":1} {"All":false}`, `4 5: client {"a":1} `})
}

// meter is a Segment that counts how many flushes are under way.
type meter struct {
	mu        sync.Mutex
	now, most int
}

func (m *meter) Flush(context.Context, *event.Batch) error {
	m.mu.Lock()
	m.now++
	m.most = max(m.most, m.now)
	m.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	m.mu.Lock()
	m.now--
	m.mu.Unlock()
	return nil
}

func TestNoMoreBatchesThanAllowedAreUnderWay(t *testing.T) {
	for name, c := range map[string]struct{ batches, events, most int }{
		"full ones": {8, 440, 3}, "half full ones": {15, 215, 6}, "small ones": {30, 1, 8 * 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				segment := new(meter)
				r.Handler = r.handler(Config{Segment: segment, ConcurrencyLimit: 3})
				var messages []in
				events := tracks("e", c.events, 1060)
				for i := range c.batches {
					messages = append(messages, in{id: strconv.Itoa(i), body: body("key-"+strconv.Itoa(i), events...)})
				}
				want(t, "retained", r.invoke(t.Context(), messages...), []string{})
				want(t, "most at a time", segment.most, c.most)
			})
		})
	}
}
