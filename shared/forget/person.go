package forget

import (
	"bytes"
	"slices"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Person is who is forgotten: all IDs by which events name the person. It is safe for concurrent
// use, as long as nobody changes it.
type Person struct {
	// UserIDs are the person's userIds. An alias names the person with its previousId too.
	UserIDs []string
	// AnonymousIDs are those of the person's devices. They select the events without a userId: an
	// event with another userId is another person's, who used the same device.
	AnonymousIDs []string
}

// How a person is named by an event.
const (
	ByUserID      = "userId"
	ByAnonymousID = "anonymousId"
	ByPreviousID  = "previousId"
)

// Match returns how an event names the person; empty: the event is not the person's.
func (p *Person) Match(s *event.Summary) (by string) {
	switch {
	case s.UserID != "" && slices.Contains(p.UserIDs, s.UserID):
		return ByUserID
	case s.PreviousID != "" && (slices.Contains(p.UserIDs, s.PreviousID) || slices.Contains(p.AnonymousIDs, s.PreviousID)):
		return ByPreviousID
	case s.UserID == "" && s.AnonymousID != "" && slices.Contains(p.AnonymousIDs, s.AnonymousID):
		return ByAnonymousID
	}
	return ""
}

// SharedDevice reports whether an event has one of the person's anonymousIds, and another person's
// userId.
func (p *Person) SharedDevice(s *event.Summary) bool {
	return s.UserID != "" && s.AnonymousID != "" && slices.Contains(p.AnonymousIDs, s.AnonymousID) && p.Match(s) == ""
}

// ids are all of them.
func (p *Person) ids() []string { return slices.Concat(p.UserIDs, p.AnonymousIDs) }

// Mentions reports whether a text has one of the IDs in it, as a JSON string. An ID that is only a
// part of a string is none.
func (p *Person) Mentions(text []byte) bool {
	for _, id := range p.ids() {
		if bytes.Contains(text, rawjson.AppendQuoted(nil, id)) {
			return true
		}
	}
	return false
}

// MentionsRaw reports whether a text that is no JSON has one of the IDs in it, not as a part of a
// longer word.
func (p *Person) MentionsRaw(text []byte) bool {
	for _, id := range p.ids() {
		for rest := text; ; {
			i := bytes.Index(rest, []byte(id))
			if i < 0 {
				break
			}
			end := i + len(id)
			if (i == 0 || !isWord(rest[i-1])) && (end == len(rest) || !isWord(rest[end])) {
				return true
			}
			rest = rest[i+1:]
		}
	}
	return false
}

// isWord reports whether a byte may be within an ID.
func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c >= 0x80
}
