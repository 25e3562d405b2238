package event

import (
	"fmt"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Problem is why an event can't be delivered. It is an error that is safe to show, because it
// quotes nothing of the event. Every Problem is one of the variables of this package, so compare
// pointers.
type Problem struct {
	Code    string // for metrics and programs
	Message string // for people
}

func (p *Problem) Error() string { return p.Code + ": " + p.Message }

// Problems with Segment's own codes, of its asynchronous rejections: Segment answers 200 to such an
// event and drops it, so it must be found before the event is sent.
var (
	NoUserOrAnonymousID = &Problem{"no_user_anon_id", "an event needs a userId or an anonymousId"}
	EventNotDefined     = &Problem{"event_not_defined", "a track needs an event name"}
	EventNotString      = &Problem{"event_not_string", "the event's name must be a string"}
	PropertiesNotObject = &Problem{"properties_not_object", "properties must be an object"}
	TraitsNotObject     = &Problem{"traits_not_object", "traits must be an object"}
	NameNotString       = &Problem{"name_not_string", "the name of a page or screen must be a string"}
	CategoryNotString   = &Problem{"category_not_string", "the category of a page or screen must be a string"}
	IDRequired          = &Problem{"id_required", "a group needs a groupId, an alias needs a userId and a previousId"}
	IDNotString         = &Problem{"id_not_string",
		"a group's groupId and an alias's userId and previousId must be strings, other ids strings or numbers"}
)

// Problems with codes of Spillway's own.
var (
	TypeUnknown = &Problem{"type_unknown", "type must be track, identify, page, screen, group or alias"}
	NotAnObject = &Problem{"not_an_object", "an event must be a JSON object"}
	NotUTF8     = &Problem{"not_utf8", "the event holds bytes that are not UTF-8"}
	TooDeep     = &Problem{"too_deep", fmt.Sprintf("the event is nested deeper than %d levels", MaxDepth)}
	TooLarge    = &Problem{"too_large",
		fmt.Sprintf("the event is larger than the %d bytes that Segment takes", MaxEventBytes)}
	MessageIDTooLong = &Problem{"message_id_too_long",
		fmt.Sprintf("the messageId is longer than %d characters", MaxMessageIDBytes)}
	// TooManyDuplicates is found only by [ScanReceived], which must record the place of each. No
	// SDK repeats a field.
	TooManyDuplicates = &Problem{"too_many_duplicates", "the event repeats sentAt or writeKey too often"}
)

// validate returns the problem of an event, nil if it has none. levels is how deep the event is
// nested.
func validate(raw []byte, flaws rawjson.Flaws, levels int, v *values) *Problem {
	switch {
	case len(raw) > MaxEventBytes:
		return TooLarge
	case flaws.NotUTF8:
		return NotUTF8
	case levels > MaxDepth:
		return TooDeep
	}
	return v.validate()
}

// validate applies Segment's rules.
func (v *values) validate() *Problem {
	if p := v.validateIDs(); p != nil {
		return p
	}
	if !rawjson.IsString(v[fieldType]) {
		return TypeUnknown
	}
	anyone := isPresent(v[fieldUserID]) || isPresent(v[fieldAnonymousID])
	switch string(rawjson.Unquote(nil, v[fieldType])) {
	case "track":
		name := v[fieldEvent]
		switch {
		case !anyone:
			return NoUserOrAnonymousID
		case rawjson.IsNull(name) || len(name) == 2 && rawjson.IsString(name):
			return EventNotDefined
		case !rawjson.IsString(name):
			return EventNotString
		}
		return mustBeObject(v[fieldProperties], PropertiesNotObject)
	case "page", "screen":
		switch {
		case !anyone:
			return NoUserOrAnonymousID
		case !isStringOrNull(v[fieldName]):
			return NameNotString
		case !isStringOrNull(v[fieldCategory]):
			return CategoryNotString
		}
		return mustBeObject(v[fieldProperties], PropertiesNotObject)
	case "identify":
		if !anyone {
			return NoUserOrAnonymousID
		}
		return mustBeObject(v[fieldTraits], TraitsNotObject)
	case "group":
		switch {
		case !isPresent(v[fieldGroupID]):
			return IDRequired
		case !anyone:
			return NoUserOrAnonymousID
		}
		return mustBeObject(v[fieldTraits], TraitsNotObject)
	case "alias":
		switch {
		case !isPresent(v[fieldUserID]) || !isPresent(v[fieldPreviousID]):
			return IDRequired
		case !rawjson.IsString(v[fieldUserID]):
			return IDNotString
		}
		return nil
	}
	return TypeUnknown
}

// validateIDs applies the rules for ids, which are the same for every type.
func (v *values) validateIDs() *Problem {
	// There are never fewer bytes than characters, so only a long id is counted.
	if id := v[fieldMessageID]; rawjson.IsString(id) && len(id)-2 > MaxMessageIDBytes &&
		utf8.RuneCount(rawjson.Unquote(nil, id)) > MaxMessageIDBytes {
		return MessageIDTooLong
	}
	if !isUserID(v[fieldUserID]) || !isUserID(v[fieldAnonymousID]) ||
		!isStringOrNull(v[fieldGroupID]) || !isStringOrNull(v[fieldPreviousID]) {
		return IDNotString
	}
	return nil
}

// isUserID takes a number too, because older SDKs send the key of a database row as it is.
func isUserID(v []byte) bool {
	return isStringOrNull(v) || v[0] == '-' || v[0] >= '0' && v[0] <= '9'
}

func isStringOrNull(v []byte) bool { return rawjson.IsNull(v) || rawjson.IsString(v) }

// isPresent reports whether the value is neither absent, null nor an empty string.
func isPresent(v []byte) bool { return !rawjson.IsNull(v) && !(rawjson.IsString(v) && len(v) == 2) }

func mustBeObject(v []byte, otherwise *Problem) *Problem {
	if rawjson.IsNull(v) || rawjson.IsObject(v) {
		return nil
	}
	return otherwise
}
