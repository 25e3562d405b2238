package event

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// fill pads an event, whose tail is `"}`, to n bytes.
func fill(t *testing.T, event string, n int) string {
	t.Helper()
	head, ok := strings.CutSuffix(event, `"}`)
	if !ok || len(event) > n {
		t.Fatalf("can't fill %s to %d bytes", event, n)
	}
	return head + strings.Repeat("x", n-len(event)) + `"}`
}

// Sizes of what enrichment inserts before other fields, with a comma.
const (
	sizeID        = len(`"messageId":"new-id",`)
	sizeTime      = len(`"timestamp":"2026-11-23T12:00:00.000Z",`)
	sizeIP        = len(`"context":{"ip":"203.0.113.7"},`)
	sizeIPAgent   = len(`"context":{"ip":"203.0.113.7","userAgent":"Mozilla"},`)
	sizeTypeTrack = len(`"type":"track",`)
)

func TestWhatHasNoRoomInAnEventIsLeftOut(t *testing.T) {
	const bare = `{"type":"track","userId":"u","event":"e","pad":""}`
	client := Enrichment{Client: true, IP: "203.0.113.7", UserAgent: "Mozilla"}
	for _, c := range []struct {
		name, event string
		size        int // as the event came
		en          Enrichment
		want        Omitted
		out         int // size of what is sent
	}{
		{"all fits", bare, MaxEventBytes - sizeID - sizeTime - sizeIPAgent, client, 0, MaxEventBytes},
		{"no user agent", bare, MaxEventBytes - sizeID - sizeTime - sizeIPAgent + 1, client, OmittedUserAgent,
			MaxEventBytes + 1 - sizeIPAgent + sizeIP},
		{"no address", bare, MaxEventBytes - sizeID - sizeTime - sizeIP + 1, client, OmittedUserAgent | OmittedIP,
			MaxEventBytes + 1 - sizeIP},
		{"a server's", bare, MaxEventBytes - sizeID - sizeTime, Enrichment{}, 0, MaxEventBytes},
		{"no timestamp", bare, MaxEventBytes - sizeID - sizeTime + 1, Enrichment{}, OmittedTimestamp,
			MaxEventBytes + 1 - sizeTime},
		{"no messageId", bare, MaxEventBytes - sizeID + 1, Enrichment{}, OmittedTimestamp | OmittedMessageID,
			MaxEventBytes - sizeID + 1},
		{"nothing at all", bare, MaxEventBytes, client,
			OmittedUserAgent | OmittedIP | OmittedTimestamp | OmittedMessageID, MaxEventBytes},
		{"only what was to be added counts", `{"messageId":"m","type":"track","userId":"u","event":"e","pad":""}`,
			MaxEventBytes, Enrichment{}, OmittedTimestamp, MaxEventBytes},
		{"a context of its own", `{"messageId":"m","timestamp":"x","type":"track","context":{"a":1},"userId":"u","event":"e","pad":""}`,
			MaxEventBytes, client, OmittedUserAgent | OmittedIP, MaxEventBytes},
		{"a null messageId", `{"messageId":null,"timestamp":"x","type":"track","userId":"u","event":"e","pad":""}`,
			MaxEventBytes, Enrichment{}, OmittedMessageID, MaxEventBytes},
		{"a timestamp that would get longer",
			`{"messageId":"m","timestamp":"2026-11-23T11:00:00Z","type":"track","userId":"u","event":"e","pad":""}`,
			MaxEventBytes, Enrichment{SentAt: receivedAt}, OmittedTimestamp, MaxEventBytes},
		{"what is removed makes room",
			`{"sentAt":"2026-11-23T11:00:00Z","writeKey":"a-key-as-long-as-the-id","type":"track","userId":"u","event":"e","timestamp":"x","pad":""}`,
			MaxEventBytes, Enrichment{WriteKey: "a-key-as-long-as-the-id"}, 0,
			MaxEventBytes + sizeID - len(`"sentAt":"2026-11-23T11:00:00Z","writeKey":"a-key-as-long-as-the-id",`)},
		{"an empty name makes room", `{"type":"page","name":"","userId":"u","timestamp":"x","pad":""}`, MaxEventBytes,
			Enrichment{}, OmittedName | OmittedMessageID, MaxEventBytes - len(`"name":"",`)},
		{"an event that is too large gets everything", bare, MaxEventBytes + 1, Enrichment{}, 0,
			MaxEventBytes + 1 + sizeID + sizeTime},
	} {
		raw := []byte(fill(t, c.event, c.size))
		var s rawjson.Scanner
		var e Received
		s.Reset(raw)
		if err := ScanReceived(&s, raw, "", &e); err != nil || (e.Problem != nil) != (c.size > MaxEventBytes) {
			t.Fatalf("%s: error %v, problem %v", c.name, err, e.Problem)
		}
		c.en.ReceivedAt, c.en.AppendID = receivedAt, newID
		out, omitted := e.AppendEnriched([]byte("before"), &c.en)
		if n := len(out) - len("before"); n != c.out || omitted != c.want || !rawjson.Valid(out[len("before"):]) {
			t.Errorf("%s: %d bytes, %b omitted; want %d, %b: %.200s", c.name, n, omitted, c.out, c.want, out)
		}
	}
}

func TestAnEventThatNeedsATypeAndHasNoRoomForItGetsEverything(t *testing.T) {
	raw := []byte(fill(t, `{"userId":"u","event":"e","pad":""}`, MaxEventBytes-sizeTypeTrack+1))
	var s rawjson.Scanner
	var e Received
	s.Reset(raw)
	if err := ScanReceived(&s, raw, "track", &e); err != nil || e.Problem != nil {
		t.Fatal(err, e.Problem)
	}
	en := &Enrichment{PathType: "track", ReceivedAt: receivedAt, AppendID: newID}
	if out, omitted := e.AppendEnriched(nil, en); len(out) <= MaxEventBytes || omitted != 0 {
		t.Errorf("%d bytes, %b omitted", len(out), omitted)
	}
}

func TestAnIdentityThatHasNoRoomIsLeftOut(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	const bare = `{"type":"track","userId":"u","event":"e","pad":""}`
	for _, c := range []struct {
		event string
		size  int
		want  Omitted
	}{
		{bare, MaxEventBytes - sizeID - sizeTime, 0},
		{bare, MaxEventBytes - sizeID - sizeTime + 1, OmittedTimestamp},
		{bare, MaxEventBytes - sizeID, OmittedTimestamp},
		{bare, MaxEventBytes - sizeID + 1, OmittedTimestamp | OmittedMessageID},
		{bare, MaxEventBytes, OmittedTimestamp | OmittedMessageID},
		{`{"messageId":"","timestamp":"x","type":"track","userId":"u","event":"e","pad":""}`, MaxEventBytes,
			OmittedMessageID},
		{`{"category":"","type":"screen","userId":"u","pad":""}`, MaxEventBytes,
			OmittedCategory | OmittedTimestamp | OmittedMessageID},
		{`{"category":"","type":"screen","userId":"u","pad":""}`, MaxEventBytes - sizeID + len(`"category":"",`),
			OmittedCategory | OmittedTimestamp},
	} {
		e := mustScan(t, fill(t, c.event, min(c.size, MaxEventBytes)))
		if e.Problem != nil || e.Identified() {
			t.Fatalf("problem %v, identified %v", e.Problem, e.Identified())
		}
		out, omitted := e.AppendIdentified(nil, "new-id", at)
		if len(out) > MaxEventBytes || omitted != c.want || !rawjson.Valid(out) {
			t.Errorf("%.60s of %d bytes: %d bytes, %b omitted, want %b", c.event, c.size, len(out), omitted, c.want)
		}
	}
}

func TestOmissionsAreCountedByField(t *testing.T) {
	var n Omissions
	if n.ByField() != nil {
		t.Error("counts of nothing")
	}
	n.Add(OmittedUserAgent | OmittedBatchReceivedAt)
	n.Add(OmittedUserAgent | OmittedName)
	want := map[string]int{"context.userAgent": 2, "batch.receivedAt": 1, "name": 1}
	if got := n.ByField(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var all Omissions
	all.Add(1<<len(fieldNames) - 1)
	if got := fmt.Sprint(all.ByField()); len(all.ByField()) != len(fieldNames) || strings.Contains(got, ":0") {
		t.Errorf("not every field has a name of its own: %s", got)
	}
}
