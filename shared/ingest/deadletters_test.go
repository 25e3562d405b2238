package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestBadEventsBecomeDeadLettersAndTheGoodOnesGoOn(t *testing.T) {
	r := newRig(t, nil)
	var good []string
	for i := range 249 {
		good = append(good, track(fmt.Sprint(i)))
	}
	all := append(slices.Clone(good),
		`{"type":"track","userId":"u","messageId":"bad","timestamp":"2026-11-23T11:00:00.000Z","n":9007199254740993}`)
	status, _ := r.post("/v1/batch", `{"context":{"a":1},"batch":[`+strings.Join(all, ",")+`]}`)
	want(t, "status", status, 200)
	want(t, "events", events(t, &r.queue), good)
	want(t, "letters", events(t, &r.deadLetters), all[249:])
	l := r.deadLetters.messages[0]
	want(t, "letter", []string{attr(l, message.AttrReason), attr(l, message.AttrDetail), attr(l, message.AttrReceives)},
		[]string{"invalid", "event_not_defined: a track needs the name of its event", "0"})
	want(t, "header", sent(t, &r.deadLetters)[0].WriteKey+string(sent(t, &r.deadLetters)[0].Context), keyA+`{"a":1}`)
	totals := r.counters.Totals()
	want(t, "accepted", totals.Accepted, 249)
	want(t, "rejected", totals.Rejected, map[string]int{"event_not_defined": 1})
}

func TestEventsWithTheSameProblemShareALetter(t *testing.T) {
	r := newRig(t, nil)
	large := `{"type":"track","userId":"u","event":"e","x":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`
	deep := `{"type":"track","userId":"u","event":"e","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) +
		`}`
	batch := []string{`{"type":"foo"}`, `7`, `{"type":"bar"}`, large, deep,
		`{"type":"track","userId":"u","event":"` + "\xff" + `"}`, track("good"), `"text"`,
		`{"type":"foo","context":{"direct":true}}`}
	status, _ := r.post("/v1/batch", `{"batch":[`+strings.Join(batch, ",")+`]}`)
	want(t, "status", status, 200)
	var got []string
	for i, m := range sent(t, &r.deadLetters) {
		l := r.deadLetters.messages[i]
		got = append(got, fmt.Sprintf("%s %s %d %v", attr(l, message.AttrReason),
			strings.SplitN(attr(l, message.AttrDetail), ":", 2)[0], len(m.Events), m.Origin))
	}
	want(t, "letters", got, []string{"invalid type_unknown 2 server", "invalid not_an_object 2 server",
		"too_large too_large 2 server", "invalid not_utf8 1 server", "invalid type_unknown 1 client"})
	want(t, "rejected", r.counters.Totals().Rejected,
		map[string]int{"type_unknown": 3, "not_an_object": 2, "too_large": 2, "not_utf8": 1})
	want(t, "events", events(t, &r.queue), []string{track("good")})
}

func TestALetterThatIsWrittenAgainHasTheSameID(t *testing.T) {
	r := newRig(t, nil)
	body := `{"batch":[` + track("good") + `,{"type":"foo","a":1},{"type":"foo","a":2}]}`
	r.post("/v1/batch", body)
	r.post("/v1/batch", body)
	r.post("/v1/batch", strings.Replace(body, `"a":2`, `"a":3`, 1))
	var ids []string
	for _, l := range r.deadLetters.messages {
		ids = append(ids, attr(l, message.AttrDeadLetterID))
	}
	if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] || !strings.HasPrefix(ids[0], "ingest/") {
		t.Errorf("ids: %q", ids)
	}
	// The identity in it was given at the door, so it differs.
	if es := events(t, &r.deadLetters); es[0] == es[2] || !strings.Contains(es[0], "messageId") {
		t.Errorf("events: %q", es)
	}
}

func TestWhenLettersCannotBeWrittenNothingIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	r.deadLetters.send = refuseAll
	body := `{"batch":[` + track("good") + `,{"type":"foo"}]}`
	status, code := r.post("/v1/batch", body)
	want(t, "answer", []any{status, code}, []any{429, "dead_letters_unavailable"})
	want(t, "calls to the queue", r.queue.calls, 0)
	totals := r.counters.Totals()
	want(t, "counts", []any{totals.Accepted, totals.DeadLetterErrors, len(totals.Rejected)}, []any{0, 1, 0})
	r.deadLetters.send = func(context.Context, []message.Message) error {
		return &sqsclient.SendError{Failed: map[int]error{0: errAway}}
	}
	status, _ = r.post("/v1/batch", body)
	want(t, "answer when one letter failed", status, 429)
	r.deadLetters.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "answer after", status, 200)
	want(t, "events", events(t, &r.queue), []string{track("good")})
}

func TestLettersAreWrittenBeforeTheEventsAreSent(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error {
		want(t, "letters at that time", len(r.deadLetters.messages), 1)
		return nil
	}
	status, _ := r.post("/v1/batch", `{"batch":[`+track("good")+`,{"type":"foo"}]}`)
	want(t, "status", status, 200)
}

func TestARequestOfWhichNothingIsGoodIsRefusedAndNotKept(t *testing.T) {
	for name, c := range map[string]struct{ path, body, code string }{
		"single":               {"/v1/track", `{"userId":"u"}`, "event_not_defined"},
		"no id":                {"/v1/track", `{"event":"e"}`, "no_user_anon_id"},
		"ids null":             {"/v1/t", `{"event":"e","userId":null,"anonymousId":null}`, "no_user_anon_id"},
		"event no string":      {"/v1/track", `{"userId":"u","event":1}`, "event_not_string"},
		"properties no object": {"/v1/page", `{"userId":"u","properties":[]}`, "properties_not_object"},
		"traits no object":     {"/v1/identify", `{"userId":"u","traits":"x"}`, "traits_not_object"},
		"name no string":       {"/v1/page", `{"userId":"u","name":1}`, "name_not_string"},
		"category no string":   {"/v1/screen", `{"userId":"u","category":{}}`, "category_not_string"},
		"group without id":     {"/v1/group", `{"userId":"u"}`, "id_required"},
		"id no string":         {"/v1/alias", `{"userId":{},"previousId":"p"}`, "id_not_string"},
		"long messageId": {"/v1/track", `{"userId":"u","event":"e","messageId":"` + strings.Repeat("m", 100) + `"}`,
			"message_id_too_long"},
		"too large": {"/v1/track",
			`{"userId":"u","event":"e","x":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`, "too_large"},
		"deep": {"/v1/track",
			`{"userId":"u","event":"e","x":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}`,
			"too_deep"},
		"not UTF-8":             {"/v1/track", `{"userId":"u","event":"` + "\xc3\x28" + `"}`, "not_utf8"},
		"batch of bad ones":     {"/v1/batch", `{"batch":[{"type":"foo"},7]}`, "type_unknown"},
		"too many events":       {"/v1/batch", `{"batch":[` + strings.Repeat("0,", maxEvents) + `0]}`, "too_many_events"},
		"empty batch":           {"/v1/batch", `{"batch":[]}`, "empty_batch"},
		"the last batch counts": {"/v1/batch", `{"batch":[` + track("1") + `],"batch":[]}`, "empty_batch"},
		"batch is null":         {"/v1/batch", `{"batch":null}`, "invalid_batch"},
		"batch is an object":    {"/v1/b", `{"batch":{}}`, "invalid_batch"},
		"no batch":              {"/v1/import", track("1"), "invalid_batch"},
		"an array":              {"/v1/batch", `[` + track("1") + `]`, "invalid_batch"},
		"an array at an event":  {"/v1/track", `[` + track("1") + `]`, "invalid_body"},
		"a string":              {"/v1/track", `"x"`, "invalid_body"},
		"not JSON":              {"/v1/track", `{"userId":`, "invalid_json"},
		"not JSON either":       {"/v1/batch", `{"batch":[` + track("1") + `]`, "invalid_json"},
		"more than JSON":        {"/v1/batch", `{"batch":[` + track("1") + `]}}`, "invalid_json"},
		"a form":                {"/v1/track", `userId=u&event=e`, "invalid_json"},
		"100,000 deep":          {"/v1/batch", strings.Repeat("[", 100_000), "invalid_json"},
		"100,000 deep, closed":  {"/v1/batch", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "invalid_batch"},
		"context no object":     {"/v1/batch", `{"context":[],"batch":[` + track("1") + `]}`, "invalid_context"},
		"context not UTF-8": {"/v1/batch", `{"context":{"a":"` + "\xff" + `"},"batch":[` + track("1") + `]}`,
			"invalid_context"},
		"context too deep": {"/v1/batch",
			`{"integrations":{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `},"batch":[` + track("1") + `]}`,
			"invalid_context"},
		"context too large": {"/v1/batch",
			`{"context":{"a":"` + strings.Repeat("x", 480_000) + `"},"batch":[` + track("1") + `]}`, "invalid_context"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			status, code := r.post(c.path, c.body)
			if status != 400 || code != c.code {
				t.Errorf("%d %s, want 400 %s", status, code, c.code)
			}
			want(t, "calls", r.queue.calls+r.deadLetters.calls, 0)
			want(t, "refused", r.counters.Totals().Refused, map[string]int{c.code: 1})
		})
	}
}

func TestTheLongestUserAgentCostsNoMoreThanTheLimit(t *testing.T) {
	r := newRig(t, nil)
	status, _ := r.post("/v1/t", `{"userId":"u","event":"e","messageId":"m","timestamp":"x"}`, "User-Agent",
		strings.Repeat("u", 100_000))
	want(t, "status", status, 200)
	want(t, "event", events(t, &r.queue),
		[]string{`{"type":"track","context":{"ip":"203.0.113.7","userAgent":"` + strings.Repeat("u", maxUserAgent) +
			`"},"userId":"u","event":"e","messageId":"m","timestamp":"x"}`})
}

func TestAContextThatALaterOneReplacesIsNotLookedAt(t *testing.T) {
	r := newRig(t, nil)
	status, _ := r.post("/v1/batch", `{"context":7,"batch":[`+track("1")+`],"context":{"b":1}}`)
	want(t, "status", status, 200)
	want(t, "context", string(sent(t, &r.queue)[0].Context), `{"b":1}`)
}

func TestAnEventThatSplicingMakesTooLargeIsALetter(t *testing.T) {
	r := newRig(t, nil)
	fits := func(n int) string {
		return `{"type":"track","userId":"u","event":"e","timestamp":"2026-11-23T11:00:00.000Z","x":"` +
			strings.Repeat("x", n) + `"}`
	}
	exact := fits(event.MaxEventBytes - len(fits(0)) - len(`"messageId":"",`) - 36)
	status, _ := r.post("/v1/batch", `{"batch":[`+exact+`,`+strings.Replace(exact, "xx", "xxx", 1)+`]}`)
	want(t, "status", status, 200)
	want(t, "size", len(events(t, &r.queue)[0]), event.MaxEventBytes)
	want(t, "rejected", r.counters.Totals().Rejected, map[string]int{"too_large": 1})
}

func TestMissingMessageIDsAreDifferentUUIDs(t *testing.T) {
	r := newRig(t, nil)
	seen := map[string]bool{}
	for range 3 {
		r.post("/v1/batch", `{"batch":[`+strings.TrimSuffix(strings.Repeat(`{"type":"identify","userId":"u"},`, 300),
			",")+`]}`)
	}
	for _, e := range events(t, &r.queue) {
		var v struct{ MessageID, Timestamp string }
		if err := json.Unmarshal([]byte(e), &v); err != nil {
			t.Fatal(err)
		}
		if id := v.MessageID; len(id) != 36 || id[14] != '4' || !strings.Contains("89ab", id[19:20]) || id[8] != '-' ||
			id[23] != '-' || v.Timestamp == "" {
			t.Fatalf("messageId %q, timestamp %q", id, v.Timestamp)
		}
		seen[v.MessageID] = true
	}
	want(t, "different ids", len(seen), 900)
}

func TestMoreEventsThanABatchMayHoldAreSeveralMessages(t *testing.T) {
	r := newRig(t, nil)
	small := `{"type":"identify","userId":"u","messageId":"m","timestamp":"2026-11-23T11:00:00Z"}`
	n := event.MaxBatchEvents + 1
	status, _ := r.post("/v1/batch", `{"batch":[`+strings.TrimSuffix(strings.Repeat(small+",", n), ",")+`]}`)
	want(t, "status", status, 200)
	m := sent(t, &r.queue)
	want(t, "messages", []int{len(m), len(m[0].Events), len(m[1].Events)}, []int{2, event.MaxBatchEvents, 1})
	want(t, "calls", r.queue.calls, 1)
}

func TestEventsOfClientsInAServersBatchGoAsClients(t *testing.T) {
	r := newRig(t, nil)
	direct := strings.Replace(track("2"), `{`, `{"context":{"direct":true},`, 1)
	status, _ := r.post("/v1/batch", `{"batch":[`+track("1")+`,`+direct+`]}`)
	want(t, "status", status, 200)
	m := sent(t, &r.queue)
	want(t, "origins", []event.Origin{m[0].Origin, m[1].Origin}, []event.Origin{event.FromServer, event.FromClient})
	want(t, "stamped", strings.Contains(string(m[1].Events[0].Raw), `"ip":"203.0.113.7"`), true)
	want(t, "calls", r.queue.calls, 1)
}
