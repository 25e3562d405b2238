package feed

import (
	"encoding/json"
	"testing"

	"github.com/segmentio/analytics-go/v3"
)

// What is made up looks to Segment as if analytics-go had sent it.
func TestMadeUpEventsAreThoseOfAnalyticsGo(t *testing.T) {
	n := 0
	ids := map[string]bool{}
	for line, err := range Generate(50) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; line.Number != n {
			t.Fatalf("line %d is number %d", n, line.Number)
		}
		raw := line.Event.JSON()
		if len(raw) < 900 || len(raw) > 1200 {
			t.Errorf("it has %d bytes, want about 1 KB", len(raw))
		}
		track, ok := line.Event.Message().(analytics.Track)
		if !ok || track.Validate() != nil || track.Context == nil || track.Context.App.Name != "Trails" ||
			track.Properties["activity"] == "" || track.Timestamp.IsZero() || ids[track.MessageId] {
			t.Fatalf("%s", raw)
		}
		ids[track.MessageId] = true
		again, err := json.Marshal(track)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := values(t, raw), values(t, again); a != b {
			t.Fatalf("analytics-go writes\n%s\nnot\n%s", b, a)
		}
	}
	if n != 50 {
		t.Errorf("%d events", n)
	}
}

// values is JSON with the members of objects in order.
func values(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

func TestAMadeUpEventHasTheIdThatItIsGiven(t *testing.T) {
	raw, err := MadeUp(7, "the-id")
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ MessageID, Type string }
	if err := json.Unmarshal(raw, &e); err != nil || e.MessageID != "the-id" || e.Type != "track" {
		t.Errorf("%s, %v", raw, err)
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for _, err := range Generate(b.N) {
		if err != nil {
			b.Fatal(err)
		}
	}
}
