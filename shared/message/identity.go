package message

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/spillwayhq/spillway/shared/event"
)

// maxStableID leaves room for an event's index within [event.MaxMessageIDBytes].
const maxStableID = event.MaxMessageIDBytes - 10

// StableID returns the name of a message in messageIds and dead letters. id is SQS's message id, a
// UUID, or the ID of the dead letter that the message once was. Another id that is too long or
// needs escaping in JSON, such as one written by hand, is replaced by its digest.
func StableID(id string) string {
	valid := len(id) <= maxStableID
	for _, c := range []byte(id) {
		valid = valid && c > ' ' && c <= '~' && c != '"' && c != '\\'
	}
	if valid {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// EventID returns the messageId of an event that has none: its message's [StableID] and its index
// in the message. It is the same however often the message is received or sent, so that Segment
// recognises the event.
func EventID(stableID string, index int) string { return stableID + "-" + strconv.Itoa(index) }
