package settings

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// maxKept is the length of a setting's text in the output, so that all of them stay well below the
// size of a parameter, 4 KB: long lists of tags or addresses are kept by their fingerprint.
const maxKept = 200

// Kept are the effective settings as a JSON object.
func (s *Settings) Kept() string {
	texts := s.Shown()
	for name, text := range texts {
		texts[name] = shortened(text)
	}
	object, _ := json.Marshal(texts) // a map of strings: it can't fail, and its keys are in order
	return string(object)
}

// shortened is a text of at most maxKept bytes that differs as the whole text does.
func shortened(text string) string {
	if len(text) <= maxKept {
		return text
	}
	return strings.ToValidUTF8(text[:maxKept/2], "") + "… (" + fingerprint(text) + ")"
}

// Compare writes how these settings differ from those that a stack was deployed with, a line each;
// nil: it keeps none. It writes nothing if none differs.
func (s *Settings) Compare(w io.Writer, stack string, before map[string]string) {
	if before == nil {
		fmt.Fprintf(w, "%s keeps no settings to compare with: an earlier version deployed it\n", stack)
		return
	}
	changes := s.changes(before)
	if len(changes) == 0 {
		return
	}
	fmt.Fprintf(w, "%s was deployed with other settings:\n", stack)
	for _, c := range changes {
		fmt.Fprintf(w, "  %s\n", c)
	}
}

// changes are the settings that differ from those that a stack was deployed with, a text each. A
// setting that the stack does not know counts from its default.
func (s *Settings) changes(before map[string]string) []string {
	now, usual := s.Shown(), Default(s.Topology().Names, before["regions"])
	defaults := usual.Shown()
	var changes []string
	for i := range allSettings {
		name := allSettings[i].name
		was, known := before[name]
		if !known {
			was = defaults[name]
		}
		if was != shortened(now[name]) {
			changes = append(changes, fmt.Sprintf("%-24s %s, is now %s", name, was, now[name]))
		}
	}
	for _, pair := range pairs(before) {
		name, value, _ := strings.Cut(pair, "=")
		if _, known := now[name]; !known {
			changes = append(changes, fmt.Sprintf("%-24s %s, is no setting of this version", name, value))
		}
	}
	return changes
}
