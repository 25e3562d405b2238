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

	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/reload"
)

const sample = `{"writeKeys":[
  {"name":"web","writeKey":"secret-web"},
  {"name":"partner","writeKey":"secret-partner","enabled":true,"quota":50,"burst":1000},
  {"name":"old","writeKey":"secret-old","enabled":false}
]}`

func TestADocumentHasNamesQuotasAndDisabledKeys(t *testing.T) {
	keys, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
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
	if len(keys) != 3 {
		t.Errorf("%d keys", len(keys))
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
		"unknown field":       `{"writeKeys":[{"name":"a","writeKey":"secret","disabled":true}]}`,
		"enabled is a string": `{"writeKeys":[{"name":"a","writeKey":"secret","enabled":"secret"}]}`,
		"the same key":        `{"writeKeys":[{"name":"a","writeKey":"secret"},{"name":"b","writeKey":"secret"}]}`,
		"quota is a string":   `{"writeKeys":[{"name":"a","writeKey":"secret","quota":"secret"}]}`,
		"quota too large":     `{"writeKeys":[{"name":"a","writeKey":"secret","quota":1e999}]}`,
		"not UTF-8":           "\xff\xfe",
	} {
		_, err := Parse([]byte(text))
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "write") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzEachParsedKeyIsFound(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"writeKeys":[{"name":"a","writeKey":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := Parse(data)
		if err == nil && len(keys) == 0 {
			t.Fatal("a document without keys was parsed")
		}
		if err == nil {
			if set, err := ingest.NewKeys(keys); err == nil {
				for writeKey, want := range keys {
					if got, ok := set.Lookup(writeKey); !ok || got != want {
						t.Fatalf("%+v, want %+v", got, want)
					}
				}
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

func (d *changing) read(context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []byte(d.text), d.err
}

func (d *changing) set(text string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text, d.err = text, err
}

// follow makes a Set of a source, which a server reads until the test ends.
func follow(t *testing.T, source *changing, log io.Writer) Set {
	s := New(reload.Source{Name: "test", Read: source.read}, slog.New(slog.NewTextHandler(log, nil)))
	values := reload.Group{s}
	values.Refresh(t.Context())
	go values.Run(t.Context())
	return s
}

func knows(s Set, writeKey string) bool { _, ok := s.Lookup(writeKey); return ok }

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
			if !knows(s, "secret-new") || knows(s, "anything") {
				t.Error("the last good set is not used")
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

func TestAnyKeyIsAcceptedUntilAFirstSetHasBeenRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &changing{err: errors.New("no such parameter")}
		s := follow(t, source, io.Discard)
		if key, ok := s.Lookup("anything"); !ok || key != (ingest.Key{}) {
			t.Errorf("%+v, %v", key, ok)
		}
		source.set(sample, nil)
		time.Sleep(2 * reload.FirstInterval)
		synctest.Wait()
		if knows(s, "anything") || !knows(s, "secret-web") {
			t.Error("the set is not used")
		}
	})
}

func TestAnErrorNamesThePlaceInTheDocument(t *testing.T) {
	for text, want := range map[string]string{
		`{"writeKeys":[{"name":"a",}]}`:                              "invalid JSON at byte 27",
		`{"writeKeys":[{"name":"a","enabled":"x"}]}`:                 "ends at byte 39 ",
		`{"writeKeys":[{"name":"a","writeKey":"secret","no":true}]}`: "unknown field",
		`{"writeKeys":[`: "too early",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestABurstWithoutAQuotaIsInvalid(t *testing.T) {
	keys, err := Parse([]byte(`{"writeKeys":[{"name":"a","writeKey":"secret","burst":5}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.NewKeys(keys); err == nil || !strings.Contains(err.Error(), `"a" has a burst but no quota`) {
		t.Errorf("%v", err)
	}
}
