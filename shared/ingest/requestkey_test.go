package ingest

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestTheWriteKeyIsFoundWhereverSDKsSendIt(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	body := `{"batch":[` + track("1") + `]}`
	for name, c := range map[string]struct{ path, auth, body string }{
		"basic":                   {"/v1/batch", "Basic " + encode([]byte(keyA+":")), body},
		"basic with a password":   {"/v1/batch", "basic " + encode([]byte(keyA+":x")), body},
		"basic without the colon": {"/v1/batch", "Basic " + encode([]byte(keyA)), body},
		"basic without padding":   {"/v1/batch", "Basic " + strings.TrimRight(encode([]byte(keyA+":")), "="), body},
		"basic for URLs": {"/v1/batch", "Basic " + base64.URLEncoding.EncodeToString([]byte(keyA+":???>>>")),
			body},
		"basic with a long password": {"/v1/batch", "Basic " + encode([]byte(keyA+":"+strings.Repeat("p", 500))), body},
		"bearer":                     {"/v1/batch", "Bearer " + keyA, body},
		"batch":                      {"/v1/batch", "", `{"batch":[` + track("1") + `],"writeKey":"` + keyA + `"}`},
		"batch, duplicate": {"/v1/batch", "",
			`{"writeKey":"` + keyB + `","batch":[` + track("1") + `],"writeKey":"` + keyA + `"}`},
		"event": {"/v1/track", "", `{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"event, duplicate": {"/v1/track", "",
			`{"writeKey":"` + keyA + `","writeKey":"` + keyA + `",` + track("1")[1:]},
		"Basic before body": {"/v1/batch", "Basic " + encode([]byte(keyA+":")),
			`{"writeKey":"` + keyB + `",` + body[1:]},
		"a proxy's credentials": {"/v1/batch", "Basic " + encode([]byte("user:pass")),
			`{"writeKey":"` + keyA + `",` + body[1:]},
		"a proxy's credentials without a password": {"/v1/track", "Basic " + encode([]byte("user:")),
			`{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"a key in the header, nonsense in the body": {"/v1/batch", "Basic " + encode([]byte(keyA+":")),
			`{"writeKey":"nobody",` + body[1:]},
		"a bearer token, nonsense in the body": {"/v1/batch", "Bearer " + keyA, `{"writeKey":"nobody",` + body[1:]},
		"a disabled key in the header": {"/v1/batch", "Basic " + encode([]byte(keyOff+":")),
			`{"writeKey":"` + keyA + `",` + body[1:]},
		"body before a bearer token":  {"/v1/batch", "Bearer " + keyB, `{"writeKey":"` + keyA + `",` + body[1:]},
		"a header that is no key's":   {"/v1/track", "Digest x", `{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"a header that is not base64": {"/v1/track", "Basic %%%", `{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"both, as the browser does it": {"/v1/t", "Basic " + encode([]byte(keyA+":")),
			`{"writeKey":"` + keyA + `","context":{"ip":"1.1.1.1"},` + track("1")[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}, keyOff: {Name: "off", Disabled: true}})
			})
			var headers []string
			if c.auth != "" {
				headers = []string{"Authorization", c.auth}
			}
			if status, code := r.understood(r.do("POST", c.path, c.body, headers...)); status != 200 {
				t.Fatalf("%d %s", status, code)
			}
			m := sent(t, &r.queue)[0]
			want(t, "write key", m.WriteKey, keyA)
			if bytes.Contains(m.Events[0].Raw, []byte("writeKey")) {
				t.Errorf("the event still has it: %s", m.Events[0].Raw)
			}
		})
	}
}

func TestRequestsWithoutAKnownWriteKeyAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ auth, body, code string }{
		"none":    {"", `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"unknown": {"Bearer nobody", `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"null":    {"", `{"writeKey":null,"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"number":  {"", `{"writeKey":1,"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"empty":   {"", `{"writeKey":"","batch":[` + track("1") + `]}`, "invalid_write_key"},
		"disabled, and unknown in the header": {"Basic bm9ib2R5Og==", `{"writeKey":"` + keyB + `","batch":[` + track("1") + `]}`,
			"source_disabled"},
		"disabled, and unknown in the body": {"Bearer " + keyB, `{"writeKey":"nobody","batch":[` + track("1") + `]}`,
			"source_disabled"},
		"disabled":      {"Bearer " + keyB, `{"batch":[` + track("1") + `]}`, "source_disabled"},
		"much too long": {"Bearer " + strings.Repeat("k", 5000), `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"long in a body": {"", `{"writeKey":"` + strings.Repeat("k", 5000) + `","batch":[` + track("1") + `]}`,
			"invalid_write_key"},
		"long and basic":  {"Basic " + strings.Repeat("aaaa", 5000), `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"quotes and more": {"Bearer \"<x>\\", `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}, keyB: {Name: "b", Disabled: true}})
			})
			status, code := r.understood(r.do("POST", "/v1/batch", c.body, "Authorization", c.auth))
			if status != 400 || code != c.code {
				t.Errorf("%d %s, want 400 %s", status, code, c.code)
			}
			want(t, "calls", r.queue.calls+r.deadLetters.calls, 0)
			want(t, "refused", r.counters.Totals().Refused, map[string]int{c.code: 1})
		})
	}
}

func TestWithoutASetAPasswordSaysThatTheCredentialsAreAProxys(t *testing.T) {
	body := `{"writeKey":"` + keyA + `","batch":[` + track("1") + `]}`
	for auth, key := range map[string]string{"user:pass": keyA, keyB + ":": keyB, keyB: keyB} {
		r := newRig(t, nil)
		r.understood(r.do("POST", "/v1/batch", body, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(auth))))
		want(t, "write key beside "+auth, sent(t, &r.queue)[0].WriteKey, key)
	}
}

func TestTheLongestWriteKeyIsAcceptedWithAnyPassword(t *testing.T) {
	for length := range event.MaxWriteKeyBytes + 4 {
		for _, password := range []string{"", ":", ":p", ":" + strings.Repeat("p", 1000)} {
			key := strings.Repeat("k", length)
			got, _, ok := headerKey("Basic " + base64.StdEncoding.EncodeToString([]byte(key+password)))
			if fits := length > 0 && length <= event.MaxWriteKeyBytes; ok != fits || ok && got != key {
				t.Errorf("a key of %d and a password of %d: %q, %v", length, len(password), got, ok)
			}
		}
	}
}
