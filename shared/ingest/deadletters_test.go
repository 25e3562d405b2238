package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestInvalidEventsBecomeDeadLettersAndValidOnesReachTheQueue(t *testing.T) {
	r := newRig(t, nil)
	var good []string
	for i := range 249 {
		good = append(good, track(fmt.Sprint(i)))
	}
	all := append(slices.Clone(good),
		`{"type":"track","userId":"u","messageId":"bad","timestamp":"2026-11-23T11:00:00.000Z","n":9007199254740993}`)
	status, _ := r.post("/v1/batch", `{"context":{"a":1},"integrations":{"b":2},"batch":[`+strings.Join(all, ",")+`]}`)
	want(t, "status", status, 200)
	want(t, "events", events(t, &r.queue), good)
	want(t, "dead letters", events(t, &r.deadLetters), all[249:])
	l := r.deadLetters.messages[0]
	want(t, "dead letter", []string{attr(l, message.AttrReason), attr(l, message.AttrDetail),
		attr(l, message.AttrReceives)},
		[]string{"invalid", "event_not_defined: a track needs an event name", "0"})
	for name, queue := range map[string]*fakeQueue{"header": &r.queue, "dead letter's header": &r.deadLetters} {
		h := sent(t, queue)[0].Header
		want(t, name, h.WriteKey+string(h.Context)+string(h.Integrations), keyA+`{"a":1}{"b":2}`)
	}
	totals := r.counters.Totals()
	want(t, "accepted", totals.Accepted, 249)
	want(t, "rejected", totals.Rejected, map[string]int{"event_not_defined": 1})
}

func TestEventsWithTheSameProblemShareADeadLetter(t *testing.T) {
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
	want(t, "dead letters", got, []string{"invalid type_unknown 2 server", "invalid not_an_object 2 server",
		"too_large too_large 2 server", "invalid not_utf8 1 server", "invalid type_unknown 1 client"})
	want(t, "rejected", r.counters.Totals().Rejected,
		map[string]int{"type_unknown": 3, "not_an_object": 2, "too_large": 2, "not_utf8": 1})
	want(t, "events", events(t, &r.queue), []string{track("good")})
}

func TestARetriedRequestWritesDeadLettersWithTheSameID(t *testing.T) {
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
	// The messageId in it is new each time.
	if es := events(t, &r.deadLetters); es[0] == es[2] || !strings.Contains(es[0], "messageId") {
		t.Errorf("events: %q", es)
	}
}

func TestNothingIsAcceptedWhenDeadLettersCannotBeWritten(t *testing.T) {
	r := newRig(t, nil)
	r.deadLetters.send = refuseAll
	body := `{"batch":[` + track("good") + `,{"type":"foo"}]}`
	status, code := r.post("/v1/batch", body)
	want(t, "answer", []any{status, code}, []any{429, "dead_letters_unavailable"})
	want(t, "calls to the queue", r.queue.calls, 0)
	totals := r.counters.Totals()
	want(t, "counts", []any{totals.Accepted, totals.DeadLetterErrors, len(totals.Rejected)}, []any{0, 1, 0})
	r.deadLetters.send = func(context.Context, []message.Message) error {
		return &sqsclient.SendError{Failed: map[int]error{0: errQueueDown}}
	}
	status, _ = r.post("/v1/batch", body)
	want(t, "answer when one dead letter failed", status, 429)
	r.deadLetters.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "answer after", status, 200)
	want(t, "events", events(t, &r.queue), []string{track("good")})
}

func TestDeadLettersAreWrittenBeforeTheEventsAreSent(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error {
		want(t, "dead letters at that time", len(r.deadLetters.messages), 1)
		return nil
	}
	status, _ := r.post("/v1/batch", `{"batch":[`+track("good")+`,{"type":"foo"}]}`)
	want(t, "status", status, 200)
}

func TestRejectedEventsAreCountedOnlyWhenTheirRequestIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	body := `{"batch":[` + track("1") + `,{"type":"foo"}]}`
	r.queue.send = refuseAll
	status, _ := r.post("/v1/batch", body)
	want(t, "status", status, 429)
	want(t, "rejected", len(r.counters.Totals().Rejected), 0)
	r.queue.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "status", status, 200)
	want(t, "rejected", r.counters.Totals().Rejected, map[string]int{"type_unknown": 1})
}
