package event

import "github.com/spillwayhq/spillway/shared/rawjson"

// Problems of a "Segment Consent Preference" event, with Segment's own codes (one of which Segment
// misspells).
var (
	ConsentMissing = &Problem{"consent_categoryprefences_should_exist",
		"a Segment Consent Preference event needs context.consent.categoryPreferences"}
	ConsentNotObject = &Problem{"consent_categorypreferences_should_be_object",
		"context.consent.categoryPreferences of a Segment Consent Preference event must be an object"}
	ConsentNotBool = &Problem{"consent_categorypreferences_fields_should_be_bool",
		"each value in context.consent.categoryPreferences of a Segment Consent Preference event must be true or false"}
	AdvertisingIDNotString = &Problem{"device_advertisingid_should_be_string",
		"context.device.advertisingId of a Segment Consent Preference event must be a string"}
	ConsentWithoutAnonymousID = &Problem{"consent_needs_anonymous_id_set",
		"a Segment Consent Preference event needs an anonymousId"}
	AnonymousIDInvalid = &Problem{"anonymous_id_invalid",
		"the anonymousId of a Segment Consent Preference event must be a string"}
)

// isConsentProblem reports whether a batch's context may solve the problem, or have caused it.
func isConsentProblem(p *Problem) bool {
	switch p {
	case ConsentMissing, ConsentNotObject, ConsentNotBool, AdvertisingIDNotString, ConsentWithoutAnonymousID,
		AnonymousIDInvalid:
		return true
	}
	return false
}

// isConsentEvent knows both forms of the reserved name: Segment has renamed the event.
func isConsentEvent(name []byte) bool {
	return string(name) == "Segment Consent Preference" || string(name) == "Segment Consent Preference Updated"
}

// validateConsent applies the rules for a consent event. shared is the context of its batch, which
// Segment merges into the event's own: a field of the event's own wins.
func (v *values) validateConsent(shared SharedContext) *Problem {
	context := v[fieldContext]
	consent, device := member(context, "consent"), member(context, "device")
	if inherits := rawjson.IsNull(context) || rawjson.IsObject(context); inherits {
		if rawjson.IsNull(consent) {
			consent = shared.consent
		}
		if rawjson.IsNull(device) {
			device = shared.device
		}
	}
	preferences := member(consent, "categoryPreferences")
	switch {
	case rawjson.IsNull(preferences):
		return ConsentMissing
	case !rawjson.IsObject(preferences):
		return ConsentNotObject
	case !allBool(preferences):
		return ConsentNotBool
	case !isStringOrNull(member(device, "advertisingId")):
		return AdvertisingIDNotString
	case !isPresent(v[fieldAnonymousID]):
		return ConsentWithoutAnonymousID
	case !rawjson.IsString(v[fieldAnonymousID]):
		return AnonymousIDInvalid
	}
	return nil
}

// member returns the last value of a field of an object, nil if there is none or value is none.
func member(value []byte, name string) (of []byte) {
	eachMember(value, func(key, v []byte) {
		if string(key) == name {
			of = v
		}
	})
	return of
}

// allBool reports whether every value in an object is true or false. Of duplicates each one counts.
func allBool(object []byte) bool {
	all := true
	eachMember(object, func(_, v []byte) { all = all && (v[0] == 't' || v[0] == 'f') })
	return all
}

// eachMember calls f for every field of a valid object; other values have none.
func eachMember(value []byte, f func(key, v []byte)) {
	if !rawjson.IsObject(value) {
		return
	}
	var s rawjson.Scanner
	s.Reset(value)
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			return
		}
		f(key, s.Value())
	}
}

// Inherit applies the rules that look at an event's context again, with the context of its batch,
// which Segment merges into the event's own. pathType is the type that the request's path names;
// empty: the event's own counts.
func (e *Event) Inherit(shared SharedContext, pathType string) {
	if shared.consent == nil && shared.device == nil || e.Problem != nil && !isConsentProblem(e.Problem) {
		return
	}
	var s rawjson.Scanner
	var own Event
	var v values
	s.Reset(e.Raw)
	_ = own.scan(&s, e.Raw, pathType, &v, nil) // was valid before
	if own.Problem == nil || isConsentProblem(own.Problem) {
		e.Problem = v.validateType(shared)
	}
}
