package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyDocument is a document in a new file.
func keyDocument(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeysCheckShowsTheSetWithoutItsKeys(t *testing.T) {
	t.Parallel()
	path := keyDocument(t, `{"writeKeys":[{"name":"shop web","writeKey":"secret-a\n"},
		{"name":"partner","writeKey":"secret-b","quota":0.5},
		{"name":"old\u0007app","writeKey":"secret-c","enabled":false,"quota":50,"burst":1000}]}`)
	out, _, err := spillway(t.Context(), "", "keys", "check", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		path + ": 3 write keys, 204 bytes: a standard SSM parameter holds it\n",
		`warning: the write key named "shop web" has white space around it, which is ignored`,
		"shop web   8766b9cb   yes       unlimited", "partner    ff492ef7   yes       0.5 events/s   5 events",
		"no        50 events/s    1000 events",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "secret") || strings.Contains(out, "\a") {
		t.Errorf("it printed\n%q", out)
	}
	again, _, err := spillway(t.Context(), `{"writeKeys":[{"name":"a","writeKey":"secret"}]}`, "keys", "check", "-")
	if err != nil || !strings.Contains(again, "-: 1 write key, 48 bytes") {
		t.Errorf("of the standard input: %q, %v", again, err)
	}
}

// The endpoint goes on without a field that it does not know; who writes the document must hear of it.
func TestKeysCheckRefusesAnUnknownField(t *testing.T) {
	t.Parallel()
	file := keyDocument(t, `{"writeKeys":[{"name":"a","writeKey":"secret-a","disabled":true}]}`)
	const want = "there are unknown fields, which would have no effect (known: name, writeKey, enabled, quota, burst): " +
		"they end at line 1, column 58"
	if out, _, err := spillway(t.Context(), "", "keys", "check", file); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, printed %s", err, out)
	}
}

func TestKeysCheckFindsWhatFilesThatAreUsedTogetherShare(t *testing.T) {
	t.Parallel()
	one := keyDocument(t, `{"writeKeys":[{"name":"a","writeKey":"secret-a"}]}`)
	for want, text := range map[string]string{
		`"a" and "b" have the same write key`: `{"writeKeys":[{"name":"b","writeKey":"secret-a"}]}`,
		`two write keys are named "a"`:        `{"writeKeys":[{"name":"a","writeKey":"secret-b"}]}`,
	} {
		_, _, err := spillway(t.Context(), "", "keys", "check", one, keyDocument(t, text))
		if err == nil || !strings.Contains(err.Error(), "the files can't be used together: ") ||
			!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestKeysCheckSaysWhichParameterHoldsTheSet(t *testing.T) {
	t.Parallel()
	for keys, want := range map[int]string{50: "standard", 70: "--tier Advanced", 200: "divide it among several"} {
		var entries []string
		for i := range keys {
			entries = append(entries, fmt.Sprintf(`{"name":"source %d","writeKey":"%032d"}`, i, i))
		}
		out, _, err := spillway(t.Context(), "", "keys", "check",
			keyDocument(t, `{"writeKeys":[`+strings.Join(entries, ",\n")+`]}`))
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%d keys: %v, printed %.200s, want %q", keys, err, out, want)
		}
	}
}
