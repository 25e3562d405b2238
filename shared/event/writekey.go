package event

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"unicode"
)

// MaxWriteKeyBytes is the longest write key in bytes; Segment's have 32 characters.
const MaxWriteKeyBytes = 128

// WriteKeyRule says, after "must be", what [ValidWriteKey] accepts.
const WriteKeyRule = "1 to 128 printable ASCII characters without spaces, quotes, backslashes, colons and " +
	"angle brackets"

// TrimWriteKey removes what editors, pipes and clipboards leave around a write key: white space, a
// byte order mark, a zero-width space. It is for keys that people configure; one that came with an
// event is used as it is.
func TrimWriteKey(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' })
}

// ValidWriteKey reports whether text can be a write key: 1 to [MaxWriteKeyBytes] of printable ASCII
// that needs no escaping in JSON, HTTP Basic authentication or HTML. Segment answers 200 to an
// event with any other, and drops it.
func ValidWriteKey(text string) bool {
	if text == "" || len(text) > MaxWriteKeyBytes {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ':' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// KeyID identifies a write key in logs without revealing it: the first 4 bytes of its SHA-256 in
// hexadecimal, or "none" without a key.
func KeyID(writeKey string) string {
	if writeKey == "" {
		return "none"
	}
	sum := sha256.Sum256([]byte(writeKey))
	return hex.EncodeToString(sum[:4])
}

// IsKeyID reports whether a text is the [KeyID] of a write key, and so not a write key itself, as
// Segment makes them.
func IsKeyID(text string) bool {
	id, err := hex.DecodeString(text)
	return err == nil && len(id) == 4 && text == strings.ToLower(text)
}

// A LastKeyID computes [KeyID] and keeps the last one: most programs see the same write key again and
// again. The zero value is ready. It is safe for concurrent use.
type LastKeyID struct{ last atomic.Pointer[keyID] }

type keyID struct{ writeKey, id string }

// Of returns the KeyID of a write key.
func (l *LastKeyID) Of(writeKey string) string {
	last := l.last.Load()
	if last == nil || last.writeKey != writeKey {
		last = &keyID{writeKey, KeyID(writeKey)}
		l.last.Store(last)
	}
	return last.id
}
