package operator

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var noon = time.Date(2026, 1, 31, 12, 0, 5, 700, time.UTC)

func TestAMarkSaysSinceWhenByWhomAndWhy(t *testing.T) {
	for _, c := range []struct{ by, reason, want string }{
		{"", "", "since 2026-01-31 12:00 UTC"},
		{"ann@laptop", "", "since 2026-01-31 12:00 UTC by ann@laptop"},
		{"ann@laptop", " Segment migrates ", "since 2026-01-31 12:00 UTC by ann@laptop: Segment migrates"},
	} {
		m, err := New(noon, c.by, c.reason)
		if err != nil || m.String() != c.want {
			t.Errorf("New(%q, %q) says %q, %v; want %q", c.by, c.reason, m, err, c.want)
		}
		again, err := Parse(m.Document())
		if err != nil || again != m {
			t.Errorf("%s is read as %+v, %v", m.Document(), again, err)
		}
	}
	if got := (Mark{}).String(); got != "" {
		t.Errorf("no mark says %q", got)
	}
}

func TestAReasonThatSSMOrALineCantHoldIsRefused(t *testing.T) {
	for _, reason := range []string{strings.Repeat("a", MaxReason+1), "two\nlines", "{{ssm:x}}", "a\xffb", "\x1b[31m"} {
		if _, err := New(noon, "ann", reason); !errors.Is(err, ErrReason) {
			t.Errorf("%q: %v", reason, err)
		}
	}
}

func TestALongNameOfWhoItWasIsCutAtACharacter(t *testing.T) {
	m, err := New(noon, strings.Repeat("é", maxBy), "")
	if err != nil || len(m.By) > maxBy || !utf8.ValidString(m.By) {
		t.Errorf("%d bytes %q, %v", len(m.By), m.By, err)
	}
}

func TestAnOlderVersionReadsANewerMark(t *testing.T) {
	got, err := Parse([]byte(`{"since":"2026-01-31T12:00:05Z","by":"ann","ticket":{"id":7},"until":null}`))
	if err != nil || got.By != "ann" || !got.IsSet() {
		t.Errorf("%+v, %v", got, err)
	}
	keys, err := ParseKeys([]byte(`{"0a1b2c3d":{"since":"2026-01-31T12:00:05Z","ticket":1}}`))
	if err != nil || !keys["0a1b2c3d"].IsSet() {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestAnEmptyDocumentIsNoMarkAndAWrongOneAnError(t *testing.T) {
	for _, document := range []string{"", " \n", "null"} {
		if m, err := Parse([]byte(document)); err != nil || m.IsSet() {
			t.Errorf("%q is %+v, %v", document, m, err)
		}
		if k, err := ParseKeys([]byte(document)); err != nil || len(k) > 0 {
			t.Errorf("%q is %+v, %v", document, k, err)
		}
	}
	for _, document := range []string{"yes", "true", "{}", `{"since":"yesterday"}`, `{"by":"ann"}`, "[]"} {
		if m, err := Parse([]byte(document)); err == nil {
			t.Errorf("%q is %+v", document, m)
		}
	}
	for _, document := range []string{"yes", "[]", `{"0a1b2c3d":{}}`, `{"0a1b2c3d":true}`} {
		if k, err := ParseKeys([]byte(document)); err == nil {
			t.Errorf("%q is %+v", document, k)
		}
	}
	if _, err := ParseKeys([]byte("yes")); !strings.Contains(fmt.Sprint(err), `must be JSON like {"0a1b2c3d":{"since":"`) {
		t.Errorf("of write keys it says %v", err)
	}
}

func TestADozenKeysFitIntoAParameter(t *testing.T) {
	m, err := New(noon, "arn:aws:sts::123456789012:assumed-role/operators/ann@example.com", strings.Repeat("r", 100))
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{}
	for i := range 12 {
		keys[fmt.Sprintf("%08x", i)] = m
	}
	document, err := keys.Document()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseKeys(document); err != nil || !maps.Equal(again, keys) {
		t.Errorf("%+v, %v", again, err)
	}
	for i := range 20 {
		keys[fmt.Sprintf("f%07x", i)] = m
	}
	if _, err := keys.Document(); err == nil || !strings.Contains(err.Error(), "resume one first") {
		t.Errorf("%d keys: %v", len(keys), err)
	}
}

func TestAListThatIsFullCanBeResumedAndPausedAgain(t *testing.T) {
	m, err := New(noon, "ann@laptop", strings.Repeat("r", 150))
	if err != nil {
		t.Fatal(err)
	}
	keys, full := Keys{}, 0
	for ; ; full++ {
		more := keys.Pause(fmt.Sprintf("%08x", full), m)
		if _, err := more.Document(); err != nil {
			break
		}
		keys = more
	}
	stored := func() {
		t.Helper()
		document, err := keys.Document()
		if err != nil {
			t.Fatal(err)
		}
		if keys, err = ParseKeys(document); err != nil || len(document) > MaxDocument {
			t.Fatalf("%d bytes, %v", len(document), err)
		}
	}
	for i := range full {
		now := noon.Truncate(time.Second).Add(time.Duration(i) * time.Second)
		keys = keys.Resume(fmt.Sprintf("%08x", i), now)
		stored()
		m.Since = now
		keys = keys.Pause(fmt.Sprintf("%08x", full+i), m)
		stored()
		if paused := len(keys.Paused()); paused != full {
			t.Fatalf("%d keys are paused after %d were resumed, want %d", paused, i+1, full)
		}
	}
	for i := range full {
		keys = keys.Resume(fmt.Sprintf("%08x", full+i), noon.Add(time.Minute))
		stored()
	}
	if len(keys.Paused()) > 0 || len(keys) < full/2 {
		t.Errorf("%d keys are left, and %d are paused", len(keys), len(keys.Paused()))
	}
}

func TestWhoItWasCantMoveTheCursor(t *testing.T) {
	if m, err := New(noon, "ann\x1b[2J\n@laptop\xff", ""); err != nil || m.By != "ann[2J@laptop" {
		t.Errorf("%q, %v", m.By, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "null", `{"since":"2026-01-31T12:00:05Z","by":"ann","reason":"x"}`,
		`{"0a1b2c3d":{"since":"2026-01-31T12:00:05Z"}}`, "[]", "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		if m, err := Parse(document); err == nil && m.IsSet() {
			again, err := Parse(m.Document())
			if err != nil || !again.Since.Equal(m.Since) || again.String() != m.String() {
				t.Errorf("%q: %+v is read again as %+v, %v", document, m, again, err)
			}
		}
		keys, err := ParseKeys(document)
		if err != nil || len(keys) == 0 {
			return
		}
		written, err := keys.Document()
		if err != nil {
			return // too long
		}
		if again, err := ParseKeys(written); err != nil || len(again) != len(keys) {
			t.Errorf("%q: %+v is read again as %+v, %v", document, keys, again, err)
		}
	})
}

func TestAKeyThatWasResumedIsRememberedForAWhile(t *testing.T) {
	m := Mark{Since: noon, By: "ann"}
	none := Keys(nil)
	paused := none.Pause("0a1b2c3d", m)
	resumed := paused.Resume("0a1b2c3d", noon.Add(time.Hour)).Pause("4e5f6071", m)
	if len(none) > 0 || !paused["0a1b2c3d"].Resumed.IsZero() {
		t.Error("a set that is in use was changed")
	}
	if got := resumed.Paused(); len(got) != 1 || !got["4e5f6071"].IsSet() {
		t.Errorf("paused are %v", got)
	}
	document, err := resumed.Document()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKeys(document)
	if err != nil || !again["0a1b2c3d"].Resumed.Equal(noon.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("%s is read as %v, %v", document, again, err)
	}
	if later := again.Resume("4e5f6071", noon.Add(time.Hour+Remembered)); len(later) != 1 || len(later.Paused()) > 0 {
		t.Errorf("later there are %v", later)
	}
	if got := again.Resume("unknown", noon.Add(time.Hour)); len(got) != 2 {
		t.Errorf("after one that was not paused there are %v", got)
	}
}
