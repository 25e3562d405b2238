package ingest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestThePixelsDataIsReadHoweverItIsEncoded(t *testing.T) {
	one := `{"userId":"u","event":"` + marker + `","writeKey":"` + keyA +
		`","p":"???>>>","messageId":"m","timestamp":"2026-11-23T11:00:00.000Z"}`
	std := base64.StdEncoding.EncodeToString([]byte(one))
	escaped := url.PathEscape(one)
	good := "data=" + url.QueryEscape(std)
	var lines strings.Builder
	for rest := std; rest != ""; {
		n := min(76, len(rest))
		lines.WriteString(rest[:n] + "%0D%0A")
		rest = rest[n:]
	}
	for name, query := range map[string]string{
		"as documented":                   "data=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(std),
		"padding is missing":              "data=" + strings.TrimRight(std, "="),
		"plus is not escaped":             "data=" + std,
		"alphabet for URLs":               "data=" + base64.RawURLEncoding.EncodeToString([]byte(one)),
		"alphabet for URLs and padding":   "data=" + base64.URLEncoding.EncodeToString([]byte(one)),
		"in lines":                        "data=" + lines.String(),
		"escaped twice":                   "data=" + url.QueryEscape(url.QueryEscape(std)),
		"with a byte order mark":          "data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("\ufeff"+one+"\n"))),
		"escaped JSON":                    "data=" + url.QueryEscape(one),
		"JSON escaped as a path":          "data=" + escaped,
		"JSON, barely escaped":            "data=" + strings.NewReplacer(`"`, "%22", "+", "%2b").Replace(one),
		"JSON escaped twice":              "data=" + url.QueryEscape(escaped),
		"JSON escaped and then in base64": "data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(escaped))),
		"JSON after white space":          "data=%20%0A" + url.QueryEscape(one),
		"a broken pair before it":         "cb=100%&" + good,
		"a broken pair after it":          good + "&cb=%zz",
		"a semicolon elsewhere":           "a=1;b=2&" + good + "&;",
		"other parameters":                good + "&userId=other&event=other&properties.a=1",
		"an empty one before it":          "data=&data&" + good,
		"another one after it":            good + "&data=e30",
		"in a page that was escaped":      "cb=1&amp;" + good,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			w := r.do("GET", "/v1/pixel/track?"+query, "", "User-Agent", "Mail/1.0")
			want(t, "image", []any{w.Code, w.Header().Get("Content-Type"), w.Body.String()},
				[]any{200, "image/gif", string(transparentGIF)})
			want(t, "refused", len(r.counters.Totals().Refused), 0)
			want(t, "event", events(t, &r.queue),
				[]string{`{"type":"track","context":{"ip":"203.0.113.7","userAgent":"Mail/1.0"},"userId":"u","event":"` + marker +
					`","p":"???>>>","messageId":"m","timestamp":"2026-11-23T11:00:00.000Z"}`})
			want(t, "origin", sent(t, &r.queue)[0].Origin, event.FromClient)
		})
	}
}

func TestThePixelsDataMayHaveAPercentSignAndAPlus(t *testing.T) {
	r := newRig(t, nil)
	r.do("GET", `/v1/pixel/track?data={%22userId%22:%22a%2Bb%22,%22event%22:%22100%%20+%20up%22,%22writeKey%22:%22`+keyA+`%22}`, "")
	got := events(t, &r.queue)
	if len(got) != 1 || !strings.Contains(got[0], `"userId":"a+b","event":"100%   up"`) {
		t.Errorf("%s, refused %v", got, r.counters.Totals().Refused)
	}
}

func TestAPixelsWriteKeyMayBeBesideItsData(t *testing.T) {
	data := base64.RawURLEncoding.EncodeToString([]byte(track("1")))
	for _, headers := range [][]string{nil, basic()} {
		r := newRig(t, func(c *Config) { c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}}) })
		query := "data=" + data
		if headers == nil {
			query += "&writeKey=" + keyA
		}
		r.do("GET", "/v1/pixel/track?"+query, "", headers...)
		want(t, "accepted", r.counters.Totals().Accepted, 1)
		want(t, "write key", sent(t, &r.queue)[0].WriteKey, keyA)
	}
}

// field returns the value at a path of an event.
func field(t *testing.T, event, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(event), &v); err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	for name := range strings.SplitSeq(path, "/") {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[name]
	}
	return v
}

func TestAPixelsQueryIsAnEvent(t *testing.T) {
	for _, c := range []struct {
		path, query string
		want        map[string]any // by path; nil: absent
	}{
		{"track", "userId=u&event=E&properties.a=1", map[string]any{"type": "track", "userId": "u", "event": "E",
			"properties/a": "1", "writeKey": nil}},
		{"track", "userId=user_123&event=Email Opened&properties.subject=The%20Electric+Daily&properties.email=jane.kim@example.com",
			map[string]any{"event": "Email Opened", "properties/subject": "The Electric Daily",
				"properties/email": "jane.kim@example.com"}},
		{"identify", "userId=u&traits.plan=pro&traits.address.city=K%C3%B6ln&context.page.path=%2Fa", map[string]any{"type": "identify",
			"traits/plan": "pro", "traits/address/city": "Köln", "context/page/path": "/a"}},
		{"page", "anonymousId=a&name=Home&category=Docs&properties.url=http%3A%2F%2Fx%2F%3Fa%3D1", map[string]any{"type": "page",
			"name": "Home", "category": "Docs", "properties/url": "http://x/?a=1"}},
		{"screen", "userId=u&name=Main", map[string]any{"type": "screen", "name": "Main"}},
		{"group", "userId=u&groupId=007&traits.name=ACME", map[string]any{"type": "group", "groupId": "007", "traits/name": "ACME"}},
		{"alias", "userId=u&previousId=p", map[string]any{"type": "alias", "previousId": "p"}},
		{"t", "userId=u&event=E", map[string]any{"type": "track"}},
		// AMP's configuration of the type segment, which sends empty what it does not know.
		{"page", "context.library.name=amp&anonymousId=amp-x&context.locale=en-us&context.page.path=%2Fa&context.page.url=" +
			"https%3A%2F%2Fx%2Fa&context.page.referrer=&context.page.title=A%20%26%20B&context.screen.width=1920&" +
			"context.screen.height=1080&name=", map[string]any{"type": "page", "anonymousId": "amp-x", "name": nil,
			"context/library/name": "amp", "context/page/url": "https://x/a", "context/page/title": "A & B",
			"context/page/referrer": nil, "context/screen/width": "1920", "context/ip": "203.0.113.7", "context/userAgent": "AMP/1"}},
		{"track", "context.library.name=amp&anonymousId=amp-x&context.page.title=&event=Click", map[string]any{"type": "track",
			"event": "Click", "context/page": nil}},
		{"track", "userId=u&event=E&cb=100%&%zz=1&properties.p=5%25+off%", map[string]any{"event": "E", "cb": "100%",
			"properties/p": "5% off%"}},
		{"track", "userId=u&event=E&data=&properties.a=", map[string]any{"data": nil, "properties/a": ""}},
		{"track", "userId=u&amp;event=E&amp;properties.a=1", map[string]any{"event": "E", "properties/a": "1"}},
		{"track", "type=page&userId=u&event=E", map[string]any{"type": "track"}},
		{"track", "userId=u&event=E&messageId=m-1&timestamp=2026-11-23T11:00:00.000Z", map[string]any{"messageId": "m-1",
			"timestamp": "2026-11-23T11:00:00.000Z"}},
		{"track", "userId=u&event=E&integrations.All=false&integrations.Mixpanel=true&context.consent.categoryPreferences.Ads=false&" +
			"properties.on=true&context.page.title=true", map[string]any{"integrations/All": false, "integrations/Mixpanel": true,
			"context/consent/categoryPreferences/Ads": false, "properties/on": "true", "context/page/title": "true"}},
		{"track", `userId=u&event=E&properties=%7B%22a%22%3A1%2C%22b%22%3A%7B%22c%22%3A%5B2%5D%7D%7D&properties.d=3`,
			map[string]any{"properties/a": 1.0, "properties/b/c": []any{2.0}, "properties/d": "3"}},
		{"track", "userId=u&event=E&properties=x&properties.a=1&context.page.url=u&context.page=y", map[string]any{
			"properties/a": "1", "context/page/url": "u"}},
		{"track", "userId=u&userId=v&event=E&flag&=x&&", map[string]any{"userId": "v", "flag": nil}},
		{"track", `userId=%22%5C%0A&event=E"`, map[string]any{"userId": "\"\\\n", "event": `E"`}},
	} {
		r := newRig(t, func(c *Config) { c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}}) })
		query := strings.NewReplacer(" ", "%20", `"`, "%22").Replace(c.query) + "&writeKey=" + keyA
		w := r.do("GET", "/v1/pixel/"+c.path+"?"+query, "", "User-Agent", "AMP/1")
		want(t, "status", w.Code, 200)
		got := events(t, &r.queue)
		if len(got) != 1 {
			t.Errorf("%s: %d events, refused %v, rejected %v", c.query, len(got), r.counters.Totals().Refused,
				r.counters.Totals().Rejected)
			continue
		}
		for path, value := range c.want {
			if v := field(t, got[0], path); fmt.Sprint(v) != fmt.Sprint(value) || (v == nil) != (value == nil) {
				t.Errorf("%s: %s is %#v, want %#v, in %s", c.query, path, v, value, got[0])
			}
		}
	}
}

func TestAPixelThatCanNotBeReadIsCountedAndLoggedByItsCode(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	for name, c := range map[string]struct{ query, code string }{
		"no query":               {"", "invalid_pixel"},
		"only a key":             {"writeKey=" + keyA, "invalid_pixel"},
		"empty data":             {"data=&writeKey=" + keyA, "invalid_pixel"},
		"broken base64":          {"data=e30!", "invalid_pixel"},
		"base64 of nothing":      {"data=====", "invalid_pixel"},
		"broken escapes":         {"data=%zz", "invalid_pixel"},
		"no JSON":                {"data=aGFsbG8", "invalid_json"},
		"half JSON":              {"data=%7B%22userId%22:", "invalid_json"},
		"an array":               {"data=" + encode([]byte("[]")), "invalid_body"},
		"no key":                 {"data=e30", "invalid_write_key"},
		"no key in a query":      {"userId=u&event=E", "invalid_write_key"},
		"not UTF-8":              {"userId=%E9&event=E&writeKey=" + keyA, "not_utf8"},
		"not UTF-8, in a name":   {"userId=u&event=E&properties.%E9=1&writeKey=" + keyA, "not_utf8"},
		"too large":              {"userId=u&event=" + strings.Repeat("x", event.MaxEventBytes) + "&writeKey=" + keyA, "too_large"},
		"too deep":               {"userId=u&a" + strings.Repeat(".a", event.MaxDepth) + "=1&writeKey=" + keyA, "too_deep"},
		"longer than any body":   {"data=" + strings.Repeat("x", defaultMaxBody), "body_too_large"},
		"an object without JSON": {"data=" + encode([]byte(`{"userId":"u",}`)), "invalid_json"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			w := r.do("GET", "/v1/pixel/track?"+c.query, "")
			want(t, "image", []any{w.Code, w.Body.String()}, []any{200, string(transparentGIF)})
			want(t, "refused", r.counters.Totals().Refused, map[string]int{c.code: 1})
			if !strings.Contains(r.log.String(), c.code+":1") {
				t.Errorf("the log says %s", r.log.String())
			}
		})
	}
}

func TestAnInvalidEventOfAPixelIsADeadLetter(t *testing.T) {
	for query, code := range map[string]string{
		"userId=u":                           "event_not_defined",
		"userId=&event=E":                    "no_user_anon_id",
		"userId=u&event=E&properties=x":      "properties_not_object",
		"data=" + url.QueryEscape(`{"a":1}`): "no_user_anon_id",
	} {
		r := newRig(t, nil)
		r.do("GET", "/v1/pixel/track?"+query+"&writeKey="+keyA, "")
		dead := sent(t, &r.deadLetters)
		if len(dead) != 1 || len(dead[0].Events) != 1 || dead[0].WriteKey != keyA {
			t.Errorf("%s: %d dead letters, refused %v", query, len(dead), r.counters.Totals().Refused)
		}
		want(t, "rejected", r.counters.Totals().Rejected, map[string]int{code: 1})
		want(t, "calls of the queue", r.queue.calls, 0)
	}
	r := newRig(t, func(c *Config) { c.Keys = keySet(t, map[string]Key{keyB: {Name: "b"}}) })
	r.do("GET", "/v1/pixel/track?userId=u&writeKey="+keyA, "")
	want(t, "dead letters of an unknown key", r.deadLetters.calls, 0)
}

func TestAPixelIsTheImageWhenTheQueueIsDown(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = refuseAll
	const query = "/v1/pixel/track?userId=u&event=E&writeKey=" + keyA
	want(t, "status", r.do("GET", query, "").Code, 200)
	want(t, "refused", r.counters.Totals().Refused, map[string]int{"queue_unavailable": 1})
	r.do("HEAD", query, "")
	want(t, "calls for a HEAD", r.queue.calls, 1)
}

func TestRefusedPixelsAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range 1000 {
			r.do("GET", "/v1/pixel/track?data=e30!", "")
			r.do("GET", "/v1/pixel/track?data=e30", "")
			time.Sleep(5 * time.Millisecond)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		log := r.log.String()
		if n := strings.Count(log, "pixel requests were refused"); n < 5 || n > 7 {
			t.Errorf("%d lines: %s", n, log)
		}
		sum := 0
		for line := range strings.Lines(log) {
			_, counts, ok := strings.Cut(line, "invalid_pixel:")
			if n := 0; ok {
				fmt.Sscan(counts, &n)
				sum += n
			}
		}
		want(t, "logged", sum, 1000)
	})
}

func FuzzReadPixel(f *testing.F) {
	for _, query := range []string{"", "data=", "data=\r", "data=e30", "data=e30=", "data=e30%3D%3D", "data=%zz",
		"data=----", "data=a b", "a=1;b=2&data=e30", "data=e30&data=x", "userId=u&properties.a.b=1", "a.=1&a..b=2&.=3&..=4",
		"properties=%7B%22a%22%3A1%7D&properties.b=2", "context={}&context.a=b&context={%22a%22:1}", "a=%22%5c%00",
		"integrations.All=false&amp;cb=100%", "data=%257B%257D", "data=JTdCJTdE"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q := new(request)
		data, refused := q.readPixel(query, 100_000)
		if refused != nil {
			return
		}
		if len(data) == 0 || len(data) > 6*100_000 {
			t.Fatalf("%q gave %d bytes", query, len(data))
		}
		if fromFields := !strings.Contains(query, "data"); fromFields && (!json.Valid(data) || !utf8.Valid(data)) {
			t.Fatalf("%q gave %q", query, data)
		}
	})
}
