// Package heavy counts who sends what: by event name, by write key and, on one machine only, by
// user, how many events and bytes each sends, and what of it is refused.
//
// When a queue fills up, the first question is which source has grown. Metrics can't answer it:
// each name would be a dimension that is paid for, and anybody who sends events could make up more.
// So each part of the pipeline counts in a sketch of bounded memory, and writes one line of JSON a
// minute with the heaviest. The lines of all environments of a function are added up by whoever
// reads them: `spillway top`, the comparison that the canary's function makes, or a query of Logs
// Insights.
//
// What a [Counter] costs: at most 260 KB for each of event names, write keys and users; 10 to 50 ns
// an event (BenchmarkSketch). A line of the ten heaviest event names and five write keys has about
// 1.3 KB: $0.03 a month for each environment that is busy in every minute, at the $0.50 a GB of
// CloudWatch Logs. A pipeline with 1,000 events/s has at most some 25 such environments (a request
// for each event, 20 ms long, and the deliver function): under $1.
package heavy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

// By is what events are counted by.
type By string

// The values of [By].
const (
	ByEvent    By = "event"     // the name of a track, the type of every other event
	ByWriteKey By = "write-key" // its name in the write-key document, otherwise its fingerprint
	ByUser     By = "user"      // the user id; never deployed
)

// all are the values of By, in the order in which a line has them.
var all = [...]By{ByEvent, ByWriteKey, ByUser}

// The parts of a pipeline that write lines.
const (
	PartIngest    = "ingest"    // every event that SDKs send
	PartPublisher = "publisher" // every event that a Go program gives to its client
	// PartDeliver writes the events of messages that it receives for the first time: those of all
	// ways in, each once, as long as the circuit breaker is closed.
	PartDeliver = "deliver"
	// PartAll are the sums of all parts in five minutes, which package traffic writes.
	PartAll = "all"
)

const (
	// Message is the msg of a line: what queries filter by.
	Message = "heaviest"
	// Accepted is how many names with accepted events a line has at most of each By.
	Accepted = 10
	// Refused is the number of those with refused events.
	Refused = 5
	// ErrorShare is the largest part of all events that an entry may lack because the sketch is
	// bounded. What is not among the heaviest lacks more: it is missing.
	ErrorShare = 2.0 / counters
)

// A Line is what one part of a pipeline, or one environment of a function, has counted since its
// last line: usually in a minute. It is written as one line of JSON.
type Line struct {
	Time     time.Time `json:"time"`  // when it was written, UTC
	Level    string    `json:"level"` // INFO
	Message  string    `json:"msg"`   // Message
	Pipeline string    `json:"pipeline"`
	Part     string    `json:"part"`
	From     time.Time `json:"from"`    // since when was counted
	Events   uint64    `json:"events"`  // that were accepted
	Bytes    uint64    `json:"bytes"`   // of these, as JSON
	Refused  uint64    `json:"refused"` // events; a request whose events were not read counts as one
	// Missed is how many events an entry may lack at most, see ErrorShare. 0: the entries are
	// exact.
	Missed uint64 `json:"missed"`
	// Unlisted is how many events a name that is not listed may have sent at most, by what is
	// counted: accepted ones, of deliver all that it received. Without one, all names are listed.
	Unlisted map[By]uint64 `json:"unlisted,omitempty"`
	Heaviest []Entry       `json:"heaviest"`
}

// Between returns the lines that were written from one time until another, exclusive.
func Between(lines []Line, from, to time.Time) []Line {
	var found []Line
	for _, l := range lines {
		if !l.Time.Before(from) && l.Time.Before(to) {
			found = append(found, l)
		}
	}
	return found
}

// An Entry is one name in a Line. Its events and bytes are never more than the name's, and less by
// at most Line.Missed events.
type Entry struct {
	By   By     `json:"by"`
	Name string `json:"name"` // cut to 72 bytes, without control characters
	// ID is the fingerprint of a write key (event.KeyID) if Name is something else.
	ID string `json:"id,omitempty"`
	// Code is why the events were refused; empty: they were accepted. At ingest it is the code of
	// the answer or of the event's problem; in deliver it is retried/CLASS or dead_letter/REASON.
	Code   string `json:"code,omitempty"`
	Events uint64 `json:"events"`
	Bytes  uint64 `json:"bytes"`
	// Most is how many events it may be at most, in a line of PartAll. 0: Events.
	Most uint64 `json:"most,omitempty"`
}

// An Event is one event to count.
type Event struct {
	Name []byte // see ByEvent; empty: unknown
	User []byte // empty: unknown, or not to be counted
	Size int    // bytes of JSON
	Code string // see Entry.Code
}

// A Counter counts events until they are written. It is safe for concurrent use.
type Counter struct {
	// Users says that user ids are counted. They are personal data, and do not belong into a log.
	Users bool

	pipeline, part string
	written        atomic.Int64 // the minute in which the last line was written, since 1970

	mu       sync.Mutex
	by       [len(all)]sketch
	codes    []string // by their numbers in the sketches; the first is empty
	from     time.Time
	accepted uint64
	bytes    uint64
	refused  uint64
	label    []byte // of the write key, a buffer
}

// maxCodes bounds the codes of a Counter: there are about forty. Further ones count as otherCode.
const (
	maxCodes  = 200
	otherCode = "other"
)

// NewCounter returns a Counter for a part of a pipeline.
func NewCounter(pipeline, part string) *Counter {
	c := &Counter{pipeline: pipeline, part: part, codes: []string{""}, from: time.Now()}
	for i := range c.by {
		c.by[i].reset()
	}
	return c
}

// A Key says which write key events came with. The zero Key: an unknown one.
type Key struct {
	ID   string // its fingerprint: event.KeyID
	Name string // in the write-key document; empty: it has none
}

// Count counts n events of one write key. event returns each of them, and is called within the
// call. What its Name and User refer to is not retained.
func (c *Counter) Count(key Key, n int, event func(i int) Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Neighbours often have the same name and code: one look-up is enough for them.
	c.label = append(append(append(c.label[:0], key.ID...), 0), key.Name...)
	var name, ofKey run
	for i := range n {
		e := event(i)
		if i == 0 || e.Code != name.code || !bytes.Equal(e.Name, name.name) {
			c.add(ByEvent, &name)
			name = run{name: e.Name, code: e.Code}
		}
		if i == 0 || e.Code != ofKey.code {
			c.addKey(&ofKey)
			ofKey = run{name: c.label, code: e.Code}
		}
		name.count(1, e.Size)
		ofKey.count(1, e.Size)
		if c.Users && len(e.User) > 0 {
			c.add(ByUser, &run{e.User, e.Code, 1, uint64(e.Size)})
		}
	}
	c.add(ByEvent, &name)
	c.addKey(&ofKey)
}

// CountRequest counts a request that was refused before its events were read, as one event.
func (c *Counter) CountRequest(key Key, code string) {
	c.Count(key, 1, func(int) Event { return Event{Code: code} })
}

// A run is a number of events with the same name and code.
type run struct {
	name         []byte
	code         string
	events, size uint64
}

func (r *run) count(events, size int) {
	r.events += uint64(events)
	r.size += uint64(size)
}

func (c *Counter) add(by By, r *run) {
	if r.events > 0 {
		c.sketch(by).add(r.name, c.number(r.code), r.events, r.size)
	}
}

// addKey also counts the events in the totals, because every event has exactly one write key.
func (c *Counter) addKey(r *run) {
	if r.code == "" {
		c.accepted += r.events
		c.bytes += r.size
	} else {
		c.refused += r.events
	}
	c.add(ByWriteKey, r)
}

func (c *Counter) sketch(by By) *sketch { return &c.by[slices.Index(all[:], by)] }

// number is a code's in the sketches.
func (c *Counter) number(code string) uint8 {
	for i, known := range c.codes {
		if known == code {
			return uint8(i)
		}
	}
	if len(c.codes) == maxCodes {
		return maxCodes - 1
	}
	if len(c.codes) == maxCodes-1 {
		code = otherCode
	}
	c.codes = append(c.codes, code)
	return uint8(len(c.codes) - 1)
}

// WriteDue writes a line if it is time for one. A function calls it at the end of each invocation,
// because what an environment has not written when it is frozen it may never write.
func (c *Counter) WriteDue(w io.Writer, now time.Time) error {
	if !c.Due(now) {
		return nil
	}
	return c.Write(w, now)
}

// Write writes a line of what was counted since the last one, unless that is nothing.
func (c *Counter) Write(w io.Writer, now time.Time) error {
	l, ok := c.Take(now)
	if !ok {
		return nil
	}
	_, err := l.WriteTo(w)
	return err
}

// Due reports whether it is time for a line: none has been written in this minute.
func (c *Counter) Due(now time.Time) bool {
	return now.Unix()/60 != c.written.Load()
}

// Take returns what was counted since the last Take, and forgets it. false: nothing was.
func (c *Counter) Take(now time.Time) (Line, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written.Store(now.Unix() / 60)
	l := c.line(now, Accepted, Refused)
	for i := range c.by {
		c.by[i].reset()
	}
	c.from, c.accepted, c.bytes, c.refused = now, 0, 0, 0
	return l, l.Events+l.Refused > 0
}

// Peek returns what was counted since the last Take, with up to n names of each kind, and goes on
// counting. false: nothing was. It takes about as long as Take, and Count waits for it.
func (c *Counter) Peek(now time.Time, n int) (Line, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.line(now, n, n)
	return l, l.Events+l.Refused > 0
}

// line is what was counted since the last Take, with so many names of each By.
func (c *Counter) line(now time.Time, accepted, refused int) Line {
	l := Line{Time: now.UTC(), Level: "INFO", Message: Message, Pipeline: c.pipeline, Part: c.part, From: c.from.UTC(),
		Events: c.accepted, Bytes: c.bytes, Refused: c.refused}
	for _, by := range all {
		s := c.sketch(by)
		l.Missed = max(l.Missed, s.floor)
		heaviest, next := c.entries(by, accepted, func(x *counter) bool { return x.code == 0 })
		others, nextRefused := c.entries(by, refused, func(x *counter) bool { return x.code != 0 })
		l.Heaviest = slices.Concat(l.Heaviest, heaviest, others)
		if c.part == PartDeliver {
			next += nextRefused
		}
		if next += s.floor; next > 0 {
			if l.Unlisted == nil {
				l.Unlisted = map[By]uint64{}
			}
			l.Unlisted[by] = next
		}
	}
	return l
}

// entries are the n heaviest that a filter takes. next is what the one after them has.
func (c *Counter) entries(by By, n int, takes func(*counter) bool) (entries []Entry, next uint64) {
	s := c.sketch(by)
	for _, i := range s.heaviest(n+1, takes) {
		x, t := &s.counted[i], &s.names[i]
		if len(entries) == n {
			return entries, x.events
		}
		e := Entry{By: by, Code: c.codes[x.code], Events: x.events, Bytes: x.bytes}
		name := t.bytes[:t.size]
		if by == ByWriteKey {
			id, rest, _ := bytes.Cut(name, []byte{0})
			if name = id; len(rest) > 0 {
				e.ID, name = printable(id), rest
			}
		}
		if e.Name = printable(name); t.cut {
			e.Name += "…"
		}
		e.Name = cmp.Or(e.Name, Unknown)
		entries = append(entries, e)
	}
	return entries, 0
}

// Unknown is the name of events whose name, write key or user is unknown.
const Unknown = "(unknown)"

// WriteTo writes the line as JSON with a line feed, in one call.
func (l *Line) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // it would make names six times as long
	if err := e.Encode(l); err != nil {
		return 0, fmt.Errorf("encode the line of the heaviest: %w", err)
	}
	n, err := buf.WriteTo(w)
	if err != nil {
		err = fmt.Errorf("write the line of the heaviest: %w", err)
	}
	return n, err
}

// Parse reads a line of a log. false: it is another line, or is damaged.
func Parse(data []byte) (Line, bool) {
	var l Line
	if !bytes.Contains(data, []byte(`"msg":"`+Message+`"`)) || json.Unmarshal(data, &l) != nil {
		return Line{}, false
	}
	return l, l.Message == Message
}

// printable is a name for people and terminals: without control characters and half characters.
func printable(name []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(string(name), ""))
}
