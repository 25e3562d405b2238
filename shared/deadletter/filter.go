package deadletter

import (
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// A Filter selects dead letters. The zero value selects all of them. WriteKey, Events and Users are
// about what the body says: they do not select a dead letter whose body can't be read.
type Filter struct {
	Reasons   []string      // empty: all
	OlderThan time.Duration // by the time since their events came in; 0: no bound
	NewerThan time.Duration // 0: no bound
	// IDs select single dead letters, by their own ID or SQS's; empty: all.
	IDs []string
	// SentUntil leaves out dead letters that were sent later; zero: no bound.
	SentUntil time.Time
	// WriteKey selects dead letters by their write key; nil: all.
	WriteKey func(writeKey string) bool
	// Events selects dead letters in which an event has one of these names: that of a track, and
	// the type of every other event; empty: all. Users are userIds and anonymousIds.
	Events, Users []string
}

// Match reports whether the filter selects a dead letter. Its ages are those at now.
func (f *Filter) Match(l *Received, now time.Time, r *Reader) bool {
	if !f.matchAttributes(l, now) {
		return false
	}
	if f.WriteKey == nil && len(f.Events)+len(f.Users) == 0 {
		return true
	}
	m, err := r.Read(l)
	return err == nil && (f.WriteKey == nil || f.WriteKey(m.WriteKey)) && f.matchEvents(m)
}

// matchAttributes reports whether the filter may select a dead letter, as far as that is known
// without its body.
func (f *Filter) matchAttributes(l *Received, now time.Time) bool {
	age := l.age(now)
	return (len(f.Reasons) == 0 || slices.Contains(f.Reasons, l.Reason)) &&
		(f.OlderThan == 0 || age > f.OlderThan) && (f.NewerThan == 0 || age < f.NewerThan) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID) || slices.Contains(f.IDs, l.MessageID)) &&
		(f.SentUntil.IsZero() || !l.Sent.After(f.SentUntil))
}

// matchEvents reports whether one event has a name and one, perhaps another, a user of the filter.
func (f *Filter) matchEvents(m *message.Content) bool {
	named, used := len(f.Events) == 0, len(f.Users) == 0
	for i := range m.Events {
		e := &m.Events[i]
		named = named || slices.Contains(f.Events, string(e.Name()))
		used = used || slices.Contains(f.Users, string(e.User())) || slices.Contains(f.Users, string(e.Anonymous()))
	}
	return named && used
}
