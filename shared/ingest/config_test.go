package ingest

import (
	"encoding/json"
	"math"
	"net/http/httptest"
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

func TestSettingsLeadSDKsToTheirOwnHost(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*Config)
		headers        []string
		host, protocol string
	}{
		"the request's": {nil, nil, "door.example:8080", "http"},
		"what proxies say, untrusted": {nil, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil"},
			"door.example:8080", "http"},
		"what proxies say, trusted": {func(c *Config) { c.TrustForwardedProto = true },
			[]string{"X-Forwarded-Proto", "https"}, "door.example:8080", "https"},
		"nonsense of proxies": {func(c *Config) { c.TrustForwardedProto = true }, []string{"X-Forwarded-Proto", `x"`},
			"door.example:8080", "http"},
		"configured": {func(c *Config) { c.PublicURL = "https://events.example.com/" }, nil,
			"events.example.com", "https"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.change)
			for _, path := range []string{"/v1/projects/WK/settings", "/projects/WK/settings", "/v1/projects/WK/settings/"} {
				w := r.do("GET", "http://door.example:8080"+path, "", c.headers...)
				var s struct {
					Integrations map[string]struct{ APIKey, APIHost, Protocol string }
					Plan         map[string]any
				}
				if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 200 {
					t.Fatalf("%d %s: %v", w.Code, w.Body, err)
				}
				got := s.Integrations["Segment.io"]
				want(t, "destination", []string{got.APIKey, got.APIHost, got.Protocol}, []string{"WK", c.host + "/v1", c.protocol})
				want(t, "plan", len(s.Plan), 3)
			}
		})
	}
	r := newRig(t, func(c *Config) { c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}}) })
	want(t, "status for an unknown key", r.do("GET", "/v1/projects/WK/settings", "").Code, 404)
	want(t, "status for a known key", r.do("GET", "/v1/projects/"+keyA+"/settings", "").Code, 200)
}

func TestTheClientsAddressIsTheOneThatCanBeTrusted(t *testing.T) {
	for _, c := range []struct {
		proxies           int
		remote, forwarded string
		want              string
	}{
		{0, "203.0.113.7:1234", "1.1.1.1", "203.0.113.7"},
		{0, "[2001:db8::1]:1", "", "2001:db8::1"},
		{0, "[::ffff:203.0.113.7]:1", "", "203.0.113.7"},
		{0, "203.0.113.7", "", "203.0.113.7"},
		{0, "@", "", "invalid IP"},
		{1, "10.0.0.1:1", "1.1.1.1, 203.0.113.7", "203.0.113.7"},
		{1, "10.0.0.1:1", "203.0.113.7", "203.0.113.7"},
		{1, "10.0.0.1:1", "", "invalid IP"},
		{1, "10.0.0.1:1", "203.0.113.7:4711", "203.0.113.7"},
		{1, "10.0.0.1:1", "[2001:db8::1]", "2001:db8::1"},
		{1, "10.0.0.1:1", "fe80::1%eth0", "fe80::1"},
		{1, "10.0.0.1:1", `"; drop`, "invalid IP"},
		{2, "10.0.0.1:1", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"},
		{2, "10.0.0.1:1", "203.0.113.7", "invalid IP"}, // came by another way
		{3, "10.0.0.1:1", "203.0.113.7,10.0.0.3 , 10.0.0.2", "203.0.113.7"},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = c.remote
		for _, line := range strings.SplitAfterN(c.forwarded, ", ", 2) { // on two lines, as it may be
			r.Header.Add("X-Forwarded-For", strings.TrimSuffix(line, ", "))
		}
		from := PeerAddr
		if c.proxies > 0 {
			from = ForwardedAddr(c.proxies)
		}
		if got := from(r).String(); got != c.want {
			t.Errorf("%d proxies, from %s, forwarded for %q: %s, want %s", c.proxies, c.remote, c.forwarded, got, c.want)
		}
	}
}
