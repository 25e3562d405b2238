package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

const (
	// maxEvents is how many events of a dead letter a page shows, and maxPayload how many bytes of
	// each.
	maxEvents  = 20
	maxPayload = 64 << 10
)

// deadFunctions are the functions of the templates of dead letters.
var deadFunctions = template.FuncMap{
	"number":   terminal.Number[int],
	"text":     func(s string) string { return printable(message.Truncate(s, 4<<10)) },
	"pretty":   prettyOf,
	"sentence": sentence,
	"inc":      func(i int) int { return i + 1 },
	"first":    func(all []json.RawMessage) []json.RawMessage { return all[:min(len(all), maxEvents)] },
	"rest":     func(all []json.RawMessage) int { return max(0, len(all)-maxEvents) },
}

// prettyOf is pretty for a value of a template: a string or JSON.
func prettyOf(v any) shownJSON {
	if raw, ok := v.(json.RawMessage); ok {
		return pretty(string(raw))
	}
	return pretty(fmt.Sprint(v))
}

// A shownJSON is a JSON text as a page shows it; Cut is how many bytes are left out.
type shownJSON struct {
	Text string
	Cut  int
}

// pretty indents JSON; what is no JSON is shown as it came. The page's template escapes it.
func pretty(text string) shownJSON {
	if document := []byte(text); rawjson.Valid(document) {
		indented, rest := rawjson.Indent(nil, document, maxPayload)
		return shownJSON{printable(message.Truncate(string(indented), maxPayload)), rest}
	}
	shown := message.Truncate(text, maxPayload)
	return shownJSON{printable(shown), len(text) - len(shown)}
}

// printable replaces what would change how the text around it is read, but line breaks and tabs.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && misleads(r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
