package oracle

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
)

// ledger records what was accepted and what came out, and compares them.
type ledger struct {
	mu     sync.Mutex
	issued map[string]issued   // by messageId
	bySent map[string][]string // the ids of the events in a body that was sent to SQS
	bodies map[string]bool     // bodies that can't be decoded; false: SQS may have it or not

	arrived     map[string][]arrival
	deadLetters []deadLetter
	archive     func() ([]archive.Record, error) // nil: there is none
	// archiveCounts: the archive has no record that it has not answered for.
	archiveCounts bool
	earlier       []deadLetter // that have been redriven since
	totals        totals
	wrong         []error // what was seen to be wrong before the check
}

// arrival is an event as Segment got it.
type arrival struct {
	raw, key, path string
	effect         effect
}

// deadLetter is a message of the dead-letter queue, or an event of it.
type deadLetter struct {
	id, reason, detail, firstSeen, body string
	effect                              effect
	whole                               bool // SQS moved the event's message, in which it is not yet as it must come out
}

// totals are the handler's own counts.
type totals struct {
	invocations, flushes    int
	delivered, deadLettered int
	retried                 map[string]int
	archived, deferred      int // records that the archive and the bulk queue took
	ingestNotArchived       int // events that the endpoint says are dead letters, but not archived
}

func newLedger() *ledger {
	return &ledger{issued: map[string]issued{}, bySent: map[string][]string{}, bodies: map[string]bool{},
		arrived: map[string][]arrival{},
		totals:  totals{retried: map[string]int{}}}
}

func (l *ledger) issue(id string, e issued) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.issued[id]; ok && !before.seen.from.IsZero() && before.seen.from.Before(e.seen.from) {
		e.seen.from = before.seen.from // sent twice
	}
	l.issued[id] = e
}

// sent says which events a body has that was sent to SQS.
func (l *ledger) sent(body string, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bySent[body] = append(l.bySent[body], ids...)
}

// complain records what is wrong before the check.
func (l *ledger) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Errorf(format, args...))
	}
}

func (l *ledger) issueBody(body string, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies[body] = accepted
}

// arrive records an event as the emulator of Segment merged it.
func (l *ledger) arrive(e segmentd.Received) {
	merged, err := effectOf(e.Merged(), common{})
	if err != nil {
		l.complain("event %s arrived: %w", e.MessageID, err)
	}
	l.add(e.MessageID, arrival{raw: string(e.Raw), key: e.WriteKey, path: e.Path, effect: merged})
}

func (l *ledger) add(id string, a arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived[id] = append(l.arrived[id], a)
}

// report adds the handler's own counts of an invocation, which must add up.
func (l *ledger) report(s deliver.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := s.Delivered
	l.totals.invocations++
	l.totals.flushes += len(s.Flushes)
	l.totals.delivered += s.Delivered
	l.totals.archived += s.Archived
	l.totals.deferred += s.ArchiveDeferred
	for _, n := range s.DeadLettered {
		l.totals.deadLettered += n
		sum += n
	}
	for class, n := range s.Retried {
		l.totals.retried[class] += n
		sum += n
	}
	if sum != s.Events {
		l.wrong = append(l.wrong,
			fmt.Errorf("an invocation's counts do not add up: %d events, but %d delivered, dead letters %v, retried %v",
				s.Events,
				s.Delivered, s.DeadLettered, s.Retried))
	}
}

// expectAllDelivered changes what is expected: Segment now accepts the events that it rejected, and
// no event is too old any more. It reports whether there are such events.
func (l *ledger) expectAllDelivered() (any bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.deadLetters {
		any = any || d.reason == message.ReasonMovedBySQS
	}
	for id, e := range l.issued {
		any = any || e.aged || e.reason == "rejected" || e.mayBeRejected
		if e.reason == "rejected" {
			e.reason = ""
		}
		e.aged, e.mayBeRejected, e.mayMove = false, false, false
		l.issued[id] = e
	}
	return any
}

// counted is the result of a check.
type counted struct {
	accepted, delivered, dead, duplicates int

	records     int // in the archive
	movedFrames int // archive-only messages that SQS has moved to the dead-letter queue
}

// check compares what was issued with what came out. With exact, the handler's own counts must
// agree.
func (l *ledger) check(exact bool) (counted, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &comparison{ledger: l, errs: slices.Clone(l.wrong)}
	dead, deadBodies, err := l.parse(l.deadLetters)
	if err != nil {
		c.bad("%w", err)
	}
	c.accepted = len(l.issued) + len(l.bodies)
	for _, id := range slices.Sorted(maps.Keys(l.issued)) {
		c.event(id, l.issued[id], l.arrived[id], dead[id])
	}
	c.unknownEvents(dead)
	c.undecodable(deadBodies)
	c.totals(exact)
	c.archive(dead, exact)
	return c.counted, errors.Join(c.errs...)
}

// comparison is a check under way.
type comparison struct {
	counted
	ledger *ledger
	// both counts the events that were delivered and are dead letters too: the answer of Segment
	// was lost, and the event expired before it was sent again.
	both     int
	byIngest int // dead letters that the function does not know of
	errs     []error
}

// bad records what is wrong, the first twenty times: one mistake may show in thousands of events.
func (c *comparison) bad(format string, args ...any) {
	if len(c.errs) < 20 {
		c.errs = append(c.errs, fmt.Errorf(format, args...))
	}
}

// event checks where an issued event has come out, and how.
func (c *comparison) event(id string, e issued, arrived []arrival, dead []deadLetter) {
	for _, a := range arrived {
		if a.raw != e.want || a.key != e.key || a.path != e.path {
			c.bad("event %s arrived at %s with write key %s as %.300s, want %s with %s: %.300s", id, a.path, a.key, a.raw,
				e.path, e.key, e.want)
		}
		if !a.effect.equal(e.effect) {
			c.bad("event %s arrived with %v, want %v", id, a.effect, e.effect)
		}
	}
	for _, d := range dead {
		c.deadLetter(id, &e, d)
	}
	switch {
	case len(arrived) == 0 && len(dead) == 0 && e.maybe:
		c.accepted--
		return
	case len(arrived) == 0 && len(dead) == 0:
		c.bad("event %s was accepted and is lost (aged %v, reason %q): %.200s", id, e.aged, e.reason, e.want)
	case e.reason != "" && len(arrived) > 0:
		c.bad("event %s was delivered, want a dead letter with the reason %s", id, e.reason)
	case e.reason == "" && len(dead) > 0 && len(arrived) > 0:
		c.both++
	}
	if len(arrived) > 0 {
		c.delivered++
		c.duplicates += len(arrived) - 1
	} else {
		c.dead++
		if e.byIngest {
			c.byIngest++
		}
	}
}

// deadLetter checks a dead letter of an issued event.
func (c *comparison) deadLetter(id string, e *issued, d deadLetter) {
	if d.reason == message.ReasonMovedBySQS && e.mayMove && d.whole {
		return
	}
	if d.body != e.want {
		c.bad("the dead letter of event %s holds %.300s, want %.300s", id, d.body, e.want)
	}
	if !d.effect.equal(e.effect) {
		c.bad("the dead letter of event %s has %v, want %v", id, d.effect, e.effect)
	}
	switch {
	case d.reason == e.reason, e.aged && d.reason == "expired", e.mayBeRejected && d.reason == "rejected",
		e.mayMove && d.reason == message.ReasonMovedBySQS:
	default:
		c.bad("event %s is a dead letter for the reason %q (%s), want %q", id, d.reason, d.detail, e.reason)
	}
	if d.reason != message.ReasonMovedBySQS && !e.seen.holds(d.firstSeen) {
		c.bad("the dead letter of event %s says that it came in at %s, want %v", id, d.firstSeen, e.seen)
	}
}

// unknownEvents checks that nothing came out that was not issued.
func (c *comparison) unknownEvents(dead map[string][]deadLetter) {
	for id, arrived := range c.ledger.arrived {
		if _, ok := c.ledger.issued[id]; !ok {
			c.bad("event %q was delivered but never issued: %.200s", id, arrived[0].raw)
		}
	}
	for id := range dead {
		if _, ok := c.ledger.issued[id]; !ok {
			c.bad("event %q is a dead letter but was never issued: %.200s", id, dead[id][0].body)
		}
	}
}

// undecodable checks that each body that can't be decoded is a dead letter, and no other is.
func (c *comparison) undecodable(dead map[string]int) {
	for body, accepted := range c.ledger.bodies {
		if dead[body] == 0 && !accepted {
			c.accepted--
			continue
		}
		if dead[body] == 0 {
			c.bad("the body %q was accepted and is lost", body)
		}
		c.dead++
	}
	for body := range dead {
		if _, ok := c.ledger.bodies[body]; !ok {
			c.bad("the body %q is a dead letter but was never issued", body)
		}
	}
}

// totals checks the handler's own counts. Without exact it may have counted events more than once.
func (c *comparison) totals(exact bool) {
	t, delivered, dead := c.ledger.totals, c.delivered-c.both, c.dead+c.both-c.byIngest
	if t.invocations == 0 || slices.ContainsFunc(c.ledger.deadLetters, func(d deadLetter) bool {
		return d.reason == message.ReasonMovedBySQS // the function does not know of these either
	}) {
		return
	}
	if exact && (t.delivered != delivered || t.deadLettered != dead) ||
		t.delivered+t.deadLettered < c.accepted-c.byIngest {
		c.bad("the handler counted %d delivered and %d dead letters, want %d and %d", t.delivered, t.deadLettered, delivered,
			dead)
	}
}

// parse reads the dead letters: the events by messageId, each with its own bytes as the body, and
// the bodies that hold no events. A dead letter that was written twice counts once, and its copies
// must be equal.
func (l *ledger) parse(all []deadLetter) (byEvent map[string][]deadLetter, bodies map[string]int, err error) {
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nil, err
	}
	defer unzip.Close()
	byEvent, bodies = map[string][]deadLetter{}, map[string]int{}
	byID := map[string]deadLetter{}
	for _, d := range all {
		if isFrame(d.body) { // see comparison.archive
			continue
		}
		if d.id == "" || d.reason == "" || d.detail == "" {
			return nil, nil, fmt.Errorf("a dead letter must have an id, a reason and a detail, is %+v", d)
		}
		if before, ok := byID[d.id]; ok {
			if before.reason != d.reason || !strings.HasPrefix(d.id, "ingest/") && before.body != d.body {
				return nil, nil, fmt.Errorf("the dead letter %s was written twice with different content: %.200s and %.200s", d.id,
					before.body, d.body)
			}
			if before.body == d.body {
				continue
			}
			// A request that came twice, with another time each.
		}
		byID[d.id] = d
		if _, isBody := l.bodies[d.body]; d.reason == "undecodable" || isBody {
			bodies[d.body]++
			continue
		}
		if ids, ok := l.bySent[d.body]; ok && d.reason == message.ReasonMovedBySQS {
			d.whole = true
			for _, id := range ids {
				byEvent[id] = append(byEvent[id], d)
			}
			continue
		}
		text := []byte(d.body)
		if strings.HasPrefix(d.body, "KLUv/") {
			packed, err := base64.StdEncoding.DecodeString(d.body)
			if err != nil {
				return nil, nil, fmt.Errorf("read dead letter %s: %w", d.id, err)
			}
			if text, err = unzip.DecodeAll(packed, nil); err != nil {
				return nil, nil, fmt.Errorf("read dead letter %s: %w", d.id, err)
			}
		}
		var batch struct {
			Batch                 []json.RawMessage
			Context, Integrations json.RawMessage
		}
		if err := json.Unmarshal(text, &batch); err != nil {
			return nil, nil, fmt.Errorf("read dead letter %s: %w: %s", d.id, err, text)
		}
		for _, raw := range batch.Batch {
			var e struct {
				MessageID string `json:"messageId"`
			}
			if err := json.Unmarshal(raw, &e); err != nil {
				return nil, nil, fmt.Errorf("read dead letter %s: %w: %s", d.id, err, raw)
			}
			one := d
			one.body = string(raw)
			if one.effect, err = effectOf(raw, common{string(batch.Context), string(batch.Integrations)}); err != nil {
				return nil, nil, fmt.Errorf("read dead letter %s: %w", d.id, err)
			}
			byEvent[e.MessageID] = append(byEvent[e.MessageID], one)
		}
	}
	return byEvent, bodies, nil
}
