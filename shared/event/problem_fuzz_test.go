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
		`{"\u0074ype":"\u0073creen","userId":1e999}`, `{"type":"track","userId":"u","event":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		e, err := scan(document)
		if err != nil || e.Problem == NotAnObject || len(document) > 8000 {
			return // FuzzAppendIdentified looks at those
		}
		if want := reference(t, e.Raw); e.Problem != want {
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
	for _, key := range []string{"userId", "anonymousId"} {
		if _, number := m[key].(json.Number); !number && !isString(key) {
			return IDNotString
		}
	}
	if !isString("groupId") || !isString("previousId") {
		return IDNotString
	}
	anyone := filled("userId") || filled("anonymousId")
	rules := map[any][]struct {
		ok      bool
		problem *Problem
	}{
		"track": {{anyone, NoUserOrAnonymousID}, {filled("event"), EventNotDefined}, {isString("event"), EventNotString},
			{isObject("properties"), PropertiesNotObject}},
		"page": {{anyone, NoUserOrAnonymousID}, {isString("name"), NameNotString},
			{isString("category"), CategoryNotString}, {isObject("properties"), PropertiesNotObject}},
		"identify": {{anyone, NoUserOrAnonymousID}, {isObject("traits"), TraitsNotObject}},
		"group":    {{filled("groupId"), IDRequired}, {anyone, NoUserOrAnonymousID}, {isObject("traits"), TraitsNotObject}},
		"alias":    {{filled("userId") && filled("previousId"), IDRequired}, {isString("userId"), IDNotString}},
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
	return nil
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
