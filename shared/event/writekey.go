package event

// MaxWriteKeyBytes is how long a write key may be; Segment's have 32 characters.
const MaxWriteKeyBytes = 128

// ValidWriteKey reports whether text can be a write key: printable ASCII that needs no escaping
// anywhere. Segment answers 200 to an event with one that can't be, and drops it.
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
