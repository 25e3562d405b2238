package event

import (
	"math"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// An Enrichment is what the door knows of the events of a request and they do not say themselves.
// It may be used by several goroutines at the same time if AppendID may.
type Enrichment struct {
	DefaultType string    // the type of an event that has none; empty: leave it
	ReceivedAt  time.Time // when the request came
	SentAt      time.Time // the batch's, by the client's clock; zero: none
	WriteKey    string    // the request's; an event's own is taken out when it is the same, for the message carries it

	// Of the client, for events that it sent itself: SDKs for servers send their users' addresses
	// or none, and never their own.
	Client    bool   // the path is a client's; an event or a batch may say so as well
	IP        string // must need no escaping in JSON; empty: unknown
	UserAgent string // for events that no SDK made, for it would have named itself and this
	Shared    SharedContext

	// AppendID appends a new messageId, which must need no escaping in JSON.
	AppendID func(dst []byte) []byte
}

// AppendEnriched appends the event to dst as it is to travel, and returns the extended dst. What is
// no object is appended as it is. All bytes stay as they came but for these fields, of which null
// counts as absent:
//   - type, where it is missing;
//   - messageId, where it is missing, no string or empty;
//   - timestamp: Segment computes receivedAt − (sentAt − timestamp), and would count the time in the queue in. So it is done
//     here, and the event's own sentAt goes. Without a sentAt, a timestamp stays; where it is missing, it is ReceivedAt; one that
//     is no RFC 3339 time stays as it is;
//   - context.ip and context.userAgent, where a client's event has none;
//   - writeKey, where it is the request's.
func (e *Received) AppendEnriched(dst []byte, st *Enrichment) []byte {
	if !rawjson.IsObject(e.Raw) {
		return append(dst, e.Raw...)
	}
	c := splice{raw: e.Raw, dst: append(dst, '{'), from: 1}
	c.front = len(c.dst)
	client := e.SentByClient(st)

	// What is absent goes in front, where no later duplicate of its key follows; what is there is
	// replaced where it stands, the last one of its kind.
	if e.last[fieldType] == none && st.DefaultType != "" {
		c.key(`"type":`)
		c.dst = append(c.dst, kindValue(st.DefaultType)...)
	}
	if e.last[fieldMessageID] == none {
		c.key(`"messageId":`)
		c.id(st)
	}
	if e.last[fieldTimestamp] == none {
		c.key(`"timestamp":`)
		c.time(st.ReceivedAt)
	}
	if client && e.last[fieldContext] == none {
		if ip, agent := e.wants(st); ip || agent {
			c.key(`"context":`)
			c.context(st, ip, agent)
		}
	}
	dropKey := rawjson.IsString(e.WriteKey) && string(rawjson.Unquote(nil, e.WriteKey)) == st.WriteKey
	for i := range e.n {
		p := &e.places[i]
		if p.name == fieldSentAt || p.name == fieldWriteKey && dropKey {
			c.to(p.field)
			c.from = p.to
			continue
		}
		if i != e.last[p.name] { // an earlier writeKey, which stays
			continue
		}
		value := e.Raw[p.from:p.to]
		switch p.name {
		case fieldType:
			if rawjson.IsNull(value) && st.DefaultType != "" {
				c.replace(p.from, p.to)
				c.dst = append(c.dst, kindValue(st.DefaultType)...)
			}
		case fieldMessageID:
			if !e.hasID() {
				c.replace(p.from, p.to)
				c.id(st)
			}
		case fieldTimestamp:
			if t, ok := rebase(value, e.sentAt(st), st.ReceivedAt); ok {
				c.replace(p.from, p.to)
				c.time(t)
			}
		case fieldContext:
			if client {
				e.enrichContext(&c, st, p)
			}
		}
	}
	c.to(uint32(len(e.Raw)))
	return c.dst
}

// Client reports whether a client sent the event itself: by the request's path, or by its own or
// its batch's context.direct.
func (e *Received) SentByClient(st *Enrichment) bool {
	return st.Client || e.Direct || st.Shared.Direct
}

// wants says which fields the event's context is to get.
func (e *Received) wants(st *Enrichment) (ip, agent bool) {
	own, shared := &e.context, &st.Shared
	ip = st.IP != "" && !own.ip.there && !shared.ip
	agent = st.UserAgent != "" && !own.userAgent.there && !own.library && !shared.userAgent && !shared.library
	return ip, agent
}

// enrichContext edits a context that is there. What is neither an object nor null is left alone.
func (e *Received) enrichContext(c *splice, st *Enrichment, p *place) {
	value := e.Raw[p.from:p.to]
	if rawjson.IsObject(value) {
		e.scanContext()
	} else if !rawjson.IsNull(value) {
		return
	}
	ip, agent := e.wants(st)
	if !ip && !agent {
		return
	}
	if rawjson.IsNull(value) {
		c.replace(p.from, p.to)
		c.context(st, ip, agent)
		return
	}
	own := &e.context
	c.to(p.from + 1)
	mark := len(c.dst)
	if ip && own.ip.null.to == 0 {
		c.dst = append(c.dst, `"ip":`...)
		c.ip(st)
	}
	if agent && own.userAgent.null.to == 0 {
		if len(c.dst) > mark {
			c.dst = append(c.dst, ',')
		}
		c.dst = append(c.dst, `"userAgent":`...)
		c.agent(st)
	}
	c.nested = len(c.dst) == mark
	type null struct {
		at    span
		write func(*Enrichment)
	}
	var nulls [2]null
	n := 0
	if ip && own.ip.null.to != 0 {
		nulls[n], n = null{own.ip.null, c.ip}, n+1
	}
	if agent && own.userAgent.null.to != 0 {
		nulls[n], n = null{own.userAgent.null, c.agent}, n+1
	}
	if n == 2 && nulls[0].at.from > nulls[1].at.from {
		nulls[0], nulls[1] = nulls[1], nulls[0]
	}
	for _, v := range nulls[:n] {
		c.replace(p.from+v.at.from, p.from+v.at.to)
		v.write(st)
	}
}

// sentAt is when the client sent the event, by its clock; zero: unknown.
func (e *Received) sentAt(st *Enrichment) time.Time {
	if t, ok := ParseTime(e.field(fieldSentAt)); ok {
		return t
	}
	return st.SentAt
}

// rebase moves a timestamp from the client's clock to ours; ok is false where it is to stay as it
// is.
func rebase(timestamp []byte, sentAt, receivedAt time.Time) (t time.Time, ok bool) {
	if rawjson.IsNull(timestamp) {
		return receivedAt, true
	}
	if t, ok = ParseTime(timestamp); !ok || sentAt.IsZero() {
		return t, false
	}
	age := sentAt.Sub(t)
	if age == math.MaxInt64 || age == math.MinInt64 { // centuries: no clock is that wrong
		return t, false
	}
	return receivedAt.Add(-age), true
}

// ParseTime reads a JSON value as a time in RFC 3339, or with an offset that has no colon in it, as
// older SDKs write. A time without a zone is none: nobody knows which.
func ParseTime(value []byte) (t time.Time, ok bool) {
	if !rawjson.IsString(value) || len(value) > 64 {
		return time.Time{}, false
	}
	text := rawjson.Unquote(nil, value)
	if t.UnmarshalText(text) == nil {
		return t, true
	}
	t, err := time.Parse("2006-01-02T15:04:05Z0700", string(text))
	return t, err == nil
}

// splice copies an object's bytes and edits them on the way. It cuts only where a field ends:
// behind an opening brace or a value. So what is copied next begins, after white space, with a
// comma, a key or a closing brace.
type splice struct {
	raw, dst []byte
	front    int    // where the fields begin in dst
	from     uint32 // what stands before it in raw is done
	nested   bool   // a brace was copied last and nothing was put behind it
}

// to copies up to an offset, with the comma that is needed between what was written and what comes,
// and no other.
func (c *splice) to(end uint32) {
	piece := c.raw[c.from:end]
	c.from = end
	i := 0
	for i < len(piece) && piece[i] <= ' ' {
		i++
	}
	if i < len(piece) && !c.nested {
		switch written := len(c.dst) > c.front; {
		case piece[i] == ',' && !written:
			piece = piece[i+1:]
		case piece[i] == '"' && written:
			c.dst = append(c.dst, ',')
		}
	}
	c.nested = false
	c.dst = append(c.dst, piece...)
}

// replace copies up to a value and passes over it; the caller writes another.
func (c *splice) replace(from, to uint32) {
	c.to(from)
	c.from = to
}

// key begins a field in front of the others.
func (c *splice) key(text string) {
	if len(c.dst) > c.front {
		c.dst = append(c.dst, ',')
	}
	c.dst = append(c.dst, text...)
}

func (c *splice) id(st *Enrichment) {
	c.dst = append(st.AppendID(append(c.dst, '"')), '"')
}

func (c *splice) time(t time.Time) {
	c.dst = append(t.UTC().AppendFormat(append(c.dst, '"'), TimeFormat), '"')
}

func (c *splice) ip(st *Enrichment) {
	c.dst = append(append(append(c.dst, '"'), st.IP...), '"')
}

func (c *splice) agent(st *Enrichment) { c.dst = rawjson.AppendQuoted(c.dst, st.UserAgent) }

func (c *splice) context(st *Enrichment, ip, agent bool) {
	c.dst = append(c.dst, '{')
	if ip {
		c.dst = append(c.dst, `"ip":`...)
		c.ip(st)
	}
	if agent {
		if ip {
			c.dst = append(c.dst, ',')
		}
		c.dst = append(c.dst, `"userAgent":`...)
		c.agent(st)
	}
	c.dst = append(c.dst, '}')
}
