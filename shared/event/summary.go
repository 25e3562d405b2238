package event

import "github.com/spillwayhq/spillway/shared/rawjson"

// A Summary is what tells an event from others, as texts: what a person looks for. A field that the
// event lacks, or whose value is null, is empty; a number is the text of its digits.
type Summary struct {
	Type string
	Name string // of a track its event, of a page or screen its name
	// Whom the event is of. PreviousID is the other ID of an alias.
	UserID, AnonymousID, PreviousID string
	MessageID                       string
}

// User is the event's userId, otherwise its anonymousId.
func (s *Summary) User() string {
	if s.UserID != "" {
		return s.UserID
	}
	return s.AnonymousID
}

// Summarize reads any bytes, also those that are no event: what can't be read is missing. Of
// duplicate keys the last one counts, as it does for Segment. It is for people and tools: it is not
// as fast as a [Scan], and allocates.
func Summarize(raw []byte) Summary {
	var s Summary
	if !rawjson.IsObject(raw) {
		return s
	}
	var scanner rawjson.Scanner
	var name string
	scanner.Reset(raw)
	for scanner.Enter('{'); ; {
		key, ok := scanner.Field()
		if !ok {
			break
		}
		into := s.field(key, &name)
		if value := scanner.Value(); into != nil && !rawjson.IsNull(value) {
			*into = string(value)
			if rawjson.IsString(value) {
				*into = string(rawjson.Unquote(nil, value))
			}
		}
	}
	if s.Name == "" && (s.Type == "page" || s.Type == "screen") {
		s.Name = name
	}
	return s
}

func (s *Summary) field(key []byte, name *string) *string {
	switch string(key) {
	case "type":
		return &s.Type
	case "event":
		return &s.Name
	case "name":
		return name
	case "userId":
		return &s.UserID
	case "anonymousId":
		return &s.AnonymousID
	case "previousId":
		return &s.PreviousID
	case "messageId":
		return &s.MessageID
	}
	return nil
}
