package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestALongUserAgentIsCut(t *testing.T) {
	r := newRig(t, nil)
	status, _ := r.post("/v1/t", `{"userId":"u","event":"e","messageId":"m","timestamp":"x"}`, "User-Agent",
		strings.Repeat("u", 100_000))
	want(t, "status", status, 200)
	want(t, "event", events(t, &r.queue),
		[]string{`{"type":"track","context":{"ip":"203.0.113.7","userAgent":"` + strings.Repeat("u", maxUserAgent) +
			`"},"userId":"u","event":"e","messageId":"m","timestamp":"x"}`})
}

func TestAContextThatCannotBeReadNeverCostsTheBatchsEvents(t *testing.T) {
	deep := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	for _, c := range []struct {
		fields, context, integrations string
		omitted                       map[string]int
	}{
		{`"context":[]`, "", "", map[string]int{"batch.context": 1}}, // PHP's empty array
		{`"context":""`, "", "", map[string]int{"batch.context": 1}},
		{`"context":true,"integrations":{"All":false}`, "", `{"All":false}`, map[string]int{"batch.context": 1}},
		{`"context":{"a":1},"integrations":[]`, `{"a":1}`, "", map[string]int{"batch.integrations": 1}},
		{"\"context\":{\"a\":\"\xff\"}", "", "", map[string]int{"batch.context": 1}},
		{`"integrations":{"a":` + deep + `}`, "", "", map[string]int{"batch.integrations": 1}},
		{`"context":{"a":"` + strings.Repeat("x", 480_000) + `"},"integrations":{"b":1}`, "", `{"b":1}`,
			map[string]int{"batch.context": 1}},
		{`"context":null,"integrations":null`, "", "", nil},
		{`"sentAt":[]`, "", "", nil},
	} {
		for _, path := range []string{"/v1/batch", "/v1/b"} {
			r := newRig(t, nil)
			status, code := r.post(path, `{`+c.fields+`,"batch":[`+track("1")+`]}`)
			want(t, "status", fmt.Sprint(status, code), "200")
			m := sent(t, &r.queue)
			want(t, "header", []string{string(m[0].Context), string(m[0].Integrations)}, []string{c.context, c.integrations})
			want(t, "events", len(m[0].Events), 1)
			got := r.counters.Totals().Omitted
			if len(got) != len(c.omitted) || got["batch.context"] != c.omitted["batch.context"] {
				t.Errorf("%.60s: omitted %v, want %v", c.fields, got, c.omitted)
			}
		}
	}
}

func TestASharedContextThatIsLeftOutDoesNotCountAsTheEvents(t *testing.T) {
	r := newRig(t, nil)
	large := `{"ip":"1.2.3.4","direct":true,"a":"` + strings.Repeat("x", 480_000) + `"}`
	status, _ := r.post("/v1/batch", `{"context":`+large+`,"batch":[`+track("1")+`]}`)
	want(t, "status", status, 200)
	want(t, "events", events(t, &r.queue), []string{track("1")})
}

func TestWhatCameCountsForASize(t *testing.T) {
	event32K := func(fields string, n int) string {
		head := `{"type":"track","userId":"u","event":"e",` + fields + `"x":"`
		return head + strings.Repeat("x", n-len(head)-2) + `"}`
	}
	for _, c := range []struct {
		name, path, event string
		status            int
		omitted           map[string]int
	}{
		{"room for an id and no time", "/v1/track", event32K("", 32_700), 200, map[string]int{"timestamp": 1}},
		{"room for nothing", "/v1/track", event32K("", event.MaxEventBytes), 200,
			map[string]int{"timestamp": 1, "messageId": 1}},
		{"a browser's", "/v1/t", event32K(`"messageId":"m","timestamp":"x",`, event.MaxEventBytes), 200,
			map[string]int{"context.ip": 1, "context.userAgent": 1}},
		{"what is removed leaves room", "/v1/t", event32K(`"messageId":"m","timestamp":"x","context":{"library":1},`+
			`"sentAt":"2026-11-23T11:00:00.000Z",`, event.MaxEventBytes), 200, nil},
		{"too large as it came", "/v1/track", event32K("", event.MaxEventBytes+1), 400, nil},
		{"a wrong type of the same size", "/v1/track", strings.Replace(event32K("", event.MaxEventBytes), "track", "group", 1),
			200, map[string]int{"timestamp": 1, "messageId": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			status, code := r.post(c.path, c.event, "User-Agent", "Mozilla")
			if status != c.status {
				t.Fatalf("%d %s, want %d", status, code, c.status)
			}
			if got := r.counters.Totals().Omitted; fmt.Sprint(got) != fmt.Sprint(c.omitted) && len(got)+len(c.omitted) > 0 {
				t.Errorf("omitted %v, want %v", got, c.omitted)
			}
			for _, e := range events(t, &r.queue) {
				if len(e) > event.MaxEventBytes || !json.Valid([]byte(e)) {
					t.Errorf("%d bytes reach the queue", len(e))
				}
			}
		})
	}
}

func TestAFullBatchOfARubySDKIsAccepted(t *testing.T) {
	// Its MessageBatch takes events until they have 512,000 bytes, each with a comma; the wrapper, with
	// a writeKey or without, comes on top.
	const budget = 512_000
	e := `{"type":"track","userId":"u","event":"e","messageId":"m","timestamp":"2026-11-23T11:00:00.000Z","x":"` +
		strings.Repeat("x", 900) + `"}`
	all := strings.Repeat(e+",", budget/(len(e)+1))
	for _, head := range []string{`{"sentAt":"2026-11-23T11:00:00.000Z","batch":[`,
		`{"writeKey":"` + keyA + `","sentAt":"2026-11-23T11:00:00.000Z","context":{"a":"` + strings.Repeat("x", 8_000) +
			`"},"batch":[`} {
		body := head + strings.Repeat(" ", budget-len(all)) + strings.TrimSuffix(all, ",") + `]}`
		r := newRig(t, nil)
		status, code := r.post("/v1/import", body)
		if status != 200 || len(body) <= budget {
			t.Fatalf("%d bytes: %d %s", len(body), status, code)
		}
		want(t, "events", r.counters.Totals().Accepted, budget/(len(e)+1))
	}
}

func TestADuplicateContextReplacesAnInvalidOne(t *testing.T) {
	r := newRig(t, nil)
	status, _ := r.post("/v1/batch", `{"context":7,"batch":[`+track("1")+`],"context":{"b":1}}`)
	want(t, "status", status, 200)
	want(t, "context", string(sent(t, &r.queue)[0].Context), `{"b":1}`)
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
	want(t, "distinct ids", len(seen), 900)
}

func TestMoreEventsThanFitABatchAreSeveralMessages(t *testing.T) {
	r := newRig(t, nil)
	small := `{"type":"identify","userId":"u","messageId":"m","timestamp":"2026-11-23T11:00:00Z"}`
	n := event.MaxBatchEvents + 1
	status, _ := r.post("/v1/batch", `{"batch":[`+strings.TrimSuffix(strings.Repeat(small+",", n), ",")+`]}`)
	want(t, "status", status, 200)
	m := sent(t, &r.queue)
	want(t, "messages", []int{len(m), len(m[0].Events), len(m[1].Events)}, []int{2, event.MaxBatchEvents, 1})
	want(t, "calls", r.queue.calls, 1)
}

func TestClientEventsInAServerBatchGetAMessageOfTheirOwn(t *testing.T) {
	r := newRig(t, nil)
	direct := strings.Replace(track("2"), `{`, `{"context":{"direct":true},`, 1)
	status, _ := r.post("/v1/batch", `{"batch":[`+track("1")+`,`+direct+`]}`)
	want(t, "status", status, 200)
	m := sent(t, &r.queue)
	want(t, "origins", []event.Origin{m[0].Origin, m[1].Origin}, []event.Origin{event.FromServer, event.FromClient})
	want(t, "enriched", strings.Contains(string(m[1].Events[0].Raw), `"ip":"203.0.113.7"`), true)
	want(t, "calls", r.queue.calls, 1)
}
