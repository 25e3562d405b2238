package ingest

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
)

func TestInvalidKeysAreNamedInTheError(t *testing.T) {
	for name, c := range map[string]struct {
		keys map[string]Key
		text string
	}{
		"no name":        {map[string]Key{keyA: {}}, "no name"},
		"the same name":  {map[string]Key{keyA: {Name: "web"}, keyB: {Name: "web"}}, `named "web"`},
		"a space":        {map[string]Key{"a b": {Name: "web"}}, `named "web" must be 1 to`},
		"empty":          {map[string]Key{"": {Name: "web"}}, `named "web" must be 1 to`},
		"negative quota": {map[string]Key{keyA: {Name: "web", Quota: -1}}, `named "web" must be finite`},
		"quota of NaN":   {map[string]Key{keyA: {Name: "web", Quota: math.NaN()}}, `named "web" must be finite`},
		"infinite burst": {map[string]Key{keyA: {Name: "web", Burst: math.Inf(1)}}, `named "web" must be finite`},
	} {
		_, err := NewKeys(c.keys)
		if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), marker) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASetFindsOnlyItsOwnKeys(t *testing.T) {
	k := keySet(t, map[string]Key{keyA: {Name: "web"}})
	if key, ok := k.Lookup(keyA); !ok || key.Name != "web" {
		t.Error("a key of the set is not found")
	}
	if _, ok := k.Lookup(keyB); ok {
		t.Error("an unknown key is found")
	}
	if _, ok := keySet(t, nil).Lookup(keyA); ok {
		t.Error("a key is found in an empty set")
	}
	if _, ok := new(Keys).Lookup(keyA); ok {
		t.Error("a key is found in the zero value")
	}
}

// changingKeys is a KeySet that a test replaces.
type changingKeys struct{ KeySet }

func TestOneKeyCanBeAddedToAnyKeySet(t *testing.T) {
	set := &changingKeys{keySet(t, map[string]Key{keyA: {Name: "web", Quota: 1}, keyB: {Name: "off", Disabled: true}})}
	both, err := WithKey(set, keyB, Key{Name: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.Keys = both })
	for range 3 {
		status, _ := r.understood(r.do("POST", "/v1/track", track("c"), "Authorization", "Bearer "+keyB))
		want(t, "status of the added key", status, 200)
	}
	status, _ := r.post("/v1/track", track("e"))
	want(t, "status of a key of the set", status, 200)
	status, code := r.understood(r.do("POST", "/v1/track", track("x"), "Authorization", "Bearer neither"))
	want(t, "answer to any other", []any{status, code}, []any{400, "invalid_write_key"})
	set.KeySet = keySet(t, map[string]Key{"new": {Name: "new"}})
	if key, ok := both.Lookup("new"); !ok || key.Name != "new" {
		t.Error("a change of the set is not seen")
	}
	if _, err := WithKey(set, "a b", Key{Name: "canary"}); err == nil ||
		!strings.Contains(err.Error(), `named "canary" must be 1 to`) {
		t.Errorf("an invalid key: %v", err)
	}
}

// stateOf is a set in a state that a test chooses.
type stateOf struct {
	KeySet
	state KeysState
}

func (s *stateOf) State() KeysState { return s.state }

func TestWhileTheSetIsUnreadEveryKeyIsAnswered429(t *testing.T) {
	set := &stateOf{new(Keys), KeysUnread}
	both, err := WithKey(set, keyB, Key{Name: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.Keys = both })
	for _, key := range []string{keyA, keyB, "anything"} { // keyB: the canary must tell that nothing is accepted
		w := r.do("POST", "/v1/track", track("e"), "Authorization", "Bearer "+key)
		status, code := r.understood(w)
		want(t, "answer to "+key, []any{status, code}, []any{429, "write_keys_unread"})
		want(t, "Retry-After is there", w.Header().Get("Retry-After") != "", true)
	}
	status, code := r.understood(r.do("POST", "/v1/track", track("e"), "Authorization", "Bearer not a key"))
	want(t, "answer to what can't be a key", []any{status, code}, []any{400, "invalid_write_key"})
	want(t, "calls to the queue", r.queue.calls, 0)

	status, code = r.understood(r.do("GET", "/health", ""))
	want(t, "health", []any{status, code}, []any{503, "write_keys_unread"})
	w := r.do("GET", "/v1/projects/"+keyA+"/settings", "") // else the browser SDK would not start, and retry nothing
	want(t, "settings", []any{w.Code, w.Header().Get("Cache-Control")}, []any{200, "no-store"})

	set.KeySet, set.state = keySet(t, map[string]Key{keyA: {Name: "web"}}), KeysCurrent
	status, _ = r.post("/v1/track", track("e"))
	want(t, "status of a key when the set has been read", status, 200)
	status, code = r.understood(r.do("POST", "/v1/track", track("e"), "Authorization", "Bearer anything"))
	want(t, "answer to another key then", []any{status, code}, []any{400, "invalid_write_key"})
	want(t, "health then", r.do("GET", "/health", "").Body.String(), `{"success":true}`)
	want(t, "settings then", r.do("GET", "/v1/projects/"+keyA+"/settings", "").Header().Get("Cache-Control"),
		"private, max-age=300")
}

// One document of several is unread: a key of the others is known, and any other may be in it.
func TestAKnownKeyIsAcceptedWhileAPartOfTheSetIsUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := keySet(t, map[string]Key{keyA: {Name: "web", Quota: 1, Burst: 1}, keyB: {Name: "off", Disabled: true}})
		r := newRig(t, func(c *Config) { c.Keys = &stateOf{keys, KeysUnread} })
		for _, c := range []struct {
			key    string
			status int
			code   string
		}{{keyA, 200, ""}, {keyA, 429, "quota_exceeded"}, {keyB, 400, "source_disabled"}, {"other", 429, "write_keys_unread"}} {
			status, code := r.understood(r.do("POST", "/v1/track", track("e"), "Authorization", "Bearer "+c.key))
			want(t, "answer to "+c.key, []any{status, code}, []any{c.status, c.code})
		}
		// A proxy's credentials come first, and the body names a key that may be in the unread part.
		w := r.do("POST", "/v1/track", strings.Replace(track("e"), "{", `{"writeKey":"`+keyB+`",`, 1),
			"Authorization", "Bearer other")
		status, code := r.understood(w)
		want(t, "answer to a disabled key and one that may be good", []any{status, code}, []any{429, "write_keys_unread"})
		want(t, "health", r.do("GET", "/health", "").Code, 503)
	})
}

func TestAnOldSetIsUsedAndHealthWarns(t *testing.T) {
	keys := keySet(t, map[string]Key{keyA: {Name: "web"}})
	r := newRig(t, func(c *Config) { c.Keys = &stateOf{keys, KeysOld} })
	status, _ := r.post("/v1/track", track("e"))
	want(t, "status of a key", status, 200)
	status, code := r.understood(r.do("POST", "/v1/track", track("e"), "Authorization", "Bearer anything"))
	want(t, "answer to another key", []any{status, code}, []any{400, "invalid_write_key"})
	w := r.do("GET", "/health", "")
	want(t, "health", []any{w.Code, w.Body.String()}, []any{200, `{"success":true,"warning":"write_keys_old"}`})
}

func keySet(t testing.TB, keys map[string]Key) *Keys {
	t.Helper()
	k, err := NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
