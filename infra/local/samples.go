package local

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
)

const (
	// samplesKept is how many samples there are of each outcome and reason: as many as a page
	// shows.
	samplesKept = 100
	// samplesPerSecond is how many a second are taken of each, beyond the first samplesKept: so a
	// developer who tries something finds all of his events, and a load of 30,000 events/s costs
	// nothing that can be measured.
	samplesPerSecond = 20
	// maxKinds bounds the outcomes and reasons. There are about sixty.
	maxKinds = 200
	// maxSampleText is how many bytes of each text of an event are kept, and maxSampleDetail of
	// what Segment answered: a sample has at most 5 KB, and usually 500 bytes.
	maxSampleText, maxSampleDetail = 256, 2048
	// outcomeRefused is the outcome of a request that ingest refused.
	outcomeRefused = "refused"
)

// samples are the last events of each outcome and reason, and the last requests that ingest refused
// by their codes, without payloads. The zero value has none. It is safe for concurrent use.
type samples struct {
	mu        sync.Mutex
	delivered sampleRing // those of almost every message, without a search
	kinds     map[kind]*sampleRing
}

type kind struct{ outcome, reason string }

var kindDelivered = kind{deliver.Delivered.String(), ""}

// A sampleRing has the last samples of a kind.
type sampleRing struct {
	last   []Outcome // in a circle once it has samplesKept
	next   int       // the oldest then
	tokens float64   // how many more may be taken
	at     time.Time // when tokens was right
}

// wants is a deliver.Watch's: how many of n events are samples. It takes them from what may be
// taken.
func (s *samples) wants(d deliver.Disposition, reason string, n int) int {
	return s.take(kind{d.String(), reason}, n)
}

func (s *samples) take(k kind, n int) int {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ring(k)
	if r == nil {
		return 0
	}
	// Before the first one at is zero, so that there are as many tokens as there can be.
	r.tokens = min(samplesKept, r.tokens+now.Sub(r.at).Seconds()*samplesPerSecond)
	r.at = now
	n = min(n, int(r.tokens))
	r.tokens -= float64(n)
	return n
}

// ring is that of a kind; nil: there are too many.
func (s *samples) ring(k kind) *sampleRing {
	if k == kindDelivered {
		return &s.delivered
	}
	r := s.kinds[k]
	if r == nil && len(s.kinds) < maxKinds {
		if s.kinds == nil {
			s.kinds = map[kind]*sampleRing{}
		}
		r = new(sampleRing)
		s.kinds[k] = r
	}
	return r
}

// tell is a deliver.Watch's.
func (s *samples) tell(o deliver.Observation) { s.add(newOutcome(&o)) }

// add adds a sample that take has allowed.
func (s *samples) add(o Outcome) {
	o.Payload = nil
	for _, text := range []*string{&o.Type, &o.Event, &o.User, &o.MessageID} {
		*text = cut(*text, maxSampleText)
	}
	o.Detail = cut(o.Detail, maxSampleDetail)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ring(kind{o.Outcome, o.Reason})
	switch {
	case r == nil: // can't be: take has made it
	case len(r.last) < samplesKept:
		r.last = append(r.last, o)
	default:
		r.last[r.next] = o
		r.next = (r.next + 1) % samplesKept
	}
}

// refused adds a request that ingest refused.
func (s *samples) refused(r *ingest.Summary) {
	if r.Code == "" || s.take(kind{outcomeRefused, r.Code}, 1) == 0 {
		return
	}
	key := r.Key.Name
	if key == "" {
		key = r.Key.ID
	}
	s.add(Outcome{At: time.Now(), Outcome: outcomeRefused, Reason: r.Code, Detail: r.Message, WriteKey: key})
}

// find returns at most limit samples that a filter takes, newest first.
func (s *samples) find(limit int, takes func(*Outcome) bool) []Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Outcome
	from := func(r *sampleRing) {
		for i := range r.last {
			if takes(&r.last[i]) {
				found = append(found, r.last[i])
			}
		}
	}
	from(&s.delivered)
	for _, r := range s.kinds {
		from(r)
	}
	slices.SortStableFunc(found, func(a, b Outcome) int { return b.At.Compare(a.At) })
	return slices.Clip(found[:min(max(limit, 0), len(found))])
}

// observe is a deliver.Config.Observer: the samples always want some events, and the clients that
// follow all.
func (p *Pipeline) observe() deliver.Watch {
	if !p.watchers.any() {
		return deliver.Watch{Tell: p.samples.tell, Wants: p.samples.wants}
	}
	return deliver.Watch{Tell: func(o deliver.Observation) {
		line := newOutcome(&o)
		p.watchers.tell(line, o.Event)
		if p.samples.wants(o.Disposition, o.Reason, 1) > 0 {
			p.samples.add(line)
		}
	}}
}

// cut shortens a text to at most n bytes, a mark of that included. It copies it: a part would keep
// the whole alive.
func cut(text string, n int) string {
	const mark = "…"
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n-len(mark)], "") + mark
}

// newOutcome describes an observation, without the event's payload.
func newOutcome(o *deliver.Observation) Outcome {
	line := Outcome{
		At: time.Now(), Outcome: o.Disposition.String(), Reason: o.Reason, Detail: o.Detail, MessageID: o.MessageID,
		WriteKey: event.KeyID(o.WriteKey), Age: o.Age, Receives: o.Receives,
	}
	line.describe(o.Event)
	return line
}
