package message

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// Reasons besides those of package message. segment's classes give "rejected" and "expired".
const (
	ReasonInvalid = "invalid" // against Segment's rules, found before sending: Segment would answer 200 and drop it
	ReasonPanic   = "panic"   // reading it made the program panic
)

// Attributes of a dead letter.
const (
	AttrDeadLetterID = "Letter-Id"  // deterministic, so that a letter written twice can be recognised
	AttrReason       = "Reason"     //
	AttrDetail       = "Detail"     // for a person: what is wrong, or the beginning of Segment's answer
	AttrFirstSeen    = "First-Seen" // RFC 3339: when the events came in
	AttrLastSeen     = "Last-Seen"  // RFC 3339: when this was last tried
	// Number: how often the message had been received, 0 for what was never in the events queue
	AttrReceives = "Receives"
)

const (
	// MaxDetail is how many bytes of a Detail are written.
	MaxDetail = 1000
	// plainBytes is up to which size a letter is plain JSON, which a person can read in the SQS
	// console; larger ones are compressed.
	plainBytes = 256 << 10
	// maxBytes is how much JSON fits one message even if it does not compress: base64 adds a third.
	maxBytes = 740_000
)

// ReasonFor is the reason of a letter about an event with this problem.
func ReasonFor(p *event.Problem) string {
	if p == event.TooLarge {
		return ReasonTooLarge
	}
	return ReasonInvalid
}

// A DeadLetter is a dead letter before it is written. Events that are refused for the same reason
// share one, so that 2,500 wrong events are not 2,500 messages.
type DeadLetter struct {
	ID                  string
	Reason, Detail      string
	Header              Header   // of Events; its Origin goes into an attribute as well
	Events              [][]byte // nil: Body goes as it is
	Body                []byte
	Count               int       // how many events it stands for, where Events is nil
	FirstSeen, LastSeen time.Time // a zero FirstSeen is unknown and not written
	Receives            int
}

// Messages turns the letter into queue messages: one, unless it is larger than SQS takes. The ids
// of further ones end in their number.
func (l *DeadLetter) Messages(c *Compressor) []Message {
	var out []Message
	add := func(body []byte, count int, detail string) {
		id := l.ID
		if len(out) > 0 {
			id += "." + strconv.Itoa(len(out))
		}
		written := Message{Attributes: l.attributes(id, count, detail)}
		var packed bool
		if written.Body, packed = packBody(body, c); packed {
			written.Attributes[AttrContentEncoding] = StringAttribute(EncodingZstd)
		}
		out = append(out, written)
	}
	whole := func(body []byte, count int) {
		add(body, count, l.Detail)
		if out[len(out)-1].Size() <= MaxBytes {
			return
		}
		out = out[:len(out)-1]
		parts := (len(body) + maxBytes - 1) / maxBytes
		for n := range parts {
			add(body[n*maxBytes:min((n+1)*maxBytes, len(body))], count,
				fmt.Sprintf("part %d of %d of a body that one message can't hold, to be put together again: %s", n+1, parts,
					l.Detail))
			count = 0 // the events are counted once
		}
	}
	if l.Events == nil {
		whole(l.Body, l.Count)
		return out
	}
	around := len(AppendJSON(nil, l.Header))
	for rest := l.Events; len(rest) > 0; {
		n, size := 1, around+len(rest[0])
		for n < len(rest) && size+1+len(rest[n]) <= maxBytes {
			size += 1 + len(rest[n])
			n++
		}
		whole(AppendJSON(nil, l.Header, rest[:n]...), n)
		rest = rest[n:]
	}
	return out
}

func (l *DeadLetter) attributes(id string, count int, detail string) map[string]Attribute {
	attributes := map[string]Attribute{
		AttrDeadLetterID: StringAttribute(id),
		AttrReason:       StringAttribute(l.Reason),
		AttrDetail:       StringAttribute(LegalText(Truncate(detail, MaxDetail))),
		AttrLastSeen:     StringAttribute(l.LastSeen.UTC().Format(event.TimeFormat)),
		AttrReceives:     NumberAttribute(int64(l.Receives)),
		AttrEventCount:   NumberAttribute(int64(count)),
		AttrOrigin:       StringAttribute(l.Header.Origin.String()),
	}
	if !l.FirstSeen.IsZero() {
		attributes[AttrFirstSeen] = StringAttribute(l.FirstSeen.UTC().Format(event.TimeFormat))
	}
	return attributes
}

// pack makes a body that SQS takes: plain where it is short enough to be read and legal, otherwise
// the shorter of both.
func packBody(body []byte, c *Compressor) (text string, packed bool) {
	if len(body) == 0 {
		return " ", false // as empty to a reader, and SQS takes it
	}
	plain := string(body)
	fits := LegalText(plain) == plain
	if fits && len(body) <= plainBytes {
		return plain, false
	}
	if text = c.Compress(body); fits && len(text) >= len(plain) {
		return plain, false
	}
	return text, true
}

// LegalText makes text fit for SQS: what is not legal XML text is replaced (SQS API reference,
// SendMessage), and it is not empty.
func LegalText(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD ||
			r >= 0x10000 && r <= 0x10FFFF {
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if clean == "" {
		return "-"
	}
	return clean
}

// Truncate shortens text to at most n bytes, at the beginning of a character.
func Truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
