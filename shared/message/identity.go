package message

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/spillwayhq/spillway/shared/event"
)

// maxName leaves room for the index behind it within what Segment takes as a messageId.
const maxName = event.MaxMessageIDBytes - 10

// StableID is how a message is called in messageIds and letters: as SQS calls it, a UUID, or as it
// was called as a dead letter. A name that does not belong into JSON as it is, or is too long,
// because somebody made it up by hand, gives way to a digest of it.
func StableID(id string) string {
	odd := len(id) > maxName
	for _, c := range []byte(id) {
		odd = odd || c <= ' ' || c > '~' || c == '"' || c == '\\'
	}
	if !odd {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// EventID is the messageId of an event that has none, by its message's Name and its place in it:
// the same however often the message is received or sent, so that Segment takes it for the same
// event.
func EventID(name string, index int) string { return name + "-" + strconv.Itoa(index) }
