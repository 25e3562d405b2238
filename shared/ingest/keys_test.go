package ingest

import (
	"math"
	"strings"
	"testing"
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

func keySet(t testing.TB, keys map[string]Key) *Keys {
	t.Helper()
	k, err := NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
