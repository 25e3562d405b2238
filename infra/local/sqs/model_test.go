package sqs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// modelled is what a message must be like.
type modelled struct {
	visibleAt time.Time
	handles   []string // the last is the newest
	received  time.Time
}

// model is a simple queue that TestAQueueBehavesLikeItsModel compares with the real one.
type model struct {
	t        *testing.T
	random   *rand.Rand
	open     func() *Server
	s        *Server
	q        *Queue
	messages map[string]*modelled // by body
	sent     int
}

func (m *model) visible() int {
	n := 0
	for _, x := range m.messages {
		if !x.visibleAt.After(time.Now()) {
			n++
		}
	}
	return n
}

func (m *model) send() {
	m.sent++
	body := strconv.Itoa(m.sent)
	in := messageInput{MessageBody: body}
	if g := strconv.Itoa(m.random.IntN(5)); g != "0" {
		in.MessageGroupId = &g
	}
	e, _, err := newEntry(m.q, in)
	if err != nil {
		m.t.Fatal(err)
	}
	if m.random.IntN(4) == 0 {
		e.delay = 3 * time.Second
	}
	if err := m.q.send([]*entry{e}); err != nil {
		m.t.Fatal(err)
	}
	m.messages[body] = &modelled{visibleAt: time.Now().Add(e.delay)}
}

func (m *model) receive() {
	limit, visibility := 1+m.random.IntN(4), time.Duration(m.random.IntN(4))*time.Second
	want := min(limit, m.visible())
	got, err := m.q.receive(m.t.Context(), limit, 0, visibility)
	if err != nil || len(got) != want {
		m.t.Fatalf("received %d messages, %v; want %d", len(got), err, want)
	}
	undone := m.random.IntN(5) == 0
	for i := range got {
		x := m.messages[got[i].stored.body]
		if x == nil || x.visibleAt.After(time.Now()) {
			m.t.Fatalf("received %s, which is %+v", got[i].stored.body, x)
		}
		if undone {
			continue
		}
		x.visibleAt, x.received = time.Now().Add(visibility), time.Now()
		x.handles = append(x.handles, got[i].flight.handle(m.q.id).String())
		if n := got[i].flight.count; n != uint64(len(x.handles)) {
			m.t.Fatalf("%s: receive count %d, want %d", got[i].stored.body, n, len(x.handles))
		}
	}
	if undone { // the client was gone before it had the answer
		fs := make([]*flight, len(got))
		for i := range got {
			fs[i] = got[i].flight
		}
		m.q.release(fs)
	}
}

// any returns a message that was received, if there is one.
func (m *model) any() (string, *modelled) {
	for _, body := range slices.Sorted(maps.Keys(m.messages)) {
		if x := m.messages[body]; len(x.handles) > 0 && m.random.IntN(3) == 0 {
			return body, x
		}
	}
	return "", nil
}

func (m *model) remove() {
	body, x := m.any()
	if x == nil {
		return
	}
	i := m.random.IntN(len(x.handles))
	if err := m.q.Delete(m.t.Context(), x.handles[i:i+1]); err != nil {
		m.t.Fatal(err)
	}
	if i == len(x.handles)-1 { // an older handle deletes nothing
		delete(m.messages, body)
	}
}

func (m *model) changeVisibility() {
	_, x := m.any()
	if x == nil {
		return
	}
	seconds := m.random.IntN(4)
	if err := changeVisibilityOf(m.q, x.handles[m.random.IntN(len(x.handles))], seconds); err != nil {
		m.t.Fatal(err)
	}
	if !(seconds == 0 && !x.visibleAt.After(time.Now())) {
		x.visibleAt = time.Now().Add(time.Duration(seconds) * time.Second)
	}
}

// restart makes what is in flight visible.
func (m *model) restart() {
	if err := m.s.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.s = m.open()
	m.q, _ = m.s.Queue("events")
	for _, x := range m.messages {
		if len(x.handles) > 0 && x.visibleAt.After(time.Now()) {
			x.visibleAt = time.Now()
		}
	}
}

func (m *model) check() {
	st := m.q.Stats()
	if int(st.Visible) != m.visible() || int(st.Visible+st.InFlight+st.Delayed) != len(m.messages) {
		m.t.Fatalf("%+v, want %d visible of %d", st, m.visible(), len(m.messages))
	}
}

// Whatever is sent, received, deleted, given back or hidden again with any handle, and wherever the
// server restarts: the queue has the messages, states and receive counts of a simple model.
func TestAQueueBehavesLikeItsModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{Dir: "data", FS: new(store.Mem), Logger: quiet(), Fairness: Fairness(seed % 3)}
				m := &model{t: t, random: rand.New(rand.NewPCG(seed, 1)), messages: map[string]*modelled{},
					open: func() *Server { return open(t, o) }}
				m.s = m.open()
				m.q = queue(t, m.s, "events", nil)
				for range 300 {
					switch n := m.random.IntN(100); {
					case n < 25:
						m.send()
					case n < 50:
						m.receive()
					case n < 65:
						m.remove()
					case n < 80:
						m.changeVisibility()
					case n < 98:
						time.Sleep(time.Duration(m.random.IntN(20)) * delayStep * time.Millisecond)
					default:
						m.restart()
					}
					m.check()
				}
			})
		})
	}
}
