package archive

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestANeedleSkipsOnlyLinesThatCannotHaveTheText(t *testing.T) {
	n := NewNeedle("anna", "bob")
	for line, want := range map[string]bool{
		`{"event":{"userId":"anna"}}`:                   true,
		`{"event":{"userId":"joanna"}}`:                 true, // may be is enough
		`{"event":{"userId":"carl","x":"bob"}}`:         true,
		`{"event":{"userId":"\u0061nna"}}`:              true,
		`{"event_base64":"eyJ1c2VySWQiOiJhbm5hIn0="}`:   true,
		`{"record_base64":"eyJ1c2VySWQiOiJhbm5hIn0="}`:  true,
		`{"event":{"userId":"carl","event":"Paid now"}`: false,
		``: false,
	} {
		if got := n.MayBeIn([]byte(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func FuzzANeedleNeverSkipsAUser(f *testing.F) {
	f.Add("anna", []byte(`{"userId":"anna"}`))
	f.Add("a\"b", []byte(`{"userId":"a\u0022b"}`))
	f.Add("7", []byte("{\"userId\":\n7}"))
	f.Add("\u2028", []byte(`{"userId":"\u2028"}`))
	f.Fuzz(func(t *testing.T, user string, raw []byte) {
		if user == "" {
			return
		}
		quoted, err := json.Marshal(user)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range [][]byte{raw, []byte(`{"userId":` + string(quoted) + `}`)} {
			s := event.Summarize(e)
			line := AppendRecord(nil, &Record{Time: time.Unix(1, 0), Outcome: Delivered, Event: e})
			if (s.UserID == user || s.AnonymousID == user || s.PreviousID == user || s.MessageID == user) &&
				!NewNeedle(user).MayBeIn(line) {
				t.Errorf("%q is in %s", user, line)
			}
		}
	})
}
