package event

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzProblem compares the rules with the same ones, written for what encoding/json decodes.
func FuzzProblem(f *testing.F) {
	for _, seed := range []string{
		`{"type":"track","userId":"u","event":"e","properties":{}}`,
		`{"type":"page","anonymousId":"a","name":"n","category":null}`,
		`{"type":"group","userId":1,"groupId":"g","traits":[]}`,
		`{"type":"alias","userId":"u","previousId":""}`, `{"type":"identify","userId":null,"userId":"u","traits":{}}`,
		`{"type":"track","event":"Segment Consent Preference","anonymousId":"a","context":{"consent":{"categoryPreferences":{"a":true}},"device":{"advertisingId":""}}}`,
		`{"type":"track","event":"Segment Consent Preference Updated","anonymousId":7,"context":{"consent":{"categoryPreferences":{"a":1}}}}`,
		`{"\u0074ype":"\u0073creen","userId":1e999}`, `{"type":"track","userId":"u","event":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		e, err := scan(document)
		if err != nil || e.Problem == NotAnObject || len(document) > 8000 {
			return // FuzzAppendIdentified looks at those
		}
		want := reference(t, e.Raw)
		if e.Problem == ConsentNotBool && isConsentProblem(want) || e.Problem == ConsentNotBool && want == nil {
			return // of duplicate categories each one counts, which is lost in the reference's map
		}
		if e.Problem != want {
			t.Fatalf("%q: problem %v, want %v", e.Raw, e.Problem, want)
		}
	})
}

// reference is the slow and plain form of the rules.
func reference(t *testing.T, raw []byte) *Problem {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // not every number is a float64
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	if !utf8.Valid(raw) {
		return NotUTF8
	}
	if depth(raw) > MaxDepth {
		return TooDeep
	}
	if id, ok := m["messageId"].(string); ok && utf8.RuneCountInString(id) > 99 {
		return MessageIDTooLong
	}
	filled := func(key string) bool { return m[key] != nil && m[key] != "" }
	isString := func(key string) bool { _, ok := m[key].(string); return ok || m[key] == nil }
	isObject := func(key string) bool { _, ok := m[key].(map[string]any); return ok || m[key] == nil }
	isID := func(key string) bool { _, number := m[key].(json.Number); return number || isString(key) }
	anyone := filled("userId") || filled("anonymousId")
	type rule struct {
		ok      bool
		problem *Problem
	}
	user := []rule{{isID("userId") && isID("anonymousId"), IDNotString}, {anyone, NoUserOrAnonymousID}}
	properties := rule{isObject("properties"), PropertiesNotObject}
	traits := rule{isObject("traits"), TraitsNotObject}
	rules := map[any][]rule{
		"track": append(user[:2:2], rule{filled("event"), EventNotDefined}, rule{isString("event"), EventNotString},
			properties),
		"page": append(user[:2:2], rule{isString("name"), NameNotString}, rule{isString("category"), CategoryNotString},
			properties),
		"identify": append(user[:2:2], traits),
		"group": append([]rule{{isID("groupId"), IDNotString}, {filled("groupId"), IDRequired}},
			append(user[:2:2], traits)...),
		"alias": {{isID("userId") && isID("previousId"), IDNotString},
			{filled("userId") && filled("previousId"), IDRequired}},
	}
	rules["screen"] = rules["page"]
	kind, _ := m["type"].(string)
	if rules[kind] == nil {
		return TypeUnknown
	}
	for _, r := range rules[kind] {
		if !r.ok {
			return r.problem
		}
	}
	if name, _ := m["event"].(string); kind == "track" &&
		(name == "Segment Consent Preference" || name == "Segment Consent Preference Updated") {
		return referenceConsent(m)
	}
	return nil
}

func referenceConsent(event map[string]any) *Problem {
	inner := func(v any, key string) any { m, _ := v.(map[string]any); return m[key] }
	preferences := inner(inner(event["context"], "consent"), "categoryPreferences")
	if preferences == nil {
		return ConsentMissing
	}
	categories, ok := preferences.(map[string]any)
	if !ok {
		return ConsentNotObject
	}
	for _, v := range categories {
		if _, ok := v.(bool); !ok {
			return ConsentNotBool
		}
	}
	if id := inner(inner(event["context"], "device"), "advertisingId"); id != nil {
		if _, ok := id.(string); !ok {
			return AdvertisingIDNotString
		}
	}
	switch id := event["anonymousId"].(type) {
	case nil:
		return ConsentWithoutAnonymousID
	case string:
		if id == "" {
			return ConsentWithoutAnonymousID
		}
		return nil
	}
	return AnonymousIDInvalid
}

// depth counts brackets outside of strings.
func depth(raw []byte) (deepest int) {
	level, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}
