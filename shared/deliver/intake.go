package deliver

import (
	"bytes"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// intake is the first part of an invocation: it decodes messages, separates what Segment would not
// take, and packs the other events into batches. One goroutine uses it.
type intake struct {
	h          *Handler
	sending    *sending
	ledger     *ledger
	packer     packer
	parts      []part // a buffer
	defaultKey string // the write key of messages that carry none
	begun      bool
}

func newIntake(h *Handler, s *sending, l *ledger) *intake {
	return &intake{h: h, sending: s, ledger: l, defaultKey: h.config.CurrentWriteKey()}
}

// take takes one record. It waits while the concurrency limit is reached, which bounds memory. The
// record is valid during the call.
func (in *intake) take(rec *record) {
	now := time.Now()
	rec.bulk = in.h.bulkARN != nil && bytes.HasSuffix(rec.queue, in.h.bulkARN)
	if !in.begun {
		in.h.breaker.follow(rec.queue)
		in.begun = true
	}
	if f := in.h.breaker.refusal(now); f != nil && !in.mustRead(rec) {
		in.countUnread(rec, f)
		in.ledger.retainUnread(rec, f, now)
		return
	}
	m := in.decode(rec)
	m.taken = now
	if m.content.ArchiveFrame != nil && in.h.config.Archive != nil && in.ledger.carry(m) {
		return
	}
	in.ledger.receive(m)
	if in.isDropped(m) {
		in.ledger.drop(m)
		return
	}
	if m.canary && in.h.config.CanaryEndsHere {
		for i := range m.dispositions {
			m.dispositions[i] = Delivered
		}
		in.ledger.complete(m)
		return
	}
	if m.failure == nil && held(in.ledger.paused, &in.h.keyID, m.content.WriteKey) {
		m.failure = newFailure(reasonPausedByHand, nil)
		in.ledger.complete(m)
		return
	}
	in.pack(m)
}

// isDropped reports whether a message is one of the canary's that is not to arrive: all of its
// events are, and each could be sent. A message that has another write key, or only the default
// one, never is.
func (in *intake) isDropped(m *delivery) bool {
	drop := in.h.config.DropCanary
	if drop == nil || !m.canary || m.ownKey != in.h.config.CanaryWriteKey || m.failure != nil || len(m.events) == 0 ||
		len(m.events) != len(m.content.Events) {
		return false
	}
	for _, raw := range m.events {
		if !drop(raw) {
			return false
		}
	}
	return true
}

// mustRead reports whether a message is decoded each time although the breaker is open. Decoding is
// most of the work, so only four kinds are: a message that expires, whose dead letter holds its
// events; one that may be a canary or is archive-only, which does not go to Segment; and all of
// them while a client follows every event. Any other is decoded once, to count its senders: see
// countUnread.
func (in *intake) mustRead(rec *record) bool {
	return in.ledger.watch.all() || tooOld(rec.sent, in.ledger.began) || in.mayBeCanary(rec) ||
		bytes.HasPrefix(rec.body, archiveOnlyStart)
}

// archiveOnlyStart is how the body of an archive-only message begins. One that was packed when it
// became a dead letter has to wait for the breaker to close.
var archiveOnlyStart = []byte(`{"archiveFrame":`)

// maxCanary is the largest body in bytes that is searched for the canary's write key.
const maxCanary = 8 << 10

// mayBeCanary reports whether an undecoded record is small and mentions the canary's write key. A
// false positive only costs the decoding.
func (in *intake) mayBeCanary(rec *record) bool {
	c := &in.h.config
	return c.CanaryEndsHere && c.CanaryWriteKey != "" && len(rec.body) <= maxCanary &&
		bytes.Contains(rec.body, []byte(c.CanaryWriteKey))
}

func (in *intake) decode(rec *record) *delivery {
	m, _ := in.h.deliveries.Get().(*delivery)
	if m == nil {
		m = new(delivery)
	}
	d, ok := in.h.decoders.Get().(*message.Decoder)
	if !ok {
		var err error
		if d, err = message.NewDecoder(); err != nil { // can't happen with constant options
			m.reset(rec)
			m.failure = newFailure(reasonNoDecoder, err)
			return m
		}
	}
	if m.read(rec, d, in.defaultKey, &in.packer) {
		in.ledger.panicked()
	}
	in.h.decoders.Put(d)
	m.canary = in.h.config.CanaryWriteKey != "" && m.content.WriteKey == in.h.config.CanaryWriteKey
	return m
}

// pack distributes a message's events over batches, and sends the batches that are full.
func (in *intake) pack(m *delivery) {
	if len(m.events) == 0 {
		in.ledger.complete(m)
		return
	}
	in.parts = split(in.parts[:0], m, in.packer.roomFor(&m.content.Header))
	m.parts = len(in.parts)
	for _, pt := range in.parts {
		for _, b := range in.packer.add(pt) {
			in.sending.start(b)
		}
	}
}

// sendRest sends the batches that are not full.
func (in *intake) sendRest() {
	for _, b := range in.packer.rest() {
		in.sending.start(b)
	}
}
