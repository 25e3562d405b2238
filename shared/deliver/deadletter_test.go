package deliver

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// deadLetterText is a dead letter's body as text.
func deadLetterText(t *testing.T, l message.Message) string {
	t.Helper()
	if attr(l, message.AttrContentEncoding) != message.EncodingZstd {
		return l.Body
	}
	packed, err := base64.StdEncoding.DecodeString(l.Body)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// noise is incompressible text of n bytes. What is shorter is the beginning of what is longer.
func noise(n int) string {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(n)+1)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(raw)
	return base64.RawStdEncoding.EncodeToString(raw)[:n]
}

func TestADeadLetterHoldsTheEventAsItCameAndItsMessagesHeader(t *testing.T) {
	bad := `{ "type":"track", "userId":"u", "n":9007199254740993, "messageId":"own", "timestamp":"2026-01-01T00:00:00Z" }`
	text := `{"context":{"a": 1},"integrations":{"All":true},"origin":"client","receivedAt":"2026-11-01T00:00:00.000Z","batch":[` + track("good", 300) + `,` + bad + `]}`
	r := newRig(t, nil)
	want(t, "retained", r.invoke(t.Context(),
		in{id: "m", body: text, sent: time.UnixMilli(1_793_000_000_000), receives: 3}),
		[]string{})
	l := r.queue.deadLetters[0]
	want(t, "events", deadLetterEvents(t, l), []string{bad})
	// The default write key is ours and not the message's: it must not be in a dead letter.
	want(t, "body", l.Body, `{"origin":"client","receivedAt":"2026-11-01T00:00:00.000Z","context":{"a": 1},"integrations":{"All":true},"batch":[`+bad+`]}`)
	got := map[string]string{}
	for name := range l.Attributes {
		got[name] = attr(l, name)
	}
	if _, err := time.Parse(time.RFC3339, got[message.AttrLastSeen]); err != nil {
		t.Error(err)
	}
	delete(got, message.AttrLastSeen)
	want(t, "attributes", got, map[string]string{
		message.AttrDeadLetterID: "m/1", message.AttrReason: "invalid",
		message.AttrDetail: "event_not_defined: a track needs an event name", message.AttrReceives: "3",
		message.AttrFirstSeen: "2026-11-01T00:00:00.000Z", message.AttrEventCount: "1", message.AttrOrigin: "client",
	})
}

func TestADeadLetterHasTheWriteKeyThatItsMessageCarried(t *testing.T) {
	r := newRig(t, refusing(track("p", 300)))
	r.invoke(t.Context(), in{id: "m", body: body(keyB, track("p", 300))})
	want(t, "body", r.queue.deadLetters[0].Body, `{"writeKey":"`+keyB+`","origin":"server","batch":[`+track("p", 300)+`]}`)
}

func TestASecondReceiveWritesTheSameDeadLetterAgain(t *testing.T) {
	r := newRig(t, nil)
	m := in{id: "m", sent: time.UnixMilli(1_793_000_000_000),
		body: body(keyA, `{"type":"tick"}`, `{"type":"track","userId":"u"}`, `{"type":"tock"}`)}
	for n := range 2 {
		m.receives = n + 1
		want(t, "retained", r.invoke(t.Context(), m), []string{})
	}
	want(t, "dead letters", len(r.queue.deadLetters), 4)
	for i := range 2 {
		first, second := r.queue.deadLetters[i], r.queue.deadLetters[i+2]
		want(t, "id", attr(second, message.AttrDeadLetterID), attr(first, message.AttrDeadLetterID))
		want(t, "body", second.Body, first.Body)
	}
}

func TestARedrivenDeadLetterIsTheSameEventToSegment(t *testing.T) {
	raw := `{"type":"track","userId":"u","event":"E"}`
	reject := true
	r := newRig(t, func(context.Context, *event.Batch) error {
		if reject {
			return status(400)
		}
		return nil
	})
	r.invoke(t.Context(), in{id: "m", sent: time.UnixMilli(1_793_000_000_000), body: raw})
	reject = false
	want(t, "retained", r.invoke(t.Context(), in{id: "another", sent: time.Now(), body: r.queue.deadLetters[0].Body}),
		[]string{})
	want(t, "event", r.segment.attempts[1].events, r.segment.attempts[0].events)
}

func TestBodiesThatSQSWouldRefuseAreCompressed(t *testing.T) {
	for name, text := range map[string]string{
		"control characters": "a\x00b\x01c" + marker,
		"not a character":    "\uFFFE\uFFFF",
		"large":              strings.Repeat("not JSON ", 40_000),
	} {
		r := newRig(t, nil)
		want(t, name, r.invoke(t.Context(), in{id: "m", body: text}), []string{})
		want(t, name, deadLetterText(t, r.queue.deadLetters[0]), text)
		want(t, name, attr(r.queue.deadLetters[0], message.AttrContentEncoding), "zstd")
	}
}

func TestDeadLettersOfUpToAMegabyteAreWrittenWhole(t *testing.T) {
	most := 1 << 20
	for name, text := range map[string]string{
		"not JSON":                         "!" + noise(most-1),
		"not JSON and just too large":      "!" + noise(most-400),
		"not JSON and just small enough":   "!" + noise(most-4000),
		"wrong base64":                     "KLUv/" + noise(most-6) + "!",
		"a large event":                    strings.Replace(track("large", 0), `"fill":"`, `"fill":"`+noise(most-2000), 1),
		"control characters, much of it":   strings.Repeat("\x01", 100) + noise(most-100),
		"compresses well":                  "!" + strings.Repeat("a", most-1),
		"larger than SQS lets anybody":     "!" + noise(3*most),
		"characters of more than one byte": "!" + strings.Repeat("é", 100) + noise(most-201),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			want(t, "retained", r.invoke(t.Context(), in{id: "m", body: text, sent: time.Now()}), []string{})
			var whole strings.Builder
			ids := map[string]bool{}
			counted := 0
			for _, l := range r.queue.deadLetters {
				whole.WriteString(deadLetterText(t, l))
				ids[attr(l, message.AttrDeadLetterID)] = true
				n, err := strconv.Atoi(attr(l, message.AttrEventCount))
				if err != nil {
					t.Fatal(err)
				}
				counted += n
				if d := attr(l, message.AttrDetail); len(r.queue.deadLetters) > 1 && !strings.Contains(d, "part ") {
					t.Errorf("the detail does not say that it is a part: %q", d)
				}
			}
			if !strings.Contains(whole.String(), text) {
				t.Errorf("%d dead letters do not hold the body that came", len(r.queue.deadLetters))
			}
			want(t, "different ids", len(ids), len(r.queue.deadLetters))
			want(t, "events", counted, 1)
		})
	}
}

func TestManyLargeEventsThatDoNotCompressAreSeveralReadableDeadLetters(t *testing.T) {
	var events []string
	for i := range 30 {
		events = append(events, strings.Replace(track("large-"+strconv.Itoa(i), 0), `"fill":"`, `"fill":"`+noise(34_000), 1))
	}
	r := newRig(t, nil)
	want(t, "retained", r.invoke(t.Context(), in{id: "m", body: body(keyA, events...)}), []string{})
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"too_large": 30})
	var got []string
	for _, l := range r.queue.deadLetters {
		got = append(got, deadLetterEvents(t, l)...)
	}
	if !slices.Equal(got, events) {
		t.Errorf("the dead letters hold %d events, or other events than came", len(got))
	}
	want(t, "ids", []string{attr(r.queue.deadLetters[0], message.AttrDeadLetterID),
		attr(r.queue.deadLetters[1], message.AttrDeadLetterID)}, []string{"m/0", "m/0.1"})
}

func TestKeyIDDoesNotRevealTheKey(t *testing.T) {
	want(t, "no key", event.KeyID(""), "none")
	id := event.KeyID(keyA)
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 4 || id == event.KeyID(keyB) ||
		id != event.KeyID(keyA) {
		t.Errorf("KeyID is %q", id)
	}
}

func TestMetricsHaveTheReportsNumbers(t *testing.T) {
	r := newRig(t, refusing(track("p", 300)))
	r.invoke(t.Context(), in{id: "a", body: body(keyA, track("p", 300), track("g", 300)),
		sent: time.Now().Add(-time.Minute)})
	got := map[string]float64{}
	for _, m := range r.last.Metrics() {
		for _, v := range m.Values {
			got[m.Name+" "+m.Value] += v
		}
	}
	for name, value := range map[string]float64{
		"EventsDelivered ": 1, "EventsDeadLettered rejected": 1, "EventsGivenUp ": 1,
		"SegmentResponses delivered": 1, "SegmentResponses rejected": 2, "DeadLetterErrors ": 0, "VisibilityErrors ": 0,
	} {
		want(t, name, got[name], value)
	}
	if age := got["EventAge "]; age < 60 || age > 120 {
		t.Errorf("EventAge is %v s, want 60", age)
	}
}

// What a deployment watches of a version must be there for each invocation, also if all is well, and
// hold what was retained and what is a dead letter for any reason.
func TestAVersionsMetricsCountWhatItDidNotDeliver(t *testing.T) {
	r := newRig(t, nil)
	r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))})
	want(t, "when all is well", r.byVersion(), map[string]float64{"EventsDelivered": 1})
	r.segment.answer = func(_ context.Context, b *event.Batch) error {
		if b.WriteKey == keyB {
			return status(429)
		}
		return nil
	}
	r.invoke(t.Context(), in{id: "b", body: body(keyB, track("b", 300), track("c", 300))},
		in{id: "d", body: "no JSON"}, in{id: "e", body: body(keyA, track("e", 300), `{"type":"track","userId":"u"}`)})
	want(t, "when something is not", r.byVersion(),
		map[string]float64{"EventsDelivered": 1, "Failures": 2, "DeadLetters": 2})
}

// Metrics and the log have units of their own: Segment takes a quarter of a second, and the event
// is a minute and a half old.
func TestTimesHaveTheUnitsThatMetricsAndLogName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error {
			time.Sleep(250 * time.Millisecond)
			return nil
		})
		r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300)), sent: time.Now().Add(-90 * time.Second)})
		found := 0
		for _, m := range r.last.Metrics() {
			switch m.Name {
			case "FlushLatency":
				want(t, m.Name, fmt.Sprint(m.Values, m.Unit), "[250]Milliseconds")
				found++
			case "EventAge":
				want(t, m.Name, fmt.Sprint(m.Values, m.Unit), "[90]Seconds")
				found++
			}
		}
		want(t, "metrics", found, 2)
		var line map[string]any
		if err := json.Unmarshal(r.log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]float64{"slowest_flush_ms": 250, "oldest_ms": 90_000, "duration_ms": 250} {
			want(t, name, line[name], any(value))
		}
	})
}
