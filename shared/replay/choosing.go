package replay

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// Options say which events are meant, and what is changed in them. The zero value of all but the
// range of times changes nothing.
type Options struct {
	Selection
	Edits         []string `json:"edits,omitempty"`         // as ParseEdit reads them, in their order
	ToWriteKey    string   `json:"toWriteKey,omitempty"`    // the write key of the events; empty: their own
	NewMessageIDs bool     `json:"newMessageIDs,omitempty"` // so that Segment takes them for other events
}

// Validate checks the options at the time now.
func (o *Options) Validate(now time.Time) error {
	if o.ToWriteKey != "" && !event.ValidWriteKey(o.ToWriteKey) {
		return fmt.Errorf("the write key to send with: %w", event.InvalidWriteKey)
	}
	if _, err := o.edits(); err != nil {
		return err
	}
	return o.Selection.Validate(now)
}

func (o *Options) edits() ([]Edit, error) {
	edits := make([]Edit, len(o.Edits))
	for i, text := range o.Edits {
		var err error
		if edits[i], err = ParseEdit(text); err != nil {
			return nil, err
		}
	}
	return edits, nil
}

// Why an event that the selection means is left out. A permanent reason of a dead letter is a
// further one: see deadletter.IsPermanent.
const (
	SkippedDouble     = "double"     // the event is there already
	SkippedReplayed   = "replayed"   // a replay has delivered it
	SkippedUnreadable = "unreadable" // it is a body that could not be read
	SkippedUneditable = "uneditable" // an edit sets a field in what is no object
	SkippedDropped    = "dropped"    // Segment would drop it as it is, or as it was edited
)

// Counts are what a replay has read and found.
type Counts struct {
	Objects    int   // that were read to their end
	Gone       int   // of the plan's objects, those that do not exist any more
	Lines      int64 // that were read
	Bytes      int64 // of lines
	Events     int64 // that match, each once: what is sent or exported
	Skipped    map[string]int64
	SkippedFor string // the first SkippedUneditable or SkippedDropped, for people
	BadLines   int64  // that are no records
	BadLine    string // where the first one is, and what is wrong
	Damage     []string
	DamageMore int // damage beyond what Damage names
	// Repeated is how many of Events are of outcome delivered and get a new messageId at the source
	// that has them.
	Repeated int64

	ages map[int64]int64 // events whose messageId the same source may have, by the minute of their outcome
}

func newCounts() Counts { return Counts{Skipped: map[string]int64{}, ages: map[int64]int64{}} }

// Old is how many of the events Segment may count twice because they are sent with a messageId that
// it has forgotten by then: those that ended longer than deadletter.DedupePeriod before the time.
func (c *Counts) Old(at time.Time) (n int64) {
	for minute, events := range c.ages {
		if at.Sub(time.Unix(minute*60, 0)) > deadletter.DedupePeriod {
			n += events
		}
	}
	return n
}

// maxEvent bounds an event that is sent, with what its batch had in common, in bytes: the rest is
// for the write key and the identity.
const maxEvent = message.MaxIncompressible - 4<<10

// maxDamage bounds the damage that is named.
const maxDamage = 20

func (c *Counts) addStats(o archive.Object, s archive.Stats) {
	c.Lines += s.Lines
	c.Bytes += s.Bytes
	for _, d := range s.Damage {
		if len(c.Damage) == maxDamage {
			c.DamageMore++
			continue
		}
		c.Damage = append(c.Damage, o.Name+": "+d.Error())
	}
}

// A chooser decides what becomes of each record, in their order. It is not safe for concurrent use.
type chooser struct {
	Options
	matcher    *matcher
	edits      []Edit
	id         string // of the replay
	forExport  bool
	doubles    *doubles
	joiner     archive.Joiner
	counts     Counts
	seen       atomic.Int64 // lines
	scanner    rawjson.Scanner
	from, into []byte // buffers of edits
}

func newChooser(id string, o Options, d *doubles) (*chooser, error) {
	edits, err := o.edits()
	if err != nil {
		return nil, err
	}
	return &chooser{Options: o, matcher: newMatcher(o.Selection), edits: edits, id: id, doubles: d,
		counts: newCounts()}, nil
}

// keep reports whether a line may be meant, and counts it. It is safe for concurrent use.
func (c *chooser) keep(line []byte) bool {
	c.seen.Add(1)
	return c.matcher.mayMatch(line)
}

// A chosen is an event that is sent or exported.
type chosen struct {
	archive.Record
	header message.Header
	event  []byte // valid until the next call; nil: the record is a body that could not be read
}

// choose reads a line. ok is false if nothing is to be sent or exported for it.
func (c *chooser) choose(at string, line []byte) (_ chosen, ok bool) {
	r, err := archive.ParseRecord(line)
	if err == nil {
		r, ok, err = c.joiner.Add(r)
	}
	if err != nil {
		c.counts.BadLines++
		if c.counts.BadLine == "" {
			c.counts.BadLine = at + ": " + err.Error()
		}
		return chosen{}, false
	}
	if !ok {
		return chosen{}, false
	}
	var e event.Event
	isEvent := scanRecord(&c.scanner, &r, &e)
	if !c.matcher.matches(&r, &e) {
		return chosen{}, false
	}
	if why := c.left(&r, isEvent); why != "" {
		c.counts.Skipped[why]++
		return chosen{}, false
	}
	out := chosen{Record: r, header: message.Header{WriteKey: r.WriteKey, Origin: r.Origin, Context: r.Context,
		Integrations: r.Integrations}}
	if c.ToWriteKey != "" {
		out.header.WriteKey = c.ToWriteKey
	}
	id := identityOf(&r, c.forExport)
	if isEvent {
		if out.event, ok = c.edited(&r, e.Raw, id); !ok {
			return chosen{}, false
		}
	}
	if !c.doubles.add(id) {
		c.counts.Skipped[SkippedDouble]++
		return chosen{}, false
	}
	c.count(&out)
	return out, true
}

// left says why a record that the selection means is left out; empty if it is not.
func (c *chooser) left(r *archive.Record, isEvent bool) string {
	switch {
	case r.Replay != "" && r.Outcome == archive.Delivered && !c.Replayed:
		return SkippedReplayed
	case c.forExport:
		return ""
	case r.Outcome == archive.DeadLettered && len(c.Reasons) == 0 && deadletter.IsPermanent(r.Reason, isEvent):
		return r.Reason
	case !isEvent:
		return SkippedUnreadable
	}
	return ""
}

// edited returns the event as it is sent. ok is false if it can't be, or Segment would drop it.
func (c *chooser) edited(r *archive.Record, raw []byte, id identity) (_ []byte, ok bool) {
	var err error
	for i := range c.edits {
		c.into, err = c.edits[i].Append(c.into[:0], raw)
		if err != nil {
			return nil, c.skip(SkippedUneditable, err)
		}
		c.from, c.into = c.into, c.from
		raw = c.from
	}
	newID := uuid.NewSHA1(uuid.Nil, append([]byte(c.id), id[:]...)).String()
	if c.NewMessageIDs {
		set := Edit{path: []string{"messageId"}, value: rawjson.AppendQuoted(nil, newID)}
		if c.into, err = set.Append(c.into[:0], raw); err != nil {
			return nil, c.skip(SkippedUneditable, err)
		}
		c.from, c.into = c.into, c.from
		raw = c.from
	}
	var e event.Event
	c.scanner.Reset(raw)
	if err := event.Scan(&c.scanner, raw, &e); err != nil {
		return nil, c.skip(SkippedDropped, err)
	}
	// Who names the reason of such dead letters wants them sent as they are.
	if e.Problem != nil && (len(c.Reasons) == 0 || len(c.edits) > 0) && !c.forExport {
		return nil, c.skip(SkippedDropped, e.Problem)
	}
	// SQS might refuse it, which would end each run here.
	if size := len(raw) + len(r.Context) + len(r.Integrations); size > maxEvent && !c.forExport {
		return nil, c.skip(SkippedDropped, fmt.Errorf("an event of %d bytes may not fit a message", size))
	}
	if !e.Identified() { // it had no room for its identity, or an edit has removed it
		at := r.ReceivedAt
		if at.IsZero() {
			at = r.Time
		}
		c.into, _ = e.AppendIdentified(c.into[:0], newID, at)
		c.from, c.into = c.into, c.from
		raw = c.from
	}
	return raw, true
}

func (c *chooser) skip(why string, err error) (ok bool) {
	c.counts.Skipped[why]++
	if c.counts.SkippedFor == "" {
		c.counts.SkippedFor = err.Error()
	}
	return false
}

func (c *chooser) count(e *chosen) {
	c.counts.Events++
	switch {
	case e.header.WriteKey != e.WriteKey: // another source, which has not received it
	case !c.NewMessageIDs:
		c.counts.ages[e.Time.Unix()/60]++
	case e.Outcome == archive.Delivered:
		c.counts.Repeated++
	}
}
