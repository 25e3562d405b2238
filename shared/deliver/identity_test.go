package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestAnEventWithoutIdentityIsTheSameAtEveryReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bare := `{"type":"track","userId":"u","event":"Run","properties":{"n":9007199254740993,"e":{}}}`
		null := `{"type":"track","userId":"u","event":"Run","messageId":null,"timestamp":null}`
		timed := `{"type":"track","userId":"u","event":"Run","timestamp":"2026-01-01T00:00:00.000Z"}`
		own := track("own", 300)
		at := time.Date(2026, 11, 20, 1, 2, 3, int(456*time.Millisecond), time.UTC)
		r := newRig(t, nil)
		receive := func(n int) []string {
			m := in{id: "3f1c-uuid", sent: at, receives: n, body: body(keyA, bare, null, timed, own)}
			single := in{id: "single-uuid", sent: at, receives: n, body: bare}
			r.segment.attempts = nil
			want(t, "retained", r.invoke(t.Context(), m, single), []string{})
			got := r.segment.delivered()
			slices.Sort(got)
			return got
		}
		first := receive(1)
		time.Sleep(time.Hour)
		want(t, "second receive", receive(2), first)
		const stamp = `"timestamp":"2026-11-20T01:02:03.456Z"`
		expected := []string{
			`{"messageId":"3f1c-uuid-0",` + stamp + `,` + bare[1:],
			`{"type":"track","userId":"u","event":"Run","messageId":"3f1c-uuid-1",` + stamp + `}`,
			`{"messageId":"3f1c-uuid-2",` + timed[1:],
			own,
			`{"messageId":"single-uuid-0",` + stamp + `,` + bare[1:],
		}
		slices.Sort(expected)
		want(t, "events", first, expected)
	})
}

func TestARedrivenDeadLetterHasTheSameEventsHoweverOften(t *testing.T) {
	bare := `{"type":"track","userId":"u","event":"Run"}`
	at := time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)
	text := body(keyA, bare, bare)
	first := in{id: "original-uuid", sent: at, body: text}
	again := func(id, deadLetterID string) in {
		return in{id: id, sent: at.Add(50 * time.Hour), body: text, deadLetterID: deadLetterID,
			firstSeen: at.Format(event.TimeFormat)}
	}
	r := newRig(t, nil)
	deliver := func(m in) []string {
		r.segment.attempts = nil
		want(t, "retained", r.invoke(t.Context(), m), []string{})
		return r.segment.delivered()
	}
	events := deliver(first)
	want(t, "sent again", deliver(again("another-uuid", "original-uuid")), events)
	want(t, "and again", deliver(again("third-uuid", "original-uuid")), events)
	odd := deliver(again("x", "a \"name\" with quotes"))
	want(t, "an odd name, twice", deliver(again("y", "a \"name\" with quotes")), odd)
	want(t, "its first event is JSON", json.Valid([]byte(odd[0])), true)

	received := `{"receivedAt":"2026-11-20T00:00:00.000Z","batch":[` + track("e", 300) + `]}`
	now := time.Now()
	r.invoke(t.Context(), in{id: "m0", body: received, sent: now.Add(-time.Minute)})
	want(t, "old in the queue", r.last.Ages[0] > time.Hour, true)
	r.invoke(t.Context(), in{id: "m0", body: received, deadLetterID: "was/6", sent: now.Add(-time.Minute)})
	want(t, "sent again, no backlog", len(r.last.Ages), 0)

	r.invoke(t.Context(), in{id: "m1", body: "no JSON", deadLetterID: "was/7", firstSeen: "2026-11-20T01:02:03.000Z",
		sent: at.Add(time.Hour)})
	r.invoke(t.Context(), in{id: "m2", body: "no JSON", deadLetterID: "was/7", firstSeen: "no time",
		sent: at.Add(time.Hour)})
	var names []string
	for _, l := range r.queue.deadLetters {
		names = append(names, attr(l, message.AttrDeadLetterID)+" "+attr(l, message.AttrFirstSeen))
	}
	want(t, "redriven dead letters", names,
		[]string{"was/7 2026-11-20T01:02:03.000Z", "was/7 2026-11-20T02:02:03.000Z"})
}

func TestPooledBuffersDoNotMixTheEventsOfMessages(t *testing.T) {
	r := newRig(t, nil)
	for round := range 3 { // messages are pooled from the second round on
		var messages []in
		var expected []string
		for i := range 20 {
			id := string(rune('a' + (i+round)%20))
			messages = append(messages,
				in{id: id, sent: time.UnixMilli(1_800_000_000_000),
					body: `{"type":"track","userId":"` + strings.Repeat(id, 1+i*7) + `","event":"\u0041"}`})
			expected = append(expected,
				`{"messageId":"`+id+`-0","timestamp":"2027-01-15T08:00:00.000Z","type":"track","userId":"`+strings.Repeat(id,
					1+i*7)+`","event":"\u0041"}`)
		}
		r.segment.attempts = nil
		want(t, "retained", r.invoke(t.Context(), messages...), []string{})
		got := r.segment.delivered()
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Fatalf("round %d: got %q", round, got)
		}
	}
}

func TestAnEventWithoutTimestampGetsTheTimeAtWhichItCameIn(t *testing.T) {
	sent := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for receivedAt, expected := range map[string]string{
		`"2026-11-01T10:00:00.5Z"`: "2026-11-01T10:00:00.500Z",
		`null`:                     "2026-11-02T00:00:00.000Z",
		`"yesterday"`:              "2026-11-02T00:00:00.000Z",
	} {
		r := newRig(t, nil)
		r.invoke(t.Context(), in{id: "m", sent: sent,
			body: `{"receivedAt":` + receivedAt + `,"batch":[{"type":"identify","userId":"u","timestamp":""}]}`})
		want(t, receivedAt, r.segment.delivered(), []string{
			`{"messageId":"m-0","type":"identify","userId":"u","timestamp":"` + expected + `"}`})
	}
}

func TestAnIdentityNeverPushesAnEventOver32KB(t *testing.T) {
	// Sizes on both sides of what an id, a time, and both of them need.
	for size := event.MaxEventBytes - 120; size <= event.MaxEventBytes; size++ {
		raw := padTo(`{"type":"track","userId":"u","event":"Run","x":"`, size)
		r := newRig(t, nil)
		want(t, "retained", r.invoke(t.Context(), in{id: "m", body: body(keyA, raw), sent: time.Now()}), []string{})
		want(t, "delivered", r.last.Delivered, 1)
		sent := r.segment.delivered()[0]
		room := event.MaxEventBytes - size
		id, at := len(`"messageId":"m-0",`), len(`"timestamp":"2026-11-23T12:00:00.000Z",`)
		if len(sent) > event.MaxEventBytes || strings.Contains(sent, `"messageId":"m-0"`) != (room >= id) ||
			strings.Contains(sent, `"timestamp"`) != (room >= id+at) {
			t.Errorf("an event of %d bytes is sent as %d: %.90s", size, len(sent), sent)
		}
	}
}

func TestAnUnusualMessageIDMakesValidEvents(t *testing.T) {
	for _, id := range []string{`with "quotes"`, `back\slash`, "ünïcode", "tab\t", strings.Repeat("long", 100), "\u0001"} {
		r := newRig(t, refusing(track("p", 300)))
		retained := r.invoke(t.Context(),
			in{id: id, body: body(keyA, `{"type":"track","userId":"u","event":"E"}`, track("p", 300)), sent: time.Now()})
		want(t, "retained", retained, []string{})
		want(t, "dead letters", len(r.queue.deadLetters), 1)
		var got struct{ MessageID string }
		if err := json.Unmarshal([]byte(r.segment.delivered()[0]), &got); err != nil || got.MessageID == "" ||
			len(got.MessageID) > event.MaxMessageIDBytes {
			t.Errorf("message id %q makes the event %s: %v", id, r.segment.delivered()[0], err)
		}
	}
}

func TestAnImpossibleSentTimestampIsIgnored(t *testing.T) {
	for _, ms := range []string{"-1", "0", "253402300800000", "9223372036854775807", "tomorrow", ""} {
		var got *record
		doc := `{"Records":[{"messageId":"m","body":"","attributes":{"SentTimestamp":"` + ms +
			`","ApproximateReceiveCount":"-3"}}]}`
		if err := eachRecord([]byte(doc), func(rec *record) { c := *rec; got = &c }); err != nil {
			t.Fatal(err)
		}
		if !got.sent.IsZero() || got.receives != 1 {
			t.Errorf("SentTimestamp %q is read as %v, received %d times", ms, got.sent, got.receives)
		}
	}
}

// What an event is called says where it is in its message, with those that are not sent.
func TestPlacesAreCountedWithTheInvalidEvents(t *testing.T) {
	one := func(n int) string { return fmt.Sprintf(`{"type":"track","userId":"u","event":"e%d"}`, n) }
	r := newRig(t, func(_ context.Context, b *event.Batch) error {
		for _, e := range b.Events {
			if strings.Contains(string(e), `"e4"`) {
				return status(400)
			}
		}
		return nil
	})
	r.invoke(t.Context(), in{id: "m", sent: time.Now(),
		body: body(keyA, `{"type":"foo"}`, one(1), `{"type":"foo"}`, one(3), one(4), one(5))})
	var ids []string
	for _, e := range append(r.segment.delivered(), deadLetterEvents(t, r.queue.deadLetters[1])...) {
		ids = append(ids, messageID([]byte(e)))
	}
	slices.Sort(ids)
	want(t, "messageIds", ids, []string{"m-1", "m-3", "m-4", "m-5"})
	want(t, "dead letters", []string{attr(r.queue.deadLetters[0], message.AttrDeadLetterID),
		attr(r.queue.deadLetters[1], message.AttrDeadLetterID)}, []string{"m/0", "m/4"})
}
