// Package operator says what a person has switched by hand: delivery, one write key, or a region,
// since when, who did it and why.
//
// Such a mark outlives the program that made it, and other programs show it. So it is a small JSON
// document: a parameter in SSM on AWS, a file on one machine. Who reads one ignores fields that it
// does not know, because an older version may run beside a newer one.
package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The metrics that the canary's function writes every minute: 1 while the mark is there, 0 while it
// is not, nothing as long as that is not known.
const (
	PausedMetric     = "Paused"     // delivery is paused
	PausedKeysMetric = "PausedKeys" // how many write keys are paused
	DrainedMetric    = "Drained"    // the region is drained
)

const (
	// MaxReason is the longest reason in bytes. A parameter of SSM holds 4,096 (AWS general
	// reference, Systems Manager quotas), which leaves room for a dozen write keys.
	MaxReason = 160
	// maxBy is what is kept of who it was, in bytes. An ARN of an assumed role has about 100.
	maxBy = 160
	// MaxDocument is the longest document in bytes: a standard parameter of SSM holds no more.
	MaxDocument = 4096
)

// A Mark says that a person has switched something by hand. The zero value says that nobody has.
type Mark struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by,omitempty"`     // an ARN, or user@host; empty: not known
	Reason string    `json:"reason,omitempty"` // as the person wrote it; empty: none was given
	// Resumed is when the pause of a write key has ended; zero: it lasts. See Keys.
	Resumed time.Time `json:"resumed,omitzero"`
}

// ErrReason says what a reason must be.
var ErrReason = fmt.Errorf("the reason must be one line of at most %d bytes without {{ and }}, which SSM refuses",
	MaxReason)

// New returns the mark that by makes now. by may have any length and content; ErrReason tells what
// is wrong with a reason.
func New(now time.Time, by, reason string) (Mark, error) {
	reason = strings.TrimSpace(reason)
	if len(reason) > MaxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) ||
		strings.Contains(reason, "{{") || strings.Contains(reason, "}}") {
		return Mark{}, ErrReason
	}
	by = strings.NewReplacer("{{", "{", "}}", "}").Replace(printable(by))
	for len(by) > maxBy {
		_, size := utf8.DecodeLastRuneInString(by)
		by = by[:len(by)-size]
	}
	return Mark{Since: now.UTC().Truncate(time.Second), By: by, Reason: reason}, nil
}

// printable is a text without what is not UTF-8 and what moves the cursor of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// IsSet reports whether a person has switched it.
func (m Mark) IsSet() bool { return !m.Since.IsZero() }

// String says since when, by whom and why, to follow "paused" or "drained"; empty for the zero Mark.
func (m Mark) String() string {
	if !m.IsSet() {
		return ""
	}
	text := "since " + m.Since.UTC().Format("2006-01-02 15:04 UTC")
	if m.By != "" {
		text += " by " + m.By
	}
	if m.Reason != "" {
		text += ": " + m.Reason
	}
	return text
}

// Document is the mark as it is stored.
func (m Mark) Document() []byte { return encode(m) }

// Parse reads a mark's document. One that is empty, or null, is the zero Mark. A document that
// can't be read is an error, because whoever wrote it meant something by it.
func Parse(document []byte) (Mark, error) {
	var m *Mark
	if err := decode(document, &m, aMark); err != nil || m == nil {
		return Mark{}, err
	}
	if !m.IsSet() {
		return Mark{}, errNoSince
	}
	return *m, nil
}

// Keys are the write keys that a person has paused, by event.KeyID, so that the document holds no
// key in clear. One that was resumed is among them for a while: its messages have waited for long,
// which is no backlog, and a function that starts now must know that. A Keys is not changed once it
// is in use.
type Keys map[string]Mark

// Remembered is how long a key that was resumed is among the Keys at least. Messages of the queue are
// tried again within 17 minutes.
const Remembered = 30 * time.Minute

// Paused are the keys whose pause lasts.
func (k Keys) Paused() Keys {
	return k.only(func(m Mark) bool { return m.Resumed.IsZero() })
}

// Pause returns the keys with one more.
func (k Keys) Pause(id string, m Mark) Keys {
	paused := k.remembered(m.Since)
	paused[id] = m
	return paused
}

// Resume returns the keys without the pause of one.
func (k Keys) Resume(id string, now time.Time) Keys {
	resumed := k.remembered(now)
	if m, paused := resumed[id]; paused {
		m.Resumed = now.UTC().Truncate(time.Second)
		resumed[id] = m
	}
	return resumed
}

// remembered is a copy without what need not be remembered any more.
func (k Keys) remembered(now time.Time) Keys {
	return k.only(func(m Mark) bool { return m.Resumed.IsZero() || now.Sub(m.Resumed) < Remembered })
}

func (k Keys) only(is func(Mark) bool) Keys {
	some := Keys{}
	for id, m := range k {
		if is(m) {
			some[id] = m
		}
	}
	return some
}

// Document is the keys as they are stored. Those that were resumed give place, the first of them
// first: a resume must always fit, and a pause after it. It is an error if those that are paused
// are too many for [MaxDocument].
func (k Keys) Document() ([]byte, error) {
	document := encode(k)
	if len(document) <= MaxDocument {
		return document, nil
	}
	kept := maps.Clone(k)
	first := func(a, b string) int { return k[a].Resumed.Compare(k[b].Resumed) }
	for _, id := range slices.SortedFunc(maps.Keys(k), first) {
		if k[id].Resumed.IsZero() {
			continue
		}
		delete(kept, id)
		if document = encode(kept); len(document) <= MaxDocument {
			return document, nil
		}
	}
	return nil, fmt.Errorf("%d paused write keys need %d bytes, and a parameter holds %d: resume one first, or give "+
		"shorter reasons", len(kept), len(document), MaxDocument)
}

// ParseKeys reads the document of Keys. One that is empty, or null, has none.
func ParseKeys(document []byte) (Keys, error) {
	var k Keys
	if err := decode(document, &k, `{"0a1b2c3d":`+aMark+`}`); err != nil {
		return nil, err
	}
	for id, m := range k {
		if !m.IsSet() {
			return nil, fmt.Errorf("write key %q: %w", id, errNoSince)
		}
	}
	return k, nil
}

var errNoSince = errors.New(`the document has no "since", the time at which it was switched`)

// aMark is what a mark looks like, for people.
const aMark = `{"since":"2026-01-31T12:00:00Z","by":"…","reason":"…"}`

// decode reads JSON, which must be like an example.
func decode(document []byte, into any, like string) error {
	if strings.TrimSpace(string(document)) == "" {
		return nil
	}
	if err := json.Unmarshal(document, into); err != nil {
		return fmt.Errorf("the document must be JSON like %s: %w", like, err)
	}
	return nil
}

func encode(v any) []byte {
	document, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and times of this century only
	}
	return document
}
