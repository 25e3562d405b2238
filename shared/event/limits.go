package event

// Limits, from Segment's HTTP API documentation ("Max request size", "Batch"): 32 KB an event, 500
// KB and 2,500 events a batch. A batch with more events is answered 200 and rejected all the same,
// without a word.
const (
	// MaxEventBytes is the size of one event's JSON. SDKs budget between 32,000 and 32,768 bytes.
	MaxEventBytes = 32 << 10
	// MaxBodyBytes is the size of a whole request's JSON before compression: the smaller reading of
	// 500 KB.
	MaxBodyBytes = 500_000
	// MaxBatchBytes is what we fill a batch's events to: the budget of Segment's Python and Kotlin
	// SDKs, which leaves room for what stands around the events.
	MaxBatchBytes = 475_000
	// MaxBatchEvents is the number of events in one batch.
	MaxBatchEvents = 2500
	// MaxMessageIDBytes: Segment asks for a messageId of under 100 characters. In ASCII, which ids
	// are, they are bytes; others are counted in characters.
	MaxMessageIDBytes = 99
	// MaxDepth bounds the nesting of one event. Segment names no bound; encoding/json refuses
	// 10,000, warehouses far less, and an event of 32 KB that is deeper than this is an attack and
	// not analytics.
	MaxDepth = 1000
)
