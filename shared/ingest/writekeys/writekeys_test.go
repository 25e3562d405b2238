package writekeys

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/reload"
)

const sample = `{"writeKeys":[
  {"name":"web","writeKey":"secret-web"},
  {"name":"partner","writeKey":"secret-partner","enabled":true,"quota":50,"burst":1000},
  {"name":"old","writeKey":"secret-old","enabled":false}
]}`

func TestADocumentHasNamesQuotasAndDisabledKeys(t *testing.T) {
	d, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]ingest.Key{}
	for _, e := range d.Entries {
		keys[e.WriteKey] = e.Key
	}
	for writeKey, want := range map[string]ingest.Key{
		"secret-web":     {Name: "web"},
		"secret-partner": {Name: "partner", Quota: 50, Burst: 1000},
		"secret-old":     {Name: "old", Disabled: true},
	} {
		if got, ok := keys[writeKey]; !ok || got != want {
			t.Errorf("%s: %+v, want %+v", want.Name, got, want)
		}
	}
	if len(keys) != 3 || d.Warnings != nil {
		t.Errorf("%d keys, warnings %q", len(keys), d.Warnings)
	}
}

// Keys are pasted from pages and chats, and documents are written by editors and by PowerShell.
func TestBlanksAroundAWriteKeyAreIgnoredWithAWarning(t *testing.T) {
	for _, blanks := range []string{"\\n", "\\r\\n", " ", "\\t", "\\u00a0", "\\ufeff", "\\u200b", "\\u2028"} {
		for _, key := range []string{"secret" + blanks, blanks + "secret", blanks + "secret" + blanks} {
			d, err := Parse([]byte(`{"writeKeys":[{"name":"a","writeKey":"` + key + `"},{"name":"b","writeKey":"other"}]}`))
			if err != nil {
				t.Errorf("%s: %v", key, err)
				continue
			}
			if _, ok := d.Keys.Lookup("secret"); !ok || len(d.Warnings) != 1 ||
				d.Warnings[0] != `the write key named "a" has white space around it, which is ignored` {
				t.Errorf("%s: found %v, warnings %q", key, ok, d.Warnings)
			}
		}
	}
	if _, err := Parse([]byte(`{"writeKeys":[{"name":"a","writeKey":"secret\n"},{"name":"b","writeKey":"secret"}]}`)); err == nil ||
		!strings.Contains(err.Error(), "the same write key") {
		t.Errorf("the same key with a line end: %v", err)
	}
	if d, err := Parse([]byte("\ufeff" + sample)); err != nil || len(d.Entries) != 3 {
		t.Errorf("a byte order mark before the document: %v", err)
	}
}

func TestAnInvalidDocumentIsAnErrorThatQuotesNoKey(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               ``,
		"broken off":          `{"writeKeys":[{"name":"a","writeKey":"secret"`,
		"data after it":       `{"writeKeys":[{"name":"a","writeKey":"secret"}]} secret`,
		"an array":            `["secret"]`,
		"null":                `null`,
		"no keys":             `{"writeKeys":[]}`,
		"keys as fields":      `{"secret":{"name":"a"}}`,
		"enabled is a string": `{"writeKeys":[{"name":"a","writeKey":"secret","enabled":"secret"}]}`,
		"the same key":        `{"writeKeys":[{"name":"a","writeKey":"secret"},{"name":"b","writeKey":"secret"}]}`,
		"quota is a string":   `{"writeKeys":[{"name":"a","writeKey":"secret","quota":"secret"}]}`,
		"quota too large":     `{"writeKeys":[{"name":"a","writeKey":"secret","quota":1e999}]}`,
		"not UTF-8":           "\xff\xfe",
		"UTF-16":              "\xfe\xff\x00{",
		"keys there twice":    `{"writeKeys":[{"name":"a","writeKey":"secret"}],"writeKeys":[{"name":"b","writeKey":"x"}]}`,
		"in upper case":       `{"writeKeys":[{"name":"a","writeKey":"secret"}],"WriteKeys":[{"name":"b","writeKey":"x"}]}`,
		"enabled twice":       `{"writeKeys":[{"name":"a","enabled":false,"writeKey":"secret","enabled":true}]}`,
		"a space in a key":    `{"writeKeys":[{"name":"a","writeKey":"secret secret"}]}`,
		"a quoted key":        `{"writeKeys":[{"name":"a","writeKey":"\"secret\""}]}`,
		"no name":             `{"writeKeys":[{"writeKey":"secret"}]}`,
		"only blanks":         `{"writeKeys":[{"name":"a","writeKey":" \n"}]}`,
	} {
		_, err := Parse([]byte(text))
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "write") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// After a roll-back an older version reads the document that was written for a newer one.
func TestUnknownFieldsAreIgnoredAndTheirPlacesNamed(t *testing.T) {
	d, err := Parse([]byte(`{"version":2,"writeKeys":[
  {"name":"a","writeKey":"secret","WRITEKEY2":{"quota":1,"writeKeys":[1]},"enabled":false},
  {"name":"b","writeKey":"other","secret":null,"quota":5}
],"more":[{"name":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = "line 1, column 10; line 2, column 45; line 3, column 41; line 4, column 8"
	if got := strings.Join(d.Unknown, "; "); got != want {
		t.Errorf("unknown are %s, want %s", got, want)
	}
	if a, ok := d.Keys.Lookup("secret"); !ok || !a.Disabled {
		t.Errorf("%+v, %v", a, ok)
	}
	if b, ok := d.Keys.Lookup("other"); !ok || b.Quota != 5 {
		t.Errorf("%+v, %v", b, ok)
	}
}

func FuzzEachParsedKeyIsFound(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"writeKeys":[{"name":"a","writeKey":"\ud800"}]}`))
	f.Add([]byte(`{"writeKeys":[{"name":"a","writeKey":" b\n"},{"name":"c","writeKey":"d","enabled":false}],"x":[[{}]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		if len(d.Entries) == 0 {
			t.Fatal("a document without keys was parsed")
		}
		for _, want := range d.Entries {
			want.ID = event.KeyID(want.WriteKey)
			if got, ok := d.Keys.Lookup(want.WriteKey); !ok || got != want.Key {
				t.Fatalf("%+v, want %+v", got, want.Key)
			}
		}
	})
}

// changing is a source that a test changes.
type changing struct {
	mu   sync.Mutex
	text string
	err  error
}

func (d *changing) read(context.Context) (reload.Content, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return reload.Content{Data: []byte(d.text)}, d.err
}

func (d *changing) set(text string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text, d.err = text, err
}

// follow makes a Set of a source, which a server reads until the test ends.
func follow(t *testing.T, source *changing, log io.Writer) *Set {
	s := New(slog.New(slog.NewTextHandler(log, nil)), reload.Source{Name: "test", Read: source.read})
	s.Values().Refresh(t.Context())
	go s.Values().Run(t.Context())
	return s
}

func knows(s *Set, writeKey string) bool { _, ok := s.Lookup(writeKey); return ok }

func TestAChangedDocumentTakesEffectAndAnInvalidOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &changing{text: sample}
		s := follow(t, source, &log)
		if !knows(s, "secret-web") || knows(s, "secret-new") {
			t.Error("the first set is not used")
		}
		source.set(`{"writeKeys":[{"name":"new","writeKey":"secret-new"}]}`, nil)
		time.Sleep(reload.Interval * 11 / 10)
		synctest.Wait()
		if knows(s, "secret-web") || !knows(s, "secret-new") {
			t.Error("the second set is not used")
		}
		for _, mistake := range []struct {
			text string
			err  error
		}{
			{"", errors.New("throttled")},
			{`{"writeKeys":[{"name":"new","writeKey":"not a key"}]}`, nil},
			{`{}`, nil},
		} {
			source.set(mistake.text, mistake.err)
			time.Sleep(reload.Interval * 11 / 10)
			synctest.Wait()
			if !knows(s, "secret-new") || knows(s, "anything") || s.State() != ingest.KeysOld || s.Failure() == nil {
				t.Errorf("the last good set is not used, or this is not told: %d, %v", s.State(), s.Failure())
			}
		}
		if n := strings.Count(log.String(), "could not be read again"); n < 3 {
			t.Errorf("%d failures in the log:\n%s", n, &log)
		}
		if strings.Contains(log.String(), "secret-") || !strings.Contains(log.String(), "count=3") {
			t.Errorf("the log says:\n%s", &log)
		}
	})
}

func TestNoKeyIsFoundUntilAFirstSetHasBeenRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &changing{err: errors.New("no such parameter")}
		s := follow(t, source, io.Discard)
		if knows(s, "anything") || s.State() != ingest.KeysUnread ||
			!strings.Contains(s.Failure().Error(), "the write keys in test can't be read, requests are answered 429: no such") {
			t.Errorf("%d, %v", s.State(), s.Failure())
		}
		source.set(sample, nil)
		time.Sleep(2 * reload.FirstInterval)
		synctest.Wait()
		if knows(s, "anything") || !knows(s, "secret-web") || s.State() != ingest.KeysCurrent || s.Failure() != nil {
			t.Errorf("the set is not used: %d, %v", s.State(), s.Failure())
		}
	})
}

func TestAProgramThatStartsFindsTheLastGoodSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := New(slog.New(slog.NewTextHandler(&log, nil)), reload.Source{Name: "test",
			Read: func(context.Context) (reload.Content, error) {
				return reload.Content{Data: []byte(strings.Replace(sample, `"},`, `",`, 1)), Version: "3"}, nil
			},
			Before: func(context.Context, string) (reload.Content, error) {
				return reload.Content{Data: []byte(sample), Version: "2"}, nil
			}})
		s.Values().Refresh(t.Context())
		key, ok := s.Lookup("secret-old")
		if !ok || !key.Disabled || !knows(s, "secret-web") || knows(s, "anything") || s.State() != ingest.KeysOld {
			t.Errorf("%+v, %v, state %d", key, ok, s.State())
		}
		if text := log.String(); !strings.Contains(text, "an earlier version of the set of write keys is used") ||
			!strings.Contains(text, "version=2") || strings.Contains(text, "secret") {
			t.Errorf("the log says:\n%s", text)
		}
	})
}

// A set above the size of one parameter is in several, which also lets each team have its own.
func TestASetCanBeInSeveralDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &changing{text: `{"writeKeys":[{"name":"a","writeKey":"key-a"},{"name":"b","writeKey":"key-b","enabled":false}]}`}
		other := &changing{err: errors.New("throttled")}
		s := New(slog.New(slog.DiscardHandler), reload.Source{Name: "one", Read: one.read},
			reload.Source{Name: "other", Read: other.read})
		s.Values().Refresh(t.Context())
		if !knows(s, "key-a") || knows(s, "key-c") || s.State() != ingest.KeysUnread {
			t.Errorf("with one document unread: state %d", s.State())
		}
		other.set(`{"writeKeys":[{"name":"c","writeKey":"key-c"},{"name":"again","writeKey":"key-b"}]}`, nil)
		time.Sleep(2 * reload.FirstInterval)
		s.Values().Refresh(t.Context())
		if !knows(s, "key-a") || !knows(s, "key-c") || knows(s, "key-d") || s.State() != ingest.KeysCurrent {
			t.Errorf("with both read: state %d", s.State())
		}
		if key, _ := s.Lookup("key-b"); !key.Disabled {
			t.Error("a key that one document disables is accepted because of the other")
		}
		one.set("{", nil)
		time.Sleep(2 * reload.Interval)
		s.Values().Refresh(t.Context())
		if err := s.Failure(); s.State() != ingest.KeysOld || err == nil || !strings.HasPrefix(err.Error(),
			"the write keys in one can't be read, an earlier set is used: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("state %d, %v", s.State(), err)
		}
	})
}

func TestDocumentsThatAreUsedTogetherShareNoKeyAndNoName(t *testing.T) {
	document := func(name, key string) *Document {
		d, err := Parse([]byte(`{"writeKeys":[{"name":"` + name + `","writeKey":"` + key + `"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if err := Together([]*Document{document("a", "1"), document("b", "2")}); err != nil {
		t.Error(err)
	}
	for want, other := range map[string]*Document{`"a" and "b" have the same write key`: document("b", "1"),
		`two write keys are named "a"`: document("a", "2")} {
		if err := Together([]*Document{document("a", "1"), other}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAnErrorNamesThePlaceInTheDocument(t *testing.T) {
	for text, want := range map[string]string{
		`{"writeKeys":[{"name":"a",}]}`:                                     "invalid JSON at line 1, column 27",
		`{"writeKeys":[{"name":"a","enabled":"x"}]}`:                        "ends at line 1, column 39 ",
		`{"writeKeys":[`:                                                    "too early",
		"{\"writeKeys\":[\n {\"name\":\"a\",\n  \"writeKey\" \"secret\"}]}": "invalid JSON at line 3, column 14",
		"{\"writeKeys\":[{\"name\":\"a\",\n\"name\":\"a\",\"writeKey\":\"secret\"}]}": "a field is there twice, at line " +
			"2, column 6",
		"{\"writeKeys\":[{\"name\":\"a\",\"writeKey\":\"secret\"}]}\n\nx": "at line 3, column ",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestABurstWithoutAQuotaIsInvalid(t *testing.T) {
	_, err := Parse([]byte(`{"writeKeys":[{"name":"a","writeKey":"secret","burst":5}]}`))
	if err == nil || !strings.Contains(err.Error(), `"a" has a burst but no quota`) {
		t.Errorf("%v", err)
	}
}
