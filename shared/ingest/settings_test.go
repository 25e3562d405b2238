package ingest

import (
	"encoding/json"
	"testing"
)

func TestSettingsNameTheHostThatTheSDKUses(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*Config)
		headers        []string
		host, protocol string
	}{
		"the request's": {nil, nil, "ingest.example:8080", "http"},
		"what proxies say, untrusted": {nil, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil"},
			"ingest.example:8080", "http"},
		"what proxies say, trusted": {func(c *Config) { c.TrustForwardedProto = true },
			[]string{"X-Forwarded-Proto", "https"}, "ingest.example:8080", "https"},
		"nonsense of proxies": {func(c *Config) { c.TrustForwardedProto = true }, []string{"X-Forwarded-Proto", `x"`},
			"ingest.example:8080", "http"},
		"configured": {func(c *Config) { c.PublicURL = "https://events.example.com/" }, nil,
			"events.example.com", "https"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.change)
			for _, path := range []string{"/v1/projects/WK/settings", "/projects/WK/settings", "/v1/projects/WK/settings/"} {
				w := r.do("GET", "http://ingest.example:8080"+path, "", c.headers...)
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

func TestSettingsLeaveConsentToTheSource(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(settingsBody("k", "https", "h"), &s); err != nil {
		t.Fatal(err)
	}
	if c, ok := s["consentSettings"]; ok {
		t.Errorf("consentSettings is %v: Segment's consent tools fail unless it is missing or has categories", c)
	}
}

func TestSettingsVaryByOriginEvenWithoutOne(t *testing.T) {
	r := newRig(t, nil)
	want(t, "vary", r.do("GET", "/v1/projects/k/settings", "").Header().Get("Vary"), "Origin")
}
