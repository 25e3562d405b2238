package replay

import (
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// FuzzSelection: a line that is refused by its bytes is not meant, whatever is in its event and in
// the selection.
func FuzzSelection(f *testing.F) {
	f.Add([]byte(`{"type":"track","event":"R\u0075n","userId":"u"}`), "Run", "u", "rejected", true, int64(1))
	f.Add([]byte(`{"type":"page","anonymousId":"\ud83d\ude00"}`), "page", "😀", "", false, int64(-1))
	f.Add([]byte("{\"type\":\"track\",\n\"event\":\"\xff\"}"), "�", "7", "x", true, int64(0))
	f.Add([]byte(`{"userId":1e3,"type":"identify"}`), "identify", "1e3", "expired", true, int64(999_999))
	f.Add([]byte(`no JSON`), "", "", "undecodable", true, int64(-1_000_001))
	f.Fuzz(func(t *testing.T, raw []byte, name, user, reason string, dead bool, offset int64) {
		r := archive.Record{Time: noon.Add(time.Duration(offset)), Outcome: archive.Delivered, Event: raw}
		s := Selection{From: noon, To: noon.Add(time.Hour), Outcome: archive.Delivered}
		if dead {
			r.Outcome, r.Reason, s.Outcome = archive.DeadLettered, reason, archive.DeadLettered
		}
		for value, list := range map[string]*[]string{name: &s.Events, user: &s.Users, reason: &s.Reasons} {
			if value != "" {
				*list = []string{value}
			}
		}
		line := archive.AppendRecord(nil, &r)
		read, err := archive.ParseRecord(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		m := newMatcher(s)
		var scanner rawjson.Scanner
		var e event.Event
		scanRecord(&scanner, &read, &e)
		if m.matches(&read, &e) && !m.mayMatch(line) {
			t.Fatalf("%+v means the line that is refused:\n%s", s, line)
		}
	})
}
