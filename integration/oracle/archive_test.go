package oracle

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// memoryArchive is an archive that forgets nothing. It is safe for concurrent use.
type memoryArchive struct {
	mu     sync.Mutex
	stream []byte // the frames as they came
}

// Put implements archive.Appender.
func (a *memoryArchive) Put(ctx context.Context, frames []archive.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range frames {
		a.stream = append(a.stream, f.Data...)
	}
	return nil
}

// records are those in the archive.
func (a *memoryArchive) records() ([]archive.Record, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return readRecords(bytes.NewReader(a.stream))
}

// readRecords reads a stream of frames, in which nothing may be damaged.
func readRecords(stream io.Reader) (all []archive.Record, err error) {
	r, err := archive.NewReader(stream, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var joiner archive.Joiner
	for {
		block, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		for line := range block.Lines() {
			part, err := archive.ParseRecord(bytes.Clone(line))
			if err != nil {
				return nil, err
			}
			whole, ok, err := joiner.Add(part)
			if err != nil {
				return nil, err
			}
			if ok {
				all = append(all, whole)
			}
		}
	}
	if n := joiner.Incomplete(); n > 0 {
		return nil, fmt.Errorf("%d records lack a part", n)
	}
	return all, nil
}

// faultyArchive is an archive that fails as Firehose or a disk may.
type faultyArchive struct {
	archive.Appender
	*faults
}

var errArchive = errors.New("scripted")

// Put implements archive.Appender.
func (a faultyArchive) Put(ctx context.Context, frames []archive.Frame) error {
	sleep(ctx, sqsLatency)
	if a.archiveAway && a.inTheMiddle() && a.happens("archive away", 100) {
		return errArchive
	}
	switch {
	case a.happens("archive fails", a.archiveFails):
		return errArchive
	case a.happens("archive hangs", a.archiveHangs):
		<-ctx.Done()
		return ctx.Err()
	case a.happens("archive slow", a.archiveSlow):
		sleep(ctx, a.upTo(8*time.Second))
	}
	if a.happens("archive takes a part", a.archivePart) {
		return a.putPart(ctx, frames)
	}
	if err := a.Appender.Put(ctx, frames); err != nil {
		return err
	}
	if a.happens("archive's answer lost", a.archiveLost) {
		return errArchive
	}
	return nil
}

// putPart takes some of the frames: of one frame none.
func (a faultyArchive) putPart(ctx context.Context, frames []archive.Frame) error {
	partly := &archive.PutError{Failed: map[int]error{}, Frames: len(frames)}
	var taken []archive.Frame
	for i, f := range frames {
		if len(frames) == 1 || a.upTo(2) == 0 {
			partly.Failed[i] = errArchive
			continue
		}
		taken = append(taken, f)
	}
	if err := a.Appender.Put(ctx, taken); err != nil {
		return err
	}
	if len(partly.Failed) == 0 {
		return nil
	}
	return partly
}

const archiveOnly = `{"archiveFrame":"`

func isFrame(body string) bool { return strings.HasPrefix(body, archiveOnly) }

// archive compares the archive with what came out. dead are the events that are dead letters now.
// With exact deliver's own count must agree.
func (c *comparison) archive(dead map[string][]deadLetter, exact bool) {
	if c.ledger.archive == nil {
		return
	}
	records, err := c.ledger.archive()
	if err != nil {
		c.bad("%w", err)
		return
	}
	c.records = len(records)
	if counted := c.ledger.totals.archived; exact && c.ledger.archiveCounts && counted != len(records) {
		c.bad("deliver counted %d archived events, the archive has %d", counted, len(records))
	}
	ever, bodies, err := c.ledger.parse(slices.Concat(c.ledger.earlier, c.ledger.deadLetters))
	if err != nil {
		c.bad("%w", err)
	}
	// SQS may have moved archive-only messages to the dead-letter queue.
	for _, d := range c.ledger.deadLetters {
		if !isFrame(d.body) {
			continue
		}
		c.movedFrames++
		text, _, _ := strings.Cut(d.body[len(archiveOnly):], `"`)
		frame, err := base64.StdEncoding.DecodeString(text)
		moved, readErr := readRecords(bytes.NewReader(frame))
		if err = errors.Join(err, readErr); err != nil {
			c.bad("the archive-only message %s: %w", d.id, err)
		}
		records = append(records, moved...)
	}
	c.archived(records, dead, ever, bodies)
}

// archived checks what the archive has of each event that was issued, and that it has nothing else.
// dead are the events that are dead letters now, ever those that have been, and bodies those that
// could not be read.
func (c *comparison) archived(records []archive.Record, dead, ever map[string][]deadLetter, bodies map[string]int) {
	byEvent, byBody := map[string][]archive.Record{}, map[string]int{}
	lacking := 0 // dead letters of the ingest endpoint
	for i := range records {
		r := &records[i]
		if r.Outcome == archive.DeadLettered && bodies[string(r.Event)] > 0 {
			byBody[string(r.Event)]++
			continue
		}
		id := archivedID(r.Event)
		if _, ok := c.ledger.issued[id]; !ok {
			c.bad("event %q is archived as %s (%s) but was never issued: %.200s", id, r.Outcome, r.Reason, r.Event)
			continue
		}
		byEvent[id] = append(byEvent[id], *r)
	}
	for id, e := range c.ledger.issued {
		for i := range byEvent[id] {
			c.record(id, &e, &byEvent[id][i], ever[id])
		}
		if why := mustBeArchived(&e, c.ledger.arrived[id], dead[id]); why != "" && !hasOutcome(byEvent[id], why) {
			if ofIngest(dead[id]) {
				lacking++
				continue
			}
			c.bad("event %s was %s, but the archive does not say so: %v", id, why, outcomes(byEvent[id]))
		}
	}
	if counted := c.ledger.totals.ingestNotArchived; lacking > counted {
		c.bad("the archive lacks %d invalid events, the ingest endpoint says %d", lacking, counted)
	}
	moved := map[string]bool{} // whatever has become of them, their messages were not deleted
	for _, d := range c.ledger.deadLetters {
		if d.reason == message.ReasonMovedBySQS {
			moved[d.body] = true
		}
	}
	for body := range bodies {
		if byBody[body] == 0 && !moved[body] {
			c.bad("the body %q is a dead letter, but is not archived", body)
		}
	}
}

// mustBeArchived is with which outcome an event must be in the archive; empty: with none. An event
// that is a dead letter too may have been delivered in a call whose answer was lost, so that
// deliver does not know it.
func mustBeArchived(e *issued, arrived []arrival, dead []deadLetter) string {
	moved := slices.ContainsFunc(dead, func(d deadLetter) bool { return d.reason == message.ReasonMovedBySQS })
	switch {
	case moved: // whatever has become of it, its message was not deleted
	case len(arrived) > 0 && len(dead) == 0:
		return archive.Delivered
	case len(dead) > 0 && len(arrived) == 0:
		return archive.DeadLettered
	case len(dead) > 0:
		return anyOutcome
	}
	return "" // deliver has never finished it
}

// ofIngest reports whether deliver knows none of an event's dead letters.
func ofIngest(dead []deadLetter) bool {
	return !slices.ContainsFunc(dead, func(d deadLetter) bool { return !strings.HasPrefix(d.id, "ingest/") })
}

const anyOutcome = "delivered or dead_lettered"

func hasOutcome(records []archive.Record, outcome string) bool {
	return slices.ContainsFunc(records, func(r archive.Record) bool {
		return outcome == anyOutcome || r.Outcome == outcome
	})
}

func outcomes(records []archive.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.Outcome+" "+r.Reason)
	}
	return all
}

// record checks a record of an issued event.
func (c *comparison) record(id string, e *issued, r *archive.Record, dead []deadLetter) {
	if string(r.Event) != e.want {
		c.bad("event %s is archived as %.300s, want %.300s", id, r.Event, e.want)
	}
	merged, err := effectOf(r.Event, common{string(r.Context), string(r.Integrations)})
	if err != nil || !merged.equal(e.effect) {
		c.bad("event %s is archived with %v (%v), want %v", id, merged, err, e.effect)
	}
	if r.WriteKey != e.key {
		c.bad("event %s is archived with the write key %q, want %q", id, r.WriteKey, e.key)
	}
	if client := strings.HasSuffix(e.path, "/b"); client != (r.Origin == event.FromClient) {
		c.bad("event %s of %s is archived with the origin %v", id, e.path, r.Origin)
	}
	if !e.seen.holds(r.ReceivedAt.Format(event.TimeFormat)) {
		c.bad("event %s is archived as having come in at %v, want %v", id, r.ReceivedAt, e.seen)
	}
	inQueue := slices.ContainsFunc(dead, func(d deadLetter) bool { return d.reason == r.Reason })
	switch {
	case r.Outcome == archive.Delivered && len(c.ledger.arrived[id]) == 0:
		c.bad("event %s is archived as delivered, but never arrived", id)
	case r.Outcome == archive.DeadLettered && !inQueue:
		c.bad("event %s is archived as a dead letter for %q, but there is none: %v", id, r.Reason, dead)
	case r.Outcome == archive.DeadLettered && r.Detail == "":
		c.bad("event %s is archived as a dead letter without a detail", id)
	}
}

// archivedID is the messageId of an event.
func archivedID(raw []byte) string {
	var e struct {
		MessageID string `json:"messageId"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return ""
	}
	return e.MessageID
}
