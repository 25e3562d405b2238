package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestBadInputBecomesDeadLettersAndGoodInputIsDelivered(t *testing.T) {
	good := tracks("good", 249, 400)
	amid := func(bad string) string {
		return body(keyA, append(append(slices.Clone(good[:100]), bad), good[100:]...)...)
	}
	packed := zipped(t, body(keyA, tracks("z", 100, 1000)...))
	deep := `{"type":"track","event":"E","userId":"` + marker + `","properties":{"a":` + strings.Repeat("[", 10_000) +
		strings.Repeat("]", 10_000) + `}}`
	for _, c := range []struct {
		name, body string
		delivered  int
		reason     string // of a dead letter, if there is one
		detail     string
	}{
		{"not JSON", "not JSON " + marker, 0, "undecodable", "begins with 'n'"},
		{"half of JSON", `{"batch":[` + track("a", 300), 0, "undecodable", "unexpected end"},
		{"JSON and more", body(keyA, track("a", 300)) + "]", 0, "undecodable", "expected the end"},
		{"empty", "", 0, "undecodable", "empty"},
		{"white space", " \n\t ", 0, "undecodable", "empty"},
		{"an array", `[{}]`, 0, "undecodable", "a body is a JSON object"},
		{"null", `null`, 0, "undecodable", "a body is a JSON object"},
		{"an empty object", `{}`, 0, "invalid", "type_unknown"},
		{"an empty batch", `{"batch":[]}`, 0, "undecodable", "empty_batch"},
		{"a batch that is no array", `{"batch":{"type":"track"}}`, 0, "undecodable", "must be an array"},
		{"a write key that is no string", `{"writeKey":7,"batch":[` + track("a", 300) + `]}`, 0, "undecodable",
			"writeKey must be a string"},
		{"not UTF-8, packed", zipped(t, amid(strings.Replace(track("bad", 300), marker, "\xff\xfe", 1))), 249, "invalid",
			"not_utf8"},
		{"one bad event among 249 good", amid(`{"type":"tick","userId":"` + marker + `"}`), 249, "invalid", "type must be"},
		{"a number among 249 good", amid(`17`), 249, "invalid", "not_an_object"},
		{"a 33 KB event", amid(track("large", 33<<10)), 249, "too_large", "32768"},
		{"a 501 KB batch", body(keyA, tracks("e", 501, 1024)...), 501, "", ""},
		{"2,501 events", body(keyA, tracks("e", 2501, 155)...), 2501, "", ""},
		{"2,501 events, packed", zipped(t, body(keyA, tracks("e", 2501, 155)...)), 2501, "", ""},
		{"duplicate keys, the last one counts",
			amid(strings.Replace(track("dup", 300), `{"type":"track"`, `{"type":"tick","type":"track"`, 1)), 250, "", ""},
		{"duplicate keys, the last one is wrong",
			amid(strings.Replace(track("dup", 300), `{"type":"track"`, `{"type":"track","type":"tick"`, 1)), 249, "invalid",
			"type_unknown"},
		{"two batches, the last one counts",
			`{"batch":[` + track("x", 300) + `,17],"writeKey":"` + keyA + `","batch":[` + track("y", 300) + `]}`, 1, "", ""},
		{"nesting 10,000 deep among 249 good", amid(deep), 249, "invalid", "too_deep"},
		{"nesting 10,000 deep and nothing else", `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, 0,
			"invalid", "too_deep"},
		{"wrong base64", packed[:40] + "!" + packed[41:], 0, "undecodable", "base64"},
		{"base64 of something else", "KLUv/AAAAAAAAAAA", 0, "undecodable", "zstd"},
		{"truncated zstd", packed[:len(packed)/8*4], 0, "undecodable", "zstd"},
		{"a zstd bomb", zipped(t, strings.Repeat(" ", 16<<20)), 0, "too_large", "decompressed"},
		{"null userId and no other", amid(`{"type":"track","event":"E","userId":null}`), 249, "invalid", "no_user_anon_id"},
		{"null userId and an anonymousId", amid(`{"type":"track","event":"E","userId":null,"anonymousId":"a"}`), 250, "", ""},
		{"a context that leaves no room", `{"writeKey":"` + keyA + `","context":{"x":"` + strings.Repeat("x", 480_000) +
			`"},"batch":[` + track("a", 300) + `]}`, 1, "", ""},
		{"a context and integrations that can't be read", `{"writeKey":"` + keyA + `","context":[],"integrations":"",` +
			`"receivedAt":7,"origin":[],"batch":[` + track("a", 300) + `]}`, 1, "", ""},
		{"a byte order mark", "\ufeff" + amid(track("a", 300)), 250, "", ""},
		{"an event with a field batch", strings.Replace(track("a", 300), "{", `{"batch":7,`, 1), 1, "", ""},
		{"a write key with a line break", body(`abc\n`, track("a", 300)), 0, "invalid", "invalid_write_key: the write key"},
		{"a write key with spaces", body(" abc ", track("a", 300)), 0, "invalid", "invalid_write_key"},
		{"a write key in quotes", body(`\"abc\"`, track("a", 300)), 0, "invalid", "invalid_write_key"},
		{"a write key of 200 characters", body(strings.Repeat("k", 200), track("a", 300)), 0, "invalid",
			"invalid_write_key"},
		{"a write key outside of ASCII", body("schlüssel", track("a", 300)), 0, "invalid", "invalid_write_key"},
		{"a write key with a colon", body("abc:", track("a", 300)), 0, "invalid", "invalid_write_key"},
		{"a write key of nothing but space", body(" ", track("a", 300)), 0, "invalid", "invalid_write_key"},
		{"a single event's write key", strings.Replace(track("a", 300), "{", `{"writeKey":"abc\n",`, 1), 0, "invalid",
			"invalid_write_key"},
		{"a single event's write key that is no string", strings.Replace(track("a", 300), "{", `{"writeKey":7,`, 1), 0,
			"undecodable", "writeKey must be a string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			messages := []in{
				{id: "before", body: body(keyB, track("before", 300)), sent: time.Now()},
				{id: "bad", body: c.body, sent: time.Now(), receives: 2, count: "9999"},
				{id: "after", body: body(keyB, track("after", 300)), sent: time.Now()},
			}
			want(t, "retained", r.invoke(t.Context(), messages...), []string{})
			want(t, "delivered", r.last.Delivered, c.delivered+2)
			want(t, "delivered events", len(r.segment.delivered()), c.delivered+2)
			dead := map[string]int{}
			if c.reason != "" {
				dead[c.reason] = 1
			}
			want(t, "dead letters", r.last.DeadLettered, dead)
			want(t, "dead letters", len(r.queue.deadLetters), len(dead))
			for _, l := range r.queue.deadLetters {
				want(t, "reason", attr(l, message.AttrReason), c.reason)
				if d := attr(l, message.AttrDetail); !strings.Contains(d, c.detail) {
					t.Errorf("the detail %q does not say %q", d, c.detail)
				}
				if c.delivered > 0 || c.detail == "invalid_write_key" { // of the others the body may be unreadable
					want(t, "events of the dead letter", len(deadLetterEvents(t, l)), 1)
				}
			}
		})
	}
}

func TestWhatIsLeftOutIsCountedOnceItsMessageIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		large := padTo(`{"type":"track","userId":"u","event":"e","x":"`, event.MaxEventBytes)
		message := in{id: "m", sent: time.Now(), body: `{"writeKey":"` + keyA + `","context":[],"receivedAt":{},"batch":[` +
			large + `,{"type":"page","userId":"u","name":"","category":""},` + track("good", 300) + `]}`}
		r.segment.answer = func(context.Context, *event.Batch) error { return errors.New("down") }
		want(t, "retained", r.invoke(t.Context(), message), []string{"m"})
		want(t, "omitted while it is retried", len(r.last.Omitted), 0)
		r.segment.answer = nil
		r.Handler = r.handler(Config{Segment: r.segment})
		want(t, "retained", r.invoke(t.Context(), message), []string{})
		want(t, "omitted", r.last.Omitted, map[string]int{"batch.context": 1, "batch.receivedAt": 1, "timestamp": 1,
			"messageId": 1, "name": 1, "category": 1})
		got := map[string]float64{}
		for _, m := range r.last.Metrics() {
			if m.Name == "FieldsOmitted" {
				got[m.Value] = m.Values[0]
			}
		}
		want(t, "metrics", len(got), 6)
		for _, e := range r.segment.delivered() {
			if len(e) > event.MaxEventBytes || strings.Contains(e, `""`) {
				t.Errorf("%d bytes are sent: %.100s", len(e), e)
			}
		}
	})
}

// padTo completes an event that ends within a string, to n bytes.
func padTo(head string, n int) string { return head + strings.Repeat("x", n-len(head)-2) + `"}` }

func TestBytesThatAreNotUTF8MakeOnlyTheirEventADeadLetter(t *testing.T) {
	r := newRig(t, nil)
	doc := payload(t, in{id: "a", body: body(keyA, track("bad", 300), track("x", 300))},
		in{id: "b", body: body(keyA, track("y", 300))})
	doc = bytes.Replace(doc, []byte(`Run`), []byte("\xff\xfe"), 1)
	want(t, "retained", r.invokeJSON(t.Context(), doc), []string{})
	want(t, "delivered", r.last.Delivered, 2)
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"invalid": 1})
}

func TestInvalidEventsOfAMessageShareADeadLetterForEachReason(t *testing.T) {
	var events []string
	for i := range 1000 {
		events = append(events, `{"messageId":"`+strconv.Itoa(i)+`","timestamp":"2026-11-01T00:00:00Z","userId":"u","type":"`+[]string{"tick", "track"}[i%2]+`"}`)
	}
	r := newRig(t, nil)
	want(t, "retained", r.invoke(t.Context(), in{id: "m", body: body("", events...)}), []string{})
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"invalid": 1000})
	want(t, "dead letters", len(r.queue.deadLetters), 2)
	for n, l := range r.queue.deadLetters {
		got := deadLetterEvents(t, l)
		want(t, "events", len(got), 500)
		for i, e := range got {
			want(t, "event", e, events[2*i+n])
		}
		want(t, "id", attr(l, message.AttrDeadLetterID), "m/"+strconv.Itoa(n))
	}
}

func TestAMessageWhoseDecodingPanicsIsADeadLetter(t *testing.T) {
	r := newRig(t, nil)
	broken := true
	r.decoders.New = func() any {
		if broken {
			return new(message.Decoder) // panics on anything compressed
		}
		return nil
	}
	text := zipped(t, body(keyA, track("a", 300)))
	retained := r.invoke(t.Context(), in{id: "plain", body: body(keyA, track("b", 300))},
		in{id: "packed", body: text, sent: time.Now()}, in{id: "plain-2", body: body(keyA, track("c", 300))})
	want(t, "retained", retained, []string{})
	want(t, "delivered", r.last.Delivered, 2)
	want(t, "dead letters", r.last.DeadLettered, map[string]int{message.ReasonPanic: 1})
	want(t, "by version", r.byVersion(), map[string]float64{"EventsDelivered": 2, "DeadLetters": 1, "Panics": 1})
	l := r.queue.deadLetters[0]
	want(t, "body", l.Body, text)
	want(t, "id", attr(l, message.AttrDeadLetterID), "packed")
	if d := attr(l, message.AttrDetail); !strings.Contains(d, "nil pointer") || !strings.Contains(d, "goroutine") {
		t.Errorf("the detail %q does not say where it panicked", d)
	}
	broken = false
	r.Handler = r.handler(Config{Segment: r.segment})
	want(t, "retained", r.invoke(t.Context(), in{id: "packed", body: l.Body}), []string{})
	want(t, "redriven", r.last.Delivered, 1)
}

func TestInvokeReturnsAnErrorForAPayloadThatIsNotAnSQSEvent(t *testing.T) {
	for name, doc := range map[string]string{
		"nothing":                 ``,
		"no JSON":                 `Records`,
		"an array":                `[]`,
		"null":                    `null`,
		"no Records":              `{"records":[]}`,
		"Records is no array":     `{"Records":{}}`,
		"Records is null":         `{"Records":null}`,
		"a record is no object":   `{"Records":[1]}`,
		"no messageId":            `{"Records":[{"body":"{}"}]}`,
		"an empty messageId":      `{"Records":[{"messageId":"","body":"{}"}]}`,
		"a messageId of a number": `{"Records":[{"messageId":1,"body":"{}"}]}`,
		"a body that is an event": `{"Records":[{"messageId":"m","body":{"type":"track"}}]}`,
		"cut":                     `{"Records":[{"messageId":"m","body":"{}"}`,
		"more after it":           `{"Records":[]}{}`,
	} {
		r := newRig(t, nil)
		if out, err := r.Invoke(t.Context(), []byte(doc)); err == nil || out != nil ||
			!strings.Contains(err.Error(), `"messageId"`) {
			t.Errorf("%s: answer %s, error %v", name, out, err)
		}
	}
}

func TestInvokeWaitsForItsBatchesWhenALaterRecordIsInvalid(t *testing.T) {
	r := newRig(t, nil)
	full := payload(t, in{id: "a", body: body(keyA, tracks("e", 2500, 155)...)})
	doc := append(full[:bytes.LastIndexByte(full, ']')], `,{"body":"no messageId"}]}`...)
	if _, err := r.Invoke(t.Context(), doc); err == nil || !strings.Contains(err.Error(), "record 1") {
		t.Errorf("error %v", err)
	}
	want(t, "attempts when it has answered", len(r.segment.attempts), 1)
}

func TestARecordNeedsOnlyAnIDAndABody(t *testing.T) {
	r := newRig(t, nil)
	doc := `{"x":[1,{"Records":[]}],"Records":[{"messageId":"a","body":` + quote(track("a", 300)) + `},{"attributes":null,"messageAttributes":[],"body":null,"messageId":"b"},
		{"messageId":"c","attributes":{"SentTimestamp":5},"messageAttributes":{"Origin":"client"},"body":` + quote(body(keyA, track("c", 300))) + `}]}`
	want(t, "retained", r.invokeJSON(t.Context(), []byte(doc)), []string{})
	want(t, "delivered", r.last.Delivered, 2)
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"undecodable": 1})
	want(t, "ages", len(r.last.Ages), 0)
}

func quote(text string) string {
	out, _ := json.Marshal(text) // of a string it can't fail
	return string(out)
}

func TestAnUnknownOriginAttributeIsIgnored(t *testing.T) {
	for _, c := range []struct {
		attribute string
		want      event.Origin
	}{{"client", event.FromClient}, {"server", event.FromServer}, {"mars", event.FromServer}, {"", event.FromServer}} {
		r := newRig(t, nil)
		r.invoke(t.Context(), in{id: "a", body: track("a", 300), origin: c.attribute})
		want(t, c.attribute, r.segment.attempts[0].Origin, c.want)
	}
}
