package segmentd

import "strings"

// Codes of events that Segment rejects after its 200. The first group is Segment's own (its
// table of discards, in its documentation of Delivery Overview); the second is ours, for what Segment drops without a published
// code.
const (
	codeEmptyBatch          = "empty_batch"
	codeNoUserAnonID        = "no_user_anon_id"
	codeEventNotDefined     = "event_not_defined"
	codeEventNotString      = "event_not_string"
	codePropertiesNotObject = "properties_not_object"
	codeTraitsNotObject     = "traits_not_object"
	codeNameNotString       = "name_not_string"
	codeCategoryNotString   = "category_not_string"
	codeIDRequired          = "id_required"
	codeIDNotString         = "id_not_string"

	codeConsentMissing        = "consent_categoryprefences_should_exist" // Segment's spelling
	codeConsentNotObject      = "consent_categorypreferences_should_be_object"
	codeConsentNotBool        = "consent_categorypreferences_fields_should_be_bool"
	codeAdvertisingIDNoString = "device_advertisingid_should_be_string"
	codeConsentNeedsID        = "consent_needs_anonymous_id_set"
	codeAnonymousIDInvalid    = "anonymous_id_invalid"

	codeTooManyEvents   = "too_many_events"   // a batch of more than 2,500: every event of it
	codeNotObject       = "event_not_object"  // an element of the batch that is not an object
	codeTypeNotKnown    = "type_not_known"    // not one of the six types
	codeNoWriteKey      = "no_write_key"      // not in the header and not in the body
	codeUnknownWriteKey = "unknown_write_key" // not in Options.WriteKeys, or no write key of any source
)

// maxWriteKeyBytes is far more than the 32 characters of a write key.
const maxWriteKeyBytes = 128

// canBeWriteKey reports whether a source may have the key: a line break from a file, quotes, and
// whatever HTTP or JSON would have to escape are in no write key.
func canBeWriteKey(key string) bool {
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"\:<>`, c) >= 0 {
			return false
		}
	}
	return key != "" && len(key) <= maxWriteKeyBytes
}

// fields are the values of an event that the rules read.
type fields struct {
	typ, event, name, category  value
	userID, anonymousID         value
	groupID, previousID         value
	properties, traits          value
	messageID, writeKey, sentAt value
	context                     value
}

func (f *fields) set(key string, v value) {
	switch key {
	case "type":
		f.typ = v
	case "event":
		f.event = v
	case "name":
		f.name = v
	case "category":
		f.category = v
	case "userId":
		f.userID = v
	case "anonymousId":
		f.anonymousID = v
	case "groupId":
		f.groupID = v
	case "previousId":
		f.previousID = v
	case "properties":
		f.properties = v
	case "traits":
		f.traits = v
	case "messageId":
		f.messageID = v
	case "writeKey":
		f.writeKey = v
	case "sentAt":
		f.sentAt = v
	case "context":
		f.context = v
	}
}

// check returns the code of the first rule that an event of that type breaks, or "". It looks only at
// the fields that the type uses.
func (f *fields) check(typ string) string {
	switch typ {
	case "track":
		return first(f.user(), f.eventName(), notObject(f.properties, codePropertiesNotObject))
	case "identify":
		return first(f.user(), notObject(f.traits, codeTraitsNotObject))
	case "page", "screen":
		return first(f.user(), notFilledString(f.name, codeNameNotString),
			notFilledString(f.category, codeCategoryNotString), notObject(f.properties, codePropertiesNotObject))
	case "group":
		return first(requiredIDs(f.groupID), f.user(), notObject(f.traits, codeTraitsNotObject))
	case "alias":
		return first(requiredIDs(f.userID, f.previousID))
	}
	return codeTypeNotKnown
}

// isConsent reports whether an event of that type without other flaws is one that changes a user's
// consent, whose name is reserved.
func (f *fields) isConsent(typ string) bool {
	name := f.event.text()
	return typ == "track" && (name == "Segment Consent Preference" || name == "Segment Consent Preference Updated")
}

// checkConsent is check for what such an event needs besides. Its context is merged with the
// batch's, as Received.Merged does.
func (f *fields) checkConsent(batchContext string) string {
	context := f.context
	switch {
	case batchContext == "":
	case context.null():
		context = value(batchContext)
	case context.isObject():
		context = value(join(union(present(members(string(context))), members(batchContext))))
	}
	preferences := context.member("consent").member("categoryPreferences")
	switch {
	case preferences.null():
		return codeConsentMissing
	case !preferences.isObject():
		return codeConsentNotObject
	}
	s := scanner{in: string(preferences)}
	code := ""
	s.object(func(string) bool {
		v, ok := scanValue(&s)
		if v != "true" && v != "false" {
			code = codeConsentNotBool
		}
		return ok
	})
	advertisingID := context.member("device").member("advertisingId")
	switch {
	case code != "":
		return code
	case !advertisingID.null() && !advertisingID.isString():
		return codeAdvertisingIDNoString
	case f.anonymousID.isEmpty():
		return codeConsentNeedsID
	case !f.anonymousID.isString():
		return codeAnonymousIDInvalid
	}
	return ""
}

// user requires a userId or an anonymousId, and that both are ids.
func (f *fields) user() string {
	switch {
	case !f.userID.isID() || !f.anonymousID.isID():
		return codeIDNotString
	case f.userID.isEmpty() && f.anonymousID.isEmpty():
		return codeNoUserAnonID
	}
	return ""
}

func (f *fields) eventName() string {
	switch {
	case f.event.isEmpty():
		return codeEventNotDefined
	case !f.event.isString():
		return codeEventNotString
	}
	return ""
}

func requiredIDs(ids ...value) string {
	for _, id := range ids {
		if !id.isID() {
			return codeIDNotString
		}
	}
	for _, id := range ids {
		if id.isEmpty() {
			return codeIDRequired
		}
	}
	return ""
}

func notObject(v value, code string) string {
	if v.null() || v.isObject() {
		return ""
	}
	return code
}

// notFilledString accepts no empty string either, as Segment documents it. Segment's own SDK for
// Kotlin sends an empty category with each screen that has none, so Segment may be less strict.
func notFilledString(v value, code string) string {
	if v.null() || v.isString() && !v.isEmpty() {
		return ""
	}
	return code
}

// first returns the first string that is not empty.
func first(of ...string) string {
	for _, s := range of {
		if s != "" {
			return s
		}
	}
	return ""
}
