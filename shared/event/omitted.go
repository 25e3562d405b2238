package event

import "math/bits"

// Omitted is a set of fields that Spillway leaves out of an event or a batch. The zero value is
// empty.
type Omitted uint16

// These have no room: with them an event that came within [MaxEventBytes] would exceed it, and
// Segment might drop it. They are left out in this order until the event fits.
const (
	OmittedUserAgent Omitted = 1 << iota
	OmittedIP
	OmittedTimestamp // Segment takes the time at which it receives the event
	OmittedMessageID // Segment does not recognise a repetition of the event
)

// These are empty strings, of pages and screens. By its documentation Segment drops such an event,
// and takes one without the field. Segment's own SDK for Kotlin sends an empty category with every
// screen that has none.
const (
	OmittedName Omitted = 1 << (iota + 4)
	OmittedCategory
)

// These are a batch's. Segment could not read them, or they leave no room for an event.
const (
	OmittedBatchContext Omitted = 1 << (iota + 6)
	OmittedBatchIntegrations
	OmittedBatchOrigin
	OmittedBatchReceivedAt
)

// fieldNames are the names of the fields of an Omitted, by bit.
var fieldNames = [...]string{
	"context.userAgent", "context.ip", "timestamp", "messageId", "name", "category",
	"batch.context", "batch.integrations", "batch.origin", "batch.receivedAt",
}

// Omissions counts fields that were left out. The zero value is ready for use.
type Omissions [len(fieldNames)]int

// Add counts the fields of o.
func (n *Omissions) Add(o Omitted) {
	for ; o != 0; o &= o - 1 {
		n[bits.TrailingZeros16(uint16(o))]++
	}
}

// ByField returns the counts by the field's name, nil when nothing was left out. The names have the
// form "context.ip"; those of a batch's fields begin with "batch.".
func (n *Omissions) ByField() map[string]int {
	var counts map[string]int
	for i, count := range n {
		if count == 0 {
			continue
		}
		if counts == nil {
			counts = map[string]int{}
		}
		counts[fieldNames[i]] = count
	}
	return counts
}
