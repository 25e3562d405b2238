package contents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

const (
	// maxFound bounds the traces of a user in one place, where a story shows fewer events.
	maxFound = 100
	// searchFor bounds how long each queue is searched.
	searchFor = time.Second
)

// A wanted is what is looked for: a messageId or a user, and at most how many traces in one place.
type wanted struct {
	query string
	most  int
}

// fromSamples returns those samples that are of an event with a messageId, or of a user's events.
func fromSamples(w wanted, samples []console.Sample) ([]console.Sighting, console.Place) {
	var found []console.Sighting
	for _, s := range samples {
		if (s.MessageID == w.query || s.User == w.query) && len(found) < w.most {
			found = append(found, console.Sighting{Sample: s, Where: console.InSamples})
		}
	}
	if len(samples) == 0 {
		return nil, console.Place{Name: latestPlace, Says: "no outcome is kept yet"}
	}
	return found, console.Place{Name: latestPlace, Says: fmt.Sprintf("the last %s whose outcome is kept",
		terminal.Plural(len(samples), "event"))}
}

const (
	latestPlace = "Latest outcomes"
	// WaitingPlace is the name of both queues where neither can be searched.
	WaitingPlace = "Events and bulk queue"
	// NotReceived says why they can't be.
	NotReceived = "a queue on AWS can't be searched without receiving its messages, which delivery needs"
)

// Find returns what is known of the event with a messageId, or of a user's newest events, of which
// most are shown at most. samples are the latest outcomes. Each queue is searched for a second at
// most.
func (l *Local) Find(ctx context.Context, query string, most int, samples []console.Sample) (console.Story, error) {
	w := wanted{query, max(maxFound, most)}
	found, place := fromSamples(w, samples)
	looked := []console.Place{place}
	for _, look := range []func(context.Context, wanted) ([]console.Sighting, console.Place){
		l.findFresh, l.findBulk, l.findDead, l.findDelivered, l.findArchived,
	} {
		some, place := look(ctx, w)
		found, looked = append(found, some...), append(looked, place)
	}
	return console.NewStory(query, found, looked, most), nil
}

func (l *Local) findFresh(ctx context.Context, w wanted) ([]console.Sighting, console.Place) {
	found, place := l.findWaiting(ctx, w, l.Events, console.InQueue)
	place.Name = "Events queue"
	return found, place
}

func (l *Local) findBulk(ctx context.Context, w wanted) ([]console.Sighting, console.Place) {
	found, place := l.findWaiting(ctx, w, l.Bulk, console.InBulkQueue)
	place.Name = "Bulk queue"
	return found, place
}

// findWaiting searches a queue without receiving, the newest messages first.
func (l *Local) findWaiting(ctx context.Context, w wanted, q *sqs.Queue, where string) (found []console.Sighting,
	place console.Place) {
	d, err := message.NewDecoder()
	if err != nil {
		place.Failed = err.Error()
		return nil, place
	}
	defer d.Close()
	f := q.Follow()
	defer f.Close()
	until := time.Now().Add(searchFor)
	searched, unread := 0, 0
	for {
		c := f.Next(step)
		for _, m := range q.Look(c.Added) {
			if m.Gone {
				continue
			}
			searched++
			events, ok := l.waiting(&m, d, w.query, where)
			if !ok {
				unread++
			}
			found = append(found, events...)
		}
		if c.Left == 0 || len(found) >= w.most || time.Now().After(until) || ctx.Err() != nil {
			st := q.Stats()
			place.Says = saysOf(searched, max(searched, int(st.Visible+st.InFlight+st.Delayed)), unread, "waiting message")
			return found[:min(len(found), w.most)], place
		}
	}
}

// saysOf says how much was searched.
func saysOf(searched, of, unread int, what string) string {
	says := "all of " + terminal.Plural(of, what)
	if of == 0 {
		says = "it is empty"
	}
	if searched < of {
		says = fmt.Sprintf("%s of %s: it was not searched to the end, so the event may be there all the same",
			terminal.Number(searched), terminal.Plural(of, what))
	}
	if unread > 0 {
		says += fmt.Sprintf("; %s of them can't be read", terminal.Number(unread))
	}
	return says
}

// waiting returns the events of a message that are wanted. It returns false if it can't be read.
func (l *Local) waiting(m *sqs.Seen, d *message.Decoder, query, where string) ([]console.Sighting, bool) {
	received := asReceived(m)
	if received == nil {
		return nil, false
	}
	var c message.Content
	if d.Decode(received.Body, &c) != nil {
		return nil, false
	}
	waits := "it waits for its turn"
	if m.InFlight {
		waits = "it is being delivered, or waits for its retry"
	}
	var found []console.Sighting
	for i := range c.Events {
		if e := &c.Events[i]; isWanted(received, e, i, query) {
			s := describe(received, e, i)
			s.Where, s.Waits, s.At, s.Receives = where, waits, received.Sent,
				atoi(m.Attributes["ApproximateReceiveCount"])
			s.WriteKey = l.KeyName(c.WriteKey)
			found = append(found, s)
		}
	}
	return found, true
}

func atoi(text string) (n int) {
	_, _ = fmt.Sscan(text, &n) // it is the emulator's own
	return n
}

func isWanted(l *deadletter.Received, e *event.Event, i int, query string) bool {
	return string(l.EventID(e, i)) == query || string(e.User()) == query || string(e.Anonymous()) == query
}

// describe returns what an event says of itself.
func describe(l *deadletter.Received, e *event.Event, i int) console.Sighting {
	s := console.Sighting{Sample: sampleOf(e.Raw)}
	s.MessageID = string(l.EventID(e, i))
	return s
}

// sampleOf reads the fields of an event that a story shows.
func sampleOf(raw []byte) console.Sample {
	e := event.Summarize(raw)
	return console.Sample{Type: e.Type, Event: e.Name, MessageID: e.MessageID, User: e.User(), Age: console.Unknown}
}

// DeadSighting returns the sighting of an event in a dead letter, without its write key.
func DeadSighting(l *deadletter.Received, e *event.Event, i int) console.Sighting {
	return deadSighting(describe(l, e, i), entryOf(l))
}

// findDead searches the dead letters, as far as they are read when the page has to be answered.
func (l *Local) findDead(ctx context.Context, w wanted) (found []console.Sighting, place console.Place) {
	l.current(ctx, searchFor/2)
	r, err := deadletter.NewReader()
	if err != nil {
		return nil, console.Place{Name: deadPlace, Failed: err.Error()}
	}
	defer r.Close()
	for _, records := range wantedBy(l.index, w.query) {
		for _, m := range l.look(records) {
			received := asReceived(&m)
			if received == nil {
				continue
			}
			if c, err := r.Read(received); err == nil {
				key := l.KeyName(c.WriteKey)
				for i := range c.Events {
					if e := &c.Events[i]; isWanted(received, e, i, w.query) {
						s := DeadSighting(received, e, i)
						s.WriteKey = key
						found = append(found, s)
					}
				}
			}
		}
	}
	state := l.Reading()
	return found[:min(len(found), w.most)],
		console.Place{Name: deadPlace, Says: saysOf(state.Read, state.Of, 0, "dead letter") + notSearched(l.index)}
}

// notSearched says how many dead letters are not searched.
func notSearched(x *index) string {
	if n := x.notSearched(); n > 0 {
		return fmt.Sprintf("; but %s of them have too many events to be searched for one", terminal.Number(n))
	}
	return ""
}

const deadPlace = "Dead-letter queue"

func entryOf(l *deadletter.Received) deadletter.Entry {
	return deadletter.Entry{ID: l.ID, Reason: l.Reason, Detail: l.Detail, Receives: l.Receives, FirstSeen: l.FirstSeen,
		LastSeen: l.LastSeen}
}

// deadSighting completes what an event in a dead letter says of itself.
func deadSighting(s console.Sighting, e deadletter.Entry) console.Sighting {
	s.Where, s.DeadLetterID = console.InDeadQueue, e.ID
	s.Outcome, s.Reason, s.Answer, s.Receives = console.OutcomeDeadLettered, e.Reason, e.Detail, e.Receives
	if s.At = e.LastSeen; s.At.IsZero() {
		s.At = e.FirstSeen
	}
	s.Age = max(0, s.At.Sub(e.FirstSeen))
	return s
}

// wantedBy returns the records with a messageId, and those with a user.
func wantedBy(x *index, query string) [][]*record {
	byID := x.byMark(markMessage, query, step)
	byUser := x.byMark(markUser, query, step)
	return [][]*record{byID, byUser}
}

// findDelivered searches the events that the Segment emulator remembers.
func (l *Local) findDelivered(_ context.Context, w wanted) (found []console.Sighting, place console.Place) {
	place.Name = "Segment"
	if l.Segment == nil {
		place.Says = "it is not the emulator, and Segment can't be asked what it has received: its debugger shows the " +
			"latest events"
		return nil, place
	}
	events := l.Segment.Events(segmentd.Query{})
	for _, e := range events {
		s := sampleOf(e.Raw)
		if e.MessageID != w.query && s.User != w.query {
			continue
		}
		s.At, s.Outcome, s.MessageID, s.WriteKey = e.At, console.OutcomeDelivered, e.MessageID, l.KeyName(e.WriteKey)
		found = append(found, console.Sighting{Sample: s, Where: console.AtSegment})
	}
	place.Says = "the Segment emulator has received nothing since it was started"
	if len(events) > 0 {
		place.Says = fmt.Sprintf("the last %s that the Segment emulator has received", terminal.Plural(len(events), "event"))
	}
	return found[max(0, len(found)-w.most):], place
}

// Find returns what the dead letters, as they were last read, have of the events with a messageId or
// of a user, most of them at most. elsewhere are other places, and why nothing could be found there.
func (d *Deployed) Find(query string, most int, elsewhere ...console.Place) console.Story {
	found, inDead := d.findDead(query)
	places := []console.Place{{Name: WaitingPlace, Says: NotReceived}, inDead}
	return console.NewStory(query, found, append(places, elsewhere...), most)
}

func (d *Deployed) findDead(query string) (found []console.Sighting, place console.Place) {
	place.Name = deadPlace
	x, err := d.last()
	if errors.Is(err, console.ErrNotRead) {
		place.Says = "nothing: they have not been read yet. Read them on the page of the dead letters, and look again"
		return nil, place
	}
	for i, records := range wantedBy(x, query) {
		for _, r := range records {
			s := console.Sighting{Sample: console.Sample{WriteKey: r.entry.WriteKey}}
			if s.MessageID = query; i == 1 {
				s.MessageID, s.User = "", query
			}
			found = append(found, deadSighting(s, *r.entry))
		}
	}
	place.Says = fmt.Sprintf("%s, read at %s", terminal.Plural(x.size(), "dead letter"),
		d.Reading().At.UTC().Format("15:04:05 UTC")) + notSearched(x)
	return found, place
}
