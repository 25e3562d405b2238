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

// Problems with Segment's own codes, of its table of discards ("Failed on ingest" in its
// documentation of Delivery Overview): Segment answers 200 to such an event and drops it, so it must
// be found before the event is sent.
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
		"userId, anonymousId, groupId and previousId must be strings or numbers"}
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
	// InvalidWriteKey is the problem of a request or a message, and so of all its events.
	InvalidWriteKey = &Problem{"invalid_write_key", "the write key must be " + WriteKeyRule}
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
	// There are never fewer bytes than characters, so only a long id is counted.
	if id := v[fieldMessageID]; rawjson.IsString(id) && len(id)-2 > MaxMessageIDBytes &&
		utf8.RuneCount(rawjson.Unquote(nil, id)) > MaxMessageIDBytes {
		return MessageIDTooLong
	}
	return v.validateType(SharedContext{})
}

// validateType applies the rules of the event's type, which look only at the fields that the type
// uses. shared is the context of the event's batch.
func (v *values) validateType(shared SharedContext) *Problem {
	if !rawjson.IsString(v[fieldType]) {
		return TypeUnknown
	}
	switch string(rawjson.Unquote(nil, v[fieldType])) {
	case "track":
		return v.validateTrack(shared)
	case "page", "screen":
		return v.validatePage()
	case "identify":
		if p := v.validateUser(); p != nil {
			return p
		}
		return mustBeObject(v[fieldTraits], TraitsNotObject)
	case "group":
		switch {
		case !isID(v[fieldGroupID]):
			return IDNotString
		case !isPresent(v[fieldGroupID]):
			return IDRequired
		}
		if p := v.validateUser(); p != nil {
			return p
		}
		return mustBeObject(v[fieldTraits], TraitsNotObject)
	case "alias":
		switch {
		case !isID(v[fieldUserID]) || !isID(v[fieldPreviousID]):
			return IDNotString
		case !isPresent(v[fieldUserID]) || !isPresent(v[fieldPreviousID]):
			return IDRequired
		}
		return nil
	}
	return TypeUnknown
}

// validateUser requires a userId or an anonymousId.
func (v *values) validateUser() *Problem {
	switch {
	case !isID(v[fieldUserID]) || !isID(v[fieldAnonymousID]):
		return IDNotString
	case !isPresent(v[fieldUserID]) && !isPresent(v[fieldAnonymousID]):
		return NoUserOrAnonymousID
	}
	return nil
}

func (v *values) validateTrack(shared SharedContext) *Problem {
	if p := v.validateUser(); p != nil {
		return p
	}
	switch name := v[fieldEvent]; {
	case !isPresent(name):
		return EventNotDefined
	case !rawjson.IsString(name):
		return EventNotString
	}
	if p := mustBeObject(v[fieldProperties], PropertiesNotObject); p != nil {
		return p
	}
	if isConsentEvent(rawjson.Unquote(nil, v[fieldEvent])) {
		return v.validateConsent(shared)
	}
	return nil
}

func (v *values) validatePage() *Problem {
	if p := v.validateUser(); p != nil {
		return p
	}
	switch {
	case !isStringOrNull(v[fieldName]):
		return NameNotString
	case !isStringOrNull(v[fieldCategory]):
		return CategoryNotString
	}
	return mustBeObject(v[fieldProperties], PropertiesNotObject)
}

// emptyNames are those of name and category that are empty, if the event is a page or a screen.
func (v *values) emptyNames() (empty Omitted) {
	if isEmptyString(v[fieldName]) {
		empty |= OmittedName
	}
	if isEmptyString(v[fieldCategory]) {
		empty |= OmittedCategory
	}
	if empty == 0 || !rawjson.IsString(v[fieldType]) {
		return 0
	}
	if kind := string(rawjson.Unquote(nil, v[fieldType])); kind != "page" && kind != "screen" {
		return 0
	}
	return empty
}

// isID takes numbers too: the official SDKs' validators let them through, because an id is often
// the key of a database row. Segment makes strings of them.
func isID(v []byte) bool {
	return isStringOrNull(v) || v[0] == '-' || v[0] >= '0' && v[0] <= '9'
}

func isStringOrNull(v []byte) bool { return rawjson.IsNull(v) || rawjson.IsString(v) }

// isPresent reports whether the value is neither absent, null nor an empty string.
func isPresent(v []byte) bool { return !rawjson.IsNull(v) && !isEmptyString(v) }

func isEmptyString(v []byte) bool { return len(v) == 2 && v[0] == '"' }

func mustBeObject(v []byte, otherwise *Problem) *Problem {
	if rawjson.IsNull(v) || rawjson.IsObject(v) {
		return nil
	}
	return otherwise
}
