package terminal

import (
	"encoding/json"
	"testing"
)

// hostile begins a control sequence in seven bits and in eight, and reverses the order of text.
const hostile = "a\x1b]0;owned\x07\u009b2J\x7f\u202egnp.exe\u2066\r\nb"

func TestSafeJSONEscapesControlCharactersAndKeepsTheValue(t *testing.T) {
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	safe := SafeJSON(quoted)
	for _, r := range string(safe) {
		if controls(r) {
			t.Errorf("%U is in %q", r, safe)
		}
	}
	var same string
	if err := json.Unmarshal(safe, &same); err != nil || same != hostile {
		t.Errorf("as JSON it is %q: %v", same, err)
	}
}

func TestShellWordIsOneArgument(t *testing.T) {
	for text, want := range map[string]string{
		"too_large": "too_large", "moved by SQS": "'moved by SQS'", "x; rm -rf ~": "'x; rm -rf ~'",
		"$(id)'`id`": `'$(id)'\''` + "`id`'", "a\nb": "'a b'", "": "''", "-x": "'-x'",
	} {
		if got := ShellWord(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
