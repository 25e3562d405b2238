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
