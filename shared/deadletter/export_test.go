package deadletter

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestAnExportedLineIsAMessageWithOneEventAndItsReason(t *testing.T) {
	r, err := NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	l := &Received{DeadLetter: message.DeadLetter{ID: "m7/0", Reason: "rejected", Detail: "400: <no>", FirstSeen: at,
		Receives: 2,
		Header:   message.Header{Origin: event.FromClient},
		Body: []byte("{\"writeKey\":\"WK\",\"context\":{\"a\":\n1},\"receivedAt\":\"2026-11-24T11:00:00.000Z\",\"batch\":[{ " +
			"\"type\":\"track\",\r\n\"userId\":\"é\" },{\"messageId\":\"own\",\"timestamp\":\"t\"}]}")}}
	lines, n, err := l.lines(r)
	want(t, "error", err, error(nil))
	want(t, "events", n, 2)
	const from = `{"deadLetter":{"id":"m7/0","reason":"rejected","detail":"400: <no>","firstSeen":"2026-11-24T12:00:00Z","receives":2},"writeKey":"WK","origin":"client","context":{"a": 1},"batch":[`
	want(t, "lines", string(lines),
		from+`{"messageId":"m7/0-0","timestamp":"2026-11-24T12:00:00.000Z", "type":"track",  "userId":"é" }]}`+"\n"+
			from+`{"messageId":"own","timestamp":"t"}]}`+"\n")

	l.Body = []byte("no JSON \u00e9\n")
	lines, n, err = l.lines(r)
	want(t, "error", err, error(nil))
	want(t, "events", n, 1)
	if !json.Valid(lines) || !strings.HasSuffix(string(lines), `,"body":"no JSON é\n"}`+"\n") {
		t.Errorf("%s", lines)
	}
}

func TestExportLeavesDeadLettersInTheQueueAndDropDeletesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := filled(t, 60, func(i int, l *message.DeadLetter) {
			if i%3 == 0 {
				l.Reason = message.ReasonExpired
			}
		})
		dead.put(dead.messages[1].Message, "") // written twice
		lines := 0
		count := func(text []byte) error { lines += strings.Count(string(text), "\n"); return nil }
		q := New(dead, "dead")
		got, err := q.Export(t.Context(), Filter{}, count)
		want(t, "error", err, error(nil))
		want(t, "exported", got.Events+got.DeadLetters+lines, 3*60)
		want(t, "left", len(dead.messages)-dead.invisible(), 61)

		got, err = q.Drop(t.Context(), Filter{Reasons: []string{"expired"}}, func([]byte) error { return errReset })
		if !errors.Is(err, errReset) || got.DeadLetters != 0 || len(dead.messages)-dead.invisible() != 61 {
			t.Errorf("dropped what could not be written: %+v, %v", got, err)
		}
		lines = 0
		got, err = q.Drop(t.Context(), Filter{Reasons: []string{"expired"}}, count)
		want(t, "error", err, error(nil))
		want(t, "dropped", got.DeadLetters+lines, 40)
		want(t, "seen", got.InQueue, ReasonCounts{"expired": 20, "rejected": 41})
		want(t, "left", len(dead.messages)-dead.invisible(), 41)
	})
}
