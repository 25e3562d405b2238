package ingest

import (
	"encoding/json"
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
