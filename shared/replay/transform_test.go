package replay

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

func TestAnEditChangesOneFieldAndLeavesTheOtherBytes(t *testing.T) {
	for _, c := range []struct{ edit, event, want string }{
		{`set properties.replayed=true`, `{"a":1.50,"properties":{"b":2}}`, `{"a":1.50,"properties":{"b":2,"replayed":true}}`},
		{`set properties.replayed=true`, `{"a":1}`, `{"a":1,"properties":{"replayed":true}}`},
		{`set properties.replayed=true`, `{}`, `{"properties":{"replayed":true}}`},
		{`set properties.replayed=true`, `{ }`, `{ "properties":{"replayed":true}}`},
		{`set properties.replayed=true`, `{"properties":null,"z":1}`, `{"properties":{"replayed":true},"z":1}`},
		{`set properties.replayed=true`, `{"properties":{"replayed": false ,"x":1}}`, `{"properties":{"replayed": true ,"x":1}}`},
		{`set a=1`, `{"a":2,"b":3,"a":4}`, `{"a":1,"b":3,"a":1}`},
		{`set a=1`, `{"\u0061":2}`, `{"\u0061":1}`},
		{`set a={"b":[1, 2]}`, `{}`, `{"a":{"b":[1, 2]}}`},
		{`set userId=007`, `{"userId":"x"}`, `{"userId":"007"}`},
		{`set event="Run Started"`, `{"event":"x"}`, `{"event":"Run Started"}`},
		{`set event=Run Started`, `{"event":"x"}`, `{"event":"Run Started"}`},
		{`set event=`, `{"event":"x"}`, `{"event":""}`},
		{`set properties."a.b".c = null`, `{"properties":{"a.b":{"c":1}}}`, `{"properties":{"a.b":{"c":null}}}`},
		{`set "say \"x\""=1`, `{}`, `{"say \"x\"":1}`},
		{`remove context.ip`, `{"context":{"ip":"1","b":2}}`, `{"context":{"b":2}}`},
		{`remove context.ip`, `{"context":{"b":2,"ip":"1"}}`, `{"context":{"b":2}}`},
		{`remove context.ip`, `{"context":{"ip":"1"}}`, `{"context":{}}`},
		{`remove context.ip`, `{"context": { "ip":"1", "ip":"2" , "c":3 } }`, `{"context":{ "c":3 } }`},
		{`remove context.ip`, `{"context":"none"}`, `{"context":"none"}`},
		{`remove context.ip`, `{"a":1}`, `{"a":1}`},
		{`remove a`, `{"a":1}`, `{}`},
	} {
		e, err := ParseEdit(c.edit)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Append([]byte("x"), []byte(c.event))
		if err != nil || compact(string(got[1:])) != compact(c.want) || !rawjson.Valid(got[1:]) {
			t.Errorf("%s makes of %s\n%s, %v; want\n%s", c.edit, c.event, got[1:], err, c.want)
		}
	}
}

// compact drops the spaces that no test is about.
func compact(text string) string { return strings.ReplaceAll(text, " ", "") }

func TestAnEditIsRefusedThatCanNotBeMade(t *testing.T) {
	for _, text := range []string{"", "set", "set a", "set =1", "remove", "remove a=1", "set a..b=1", `set "a=1`, "drop a",
		"set a b=1", "remove a b", "set .a=1", "set a.=1", "set a=\xff", "set messageId=x", `remove "messageId"`} {
		if e, err := ParseEdit(text); err == nil {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
	e, err := ParseEdit("set properties.a.b=1")
	if err != nil {
		t.Fatal(err)
	}
	for event, want := range map[string]string{`{"properties":[1]}`: "properties is not an object",
		`{"properties":{"a":7}}`: "a is not an object"} {
		if got, err := e.Append(nil, []byte(event)); err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%s becomes %s, %v", event, got, err)
		}
	}
}

// FuzzEdit: what an edit makes of an object is JSON, has the value at its place, and has every
// other field as it was.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"b":1,"b":2},"c":[1]}`, `{"a":null}`, `{ "a" : { } , "d":"\u0061" }`, `{"b":1,"a":{"c":{}}}`} {
		f.Add([]byte(seed), "set a.b=true")
		f.Add([]byte(seed), "remove a.b")
		f.Add([]byte(seed), "remove a")
	}
	f.Fuzz(func(t *testing.T, object []byte, text string) {
		e, err := ParseEdit(text)
		var before map[string]any
		if err != nil || json.Unmarshal(object, &before) != nil || before == nil || len(e.path) > 2 {
			return
		}
		original := bytes.Clone(object)
		out, err := e.Append(nil, object)
		if !bytes.Equal(object, original) {
			t.Fatal("the event was changed in place")
		}
		if err != nil {
			return
		}
		var after map[string]any
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%s makes of %s\n%s: %v", text, object, out, err)
		}
		want := before
		for i, key := range e.path {
			last := i == len(e.path)-1
			if last && e.value == nil {
				delete(want, key)
			} else if last {
				var v any
				if json.Unmarshal(e.value, &v) != nil {
					return
				}
				want[key] = v
			} else {
				next, ok := want[key].(map[string]any)
				if !ok && e.value == nil {
					break
				}
				if !ok {
					next = map[string]any{}
					want[key] = next
				}
				want = next
			}
		}
		if !reflect.DeepEqual(after, before) {
			t.Fatalf("%s makes of %s\n%s", text, object, out)
		}
	})
}
