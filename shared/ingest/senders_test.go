package ingest

import (
	"cmp"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
)

// counted is what a handler has counted: a word for each entry.
func counted(c *heavy.Counter) string {
	l, _ := c.Take(time.Now())
	var words []string
	for _, e := range l.Heaviest {
		words = append(words, strings.TrimRight(fmt.Sprintf("%s=%s/%s:%dx%d %s", e.By, e.Name, e.ID, e.Events, e.Bytes,
			e.Code), " "))
	}
	return strings.Join(words, ", ")
}

func TestEventsAreCountedByWhoSendsThem(t *testing.T) {
	keys, err := NewKeys(map[string]Key{"WEB": {Name: "web"}, "OLD": {Name: "old app", Disabled: true},
		"SMALL": {Name: "partner", Quota: 0.001, Burst: 1}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := WithKey(keys, "CANARY", Key{Name: "canary"})
	if err != nil {
		t.Fatal(err)
	}
	const a, b, bad = `{"type":"track","event":"A","userId":"u"}`, `{"type":"page","userId":"u"}`,
		`{"type":"track","event":"A"}`
	ids := strings.NewReplacer("{WEB}", event.KeyID("WEB"), "{OLD}", event.KeyID("OLD"), "{ANY}", event.KeyID("ANY"),
		"{WRONG}", event.KeyID("WRONG"))
	for name, c := range map[string]struct {
		set  KeySet
		auth string
		body string
		want string
	}{
		"accepted": {set, "WEB", `{"batch":[` + a + `,` + a + `,` + b + `]}`,
			"event=A/:2x82, event=page/:1x28, write-key=web/{WEB}:3x110"},
		"an invalid event among valid ones": {set, "WEB", `{"batch":[` + a + `,` + bad + `]}`,
			"event=A/:1x41, event=A/:1x28 no_user_anon_id, write-key=web/{WEB}:1x41, write-key=web/{WEB}:1x28 no_user_anon_id"},
		"only an invalid one": {set, "WEB", `{"batch":[` + bad + `]}`,
			"event=A/:1x28 no_user_anon_id, write-key=web/{WEB}:1x28 no_user_anon_id"},
		"an unknown key": {set, "WRONG", `{"batch":[` + a + `]}`,
			"event=A/:1x41 invalid_write_key, write-key={WRONG}/:1x41 invalid_write_key"},
		"no key": {set, "", `{"batch":[` + a + `]}`,
			"event=A/:1x41 invalid_write_key, write-key=(unknown)/:1x41 invalid_write_key"},
		"a disabled key": {set, "OLD", `{"batch":[` + a + `]}`,
			"event=A/:1x41 source_disabled, write-key=old app/{OLD}:1x41 source_disabled"},
		"a body that is no JSON": {set, "WEB", `{"batch":[` + a + `,`,
			"event=(unknown)/:1x0 invalid_json, write-key=web/{WEB}:1x0 invalid_json"},
		"any key is accepted": {nil, "ANY", `{"batch":[` + a + `]}`, "event=A/:1x41, write-key={ANY}/:1x41"},
		"the canary":          {set, "CANARY", `{"batch":[` + a + `]}`, ""},
		"the canary, broken":  {set, "CANARY", `{`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			counter := heavy.NewCounter("shop", heavy.PartIngest)
			var last Summary
			h, err := New(Config{Queue: withBreaker(new(acceptingQueue)), DeadLetters: new(acceptingQueue), Keys: c.set,
				Senders: counter, CanaryWriteKey: "CANARY", Report: func(s Summary) { last = s }})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second one finds what is kept of the first
				r := httptest.NewRequest("POST", "/v1/batch", strings.NewReader(c.body))
				if c.auth != "" {
					r.SetBasicAuth(c.auth, "")
				}
				h.ServeHTTP(httptest.NewRecorder(), r)
				if got, want := counted(counter), ids.Replace(c.want); got != want {
					t.Errorf("counted is\n%s, want\n%s", got, want)
				} else if key := "write-key=" + cmp.Or(last.Key.Name, last.Key.ID, heavy.Unknown); want != "" &&
					!strings.Contains(want, key) || (last.Code != "") != (last.Message != "") {
					t.Errorf("the summary %+v does not say whose request it was, or why it was refused", last)
				}
			}
		})
	}
	counter := heavy.NewCounter("shop", heavy.PartIngest)
	h, err := New(Config{Queue: withBreaker(new(acceptingQueue)), DeadLetters: new(acceptingQueue), Keys: set,
		Senders: counter})
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		r := httptest.NewRequest("POST", "/v1/batch", strings.NewReader(`{"batch":[`+a+`,`+a+`]}`))
		r.SetBasicAuth("SMALL", "")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	send()
	counted(counter)
	send()
	if got := counted(counter); !strings.Contains(got, "write-key=partner/") ||
		!strings.Contains(got, ":2x82 quota_exceeded") {
		t.Errorf("a partner over its quota is counted as %s", got)
	}
	if h.Close() != nil {
		t.Fatal("it does not shut down")
	}
	send()
	if got := counted(counter); !strings.Contains(got, "shutting_down") || !strings.Contains(got, "write-key=partner/") {
		t.Errorf("a request that is refused before its body is read is counted as %s", got)
	}
}
