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
	"github.com/spillwayhq/spillway/shared/deliver"
)

// ledger holds what was accepted against what came out.
type ledger struct {
	mu     sync.Mutex
	issued map[string]issued // by messageId
	bodies map[string]bool   // that nobody can read; false: SQS may have it or not

	arrived     map[string][]segmentd.Received
	deadLetters []deadLetter
	totals      totals
	wrong       []error
}

// deadLetter is a message of the dead-letter queue.
type deadLetter struct{ id, reason, detail, body string }

// totals are the handler's own counts.
type totals struct {
	invocations, flushes    int
	delivered, deadLettered int
	retried                 map[string]int
}

func newLedger() *ledger {
	return &ledger{issued: map[string]issued{}, bodies: map[string]bool{}, arrived: map[string][]segmentd.Received{},
		totals: totals{retried: map[string]int{}}}
}

func (l *ledger) issue(id string, e issued) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issued[id] = e
}

func (l *ledger) issueBody(body string, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies[body] = accepted
}

func (l *ledger) arrive(e segmentd.Received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived[e.MessageID] = append(l.arrived[e.MessageID], e)
}

// report adds the handler's own counts of an invocation, which must add up.
func (l *ledger) report(s deliver.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := s.Delivered
	l.totals.invocations++
	l.totals.flushes += len(s.Flushes)
	l.totals.delivered += s.Delivered
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
			fmt.Errorf("an invocation's counts do not add up: %d events, but %d delivered, dead %v, retried %v", s.Events,
				s.Delivered, s.DeadLettered, s.Retried))
	}
}

// expectAllDelivered changes what is expected: Segment now accepts the events that it rejected, and
// no event is too old any more. It reports whether there are such events.
func (l *ledger) expectAllDelivered() (any bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.issued {
		any = any || e.aged || e.reason == "rejected"
		if e.reason == "rejected" {
			e.reason = ""
		}
		e.aged = false
		l.issued[id] = e
	}
	return any
}

// counted is the result of a check.
type counted struct{ accepted, delivered, dead, duplicates int }

// check compares what was issued with what came out. With exact, the handler's own counts must agree.
func (l *ledger) check(exact bool) (c counted, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := l.wrong
	bad := func(format string, args ...any) {
		if len(errs) < 20 {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	dead, deadBodies, err := l.parse()
	if err != nil {
		bad("%w", err)
	}
	c.accepted = len(l.issued) + len(l.bodies)
	expired := 0
	for _, id := range slices.Sorted(maps.Keys(l.issued)) {
		e, at, ended := l.issued[id], l.arrived[id], dead[id]
		for _, a := range at {
			if string(a.Raw) != e.want || a.WriteKey != e.key || a.Path != e.path {
				bad("event %s came to %s with key %s as %.300s, want %s with %s: %.300s", id, a.Path, a.WriteKey, a.Raw, e.path,
					e.key, e.want)
			}
		}
		for _, d := range ended {
			if d.body != e.want {
				bad("the dead letter of event %s holds %.300s, want %.300s", id, d.body, e.want)
			}
			if d.reason != e.reason && !(e.aged && d.reason == "expired") {
				bad("event %s is a dead letter for the reason %q (%s), want %q", id, d.reason, d.detail, e.reason)
			}
		}
		switch {
		case len(at) == 0 && len(ended) == 0 && e.maybe:
			c.accepted--
			continue
		case len(at) == 0 && len(ended) == 0:
			bad("event %s was accepted and is lost (aged %v, reason %q): %.200s", id, e.aged, e.reason, e.want)
		case e.reason != "" && len(at) > 0:
			bad("event %s is to be a dead letter (%s) and was delivered", id, e.reason)
		case e.reason == "" && len(ended) > 0 && len(at) > 0:
			expired++ // delivered, but the answer was lost; then it expired: both are true
		}
		if len(at) > 0 {
			c.delivered++
			c.duplicates += len(at) - 1
		} else {
			c.dead++
		}
	}
	for id, at := range l.arrived {
		if _, ok := l.issued[id]; !ok {
			bad("event %q was delivered and nobody issued it: %.200s", id, at[0].Raw)
		}
	}
	for id := range dead {
		if _, ok := l.issued[id]; !ok {
			bad("event %q is a dead letter and nobody issued it: %.200s", id, dead[id][0].body)
		}
	}
	for body, accepted := range l.bodies {
		if deadBodies[body] == 0 && !accepted {
			c.accepted--
			continue
		}
		if deadBodies[body] == 0 {
			bad("the body %q was accepted and is lost", body)
		}
		c.dead++
	}
	for body := range deadBodies {
		if _, ok := l.bodies[body]; !ok {
			bad("the body %q is a dead letter and nobody issued it", body)
		}
	}
	if t := l.totals; t.invocations > 0 &&
		(exact && (t.delivered != c.delivered-expired || t.deadLettered != c.dead+expired) ||
			t.delivered+t.deadLettered < c.accepted) {
		bad("the handler counted %d delivered and %d dead letters, want %d and %d", t.delivered, t.deadLettered,
			c.delivered-expired, c.dead+expired)
	}
	return c, errors.Join(errs...)
}

// parse reads the dead letters: the events by messageId, each with its own bytes as the body, and
// the bodies that hold no events. A dead letter that was written twice counts once: its id and its
// body must be the same.
func (l *ledger) parse() (byEvent map[string][]deadLetter, bodies map[string]int, err error) {
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nil, err
	}
	defer unzip.Close()
	byEvent, bodies = map[string][]deadLetter{}, map[string]int{}
	byID := map[string]deadLetter{}
	for _, d := range l.deadLetters {
		if d.id == "" || d.reason == "" || d.detail == "" {
			return nil, nil, fmt.Errorf("a dead letter without id, reason or detail: %+v", d)
		}
		if before, ok := byID[d.id]; ok {
			if before.body != d.body || before.reason != d.reason {
				return nil, nil, fmt.Errorf("the dead letter %s was written twice and differs: %.200s and %.200s", d.id,
					before.body, d.body)
			}
			continue
		}
		byID[d.id] = d
		if d.reason == "undecodable" {
			bodies[d.body]++
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
			Batch []json.RawMessage `json:"batch"`
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
			byEvent[e.MessageID] = append(byEvent[e.MessageID], deadLetter{d.id, d.reason, d.detail, string(raw)})
		}
	}
	return byEvent, bodies, nil
}
