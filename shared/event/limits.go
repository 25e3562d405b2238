package event

// Limits, from Segment's HTTP API documentation ("Max request size", "Batch"): 32 KB an event, 500
// KB and 2,500 events a batch. Segment answers 200 to a batch with more events, and drops it.
const (
	// MaxEventBytes is the size of one event's JSON. SDKs budget between 32,000 and 32,768 bytes.
	MaxEventBytes = 32 << 10
	// MaxBodyBytes is the size of a whole request's JSON before compression: the smaller reading of
	// 500 KB.
	MaxBodyBytes = 500_000
	// MaxBatchBytes bounds the events of a batch, with their commas: the budget of Segment's Python
	// and Kotlin SDKs, which leaves room for the rest of the request.
	MaxBatchBytes = 475_000
	// MaxBatchEvents is the number of events in one batch.
	MaxBatchEvents = 2500
	// MaxMessageIDBytes bounds a messageId: Segment asks for less than 100 characters. Those
	// outside of ASCII are counted as characters, not as bytes.
	MaxMessageIDBytes = 99
	// MaxDepth bounds the nesting of one event. Segment names no bound; encoding/json refuses
	// 10,000 levels, warehouses far fewer, and an event of 32 KB that is deeper than this is an
	// attack and not analytics.
	MaxDepth = 1000
)
