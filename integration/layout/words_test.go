package layout

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// words are those that the project once had for things which AWS, Segment and Go have names for,
// and what to say instead. A name made of several, like CreateQueue or dead_letter, is looked at
// word by word.
var words = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\bdoors?\b`), "ingest endpoint, ingest API"},
	{regexp.MustCompile(`\bculprits?\b`), "rejected events"},
	{regexp.MustCompile(`\b(convict|acquit)\w*`), "isolate, bisect"},
	{regexp.MustCompile(`\bverdicts?\b`), "result, answer"},
	{regexp.MustCompile(`\bhush\w*`), "stop"},
	{regexp.MustCompile(`\b(bury|buries|buried)\b`), "write as a dead letter"},
	{regexp.MustCompile(`\bstand-ins?\b`), "Segment emulator"},
	{regexp.MustCompile(`\btroubles?\b`), "degraded, reason"},
	{regexp.MustCompile(`\bbehind writing\b`), "after"},
	{regexp.MustCompile(`\btime-outs?\b`), "timeout"},
	{regexp.MustCompile(`\bletters?\b`), "dead letter (or: upper-case, character)"},
}

// stems are what a file must have for one of the words to be in it, in lower case.
var stems = []string{
	"door", "culprit", "convict", "acquit", "verdict", "hush", "bury", "buri", "stand-in", "trouble", "behind", "letter",
	"time-out",
}

// allowed are the places where such a word is the right one.
var allowed = []*regexp.Regexp{
	regexp.MustCompile(`\bdead[- ]letters?\b`),
	regexp.MustCompile(`\bletter-id\b`), // the attribute of a dead letter: its name is part of the format
	// the letters of an alphabet
	regexp.MustCompile(`\b(lower|upper)-case letters?\b|\bletters?( and|,) digits?\b|\bat most %d letters long\b|\bunicode.is letter\b`),
}

// skipped are files whose words are not ours, or whose subject the words are.
var skipped = []string{
	"integration/layout/words_test.go", "go.sum", "package-lock.json", "integration/clients/package-lock.json",
	"integration/sdks/package-lock.json",
}

// plain takes names apart: DeadLetterQueue and dead_letter_queue become "dead letter queue".
func plain(line string) string {
	line = camel.ReplaceAllString(acronym.ReplaceAllString(line, "$1 $2"), "$1 $2")
	return strings.ToLower(strings.ReplaceAll(line, "_", " "))
}

var (
	acronym = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
	camel   = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

// found is what to say instead of the first forbidden word of a line, empty if it has none.
func found(line string) (word, instead string) {
	line = plain(line)
	for _, a := range allowed {
		line = a.ReplaceAllString(line, "")
	}
	for _, w := range words {
		if word := w.pattern.FindString(line); word != "" {
			return word, w.instead
		}
	}
	return "", ""
}

func hasStem(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(stems, func(stem string) bool { return strings.Contains(text, stem) })
}

func TestTheOldWordsDoNotReturn(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Skipf("this is no git checkout, so the project's own files can't be told from others: %v", err)
	}
	files := 0
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || slices.Contains(skipped, name) || bytes.IndexByte(data, 0) >= 0 {
			continue // deleted but not committed, or binary
		}
		files++
		if !hasStem(string(data)) {
			continue // most files; line by line takes a minute under the race detector
		}
		for n, line := range strings.Split(string(data), "\n") {
			if !hasStem(line) {
				continue // most lines
			}
			if word, instead := found(line); word != "" {
				t.Errorf("%s:%d: %q: say %s", name, n+1, word, instead)
			}
		}
	}
	if files < 100 {
		t.Fatalf("only %d files were read", files)
	}
}

func TestAWordIsFoundHoweverItIsWritten(t *testing.T) {
	for _, line := range []string{
		"the door", "newDoor(ctx)", "door_silent", "a letter", "letterID", "two letters, one dead letter", "the stand-in", "A Verdict",
		"convicted", "p.trouble", "to bury", "buried", "behind writing", "a culprit", "acquitted", "Hushed", "TestALetterIsRead",
	} {
		if word, _ := found(line); word == "" {
			t.Errorf("%q has no forbidden word", line)
		}
		if !hasStem(line) {
			t.Errorf("%q has no stem: a file with it would not be read", line)
		}
	}
	for _, line := range []string{
		"a dead letter", "DeadLetterQueue", "dead_letters", "deadLetters", "dead-letter queue", "Dead letters", "outdoor", "Letter-Id",
		"NewDeadLetter", "spillway-dead-letters", "TestADeadLetterIsRead", "a lower-case letter",
	} {
		if word, _ := found(line); word != "" {
			t.Errorf("%q: %q is forbidden", line, word)
		}
	}
}
