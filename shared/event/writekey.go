package event

// MaxWriteKeyBytes is the longest write key in bytes; Segment's have 32 characters.
const MaxWriteKeyBytes = 128

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
