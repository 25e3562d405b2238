// Package segment is Segment's protocol: what an event must be, what a batch may hold, what an answer means, and a client that
// sends one batch and returns when Segment has answered.
//
// It exists beside analytics-go because that library is made for producers: it decodes events into its own types, which loses
// fields it does not know, sends in the background, and drops a batch whose first answer at Close is 429. Spillway carries
// events that somebody else made, so it keeps their bytes, and a Lambda must know the answer before it returns, so its flush is
// synchronous.
package segment

// Limits, from Segment's HTTP API documentation ("Max request size", "Batch"): 32 KB an event, 500 KB and 2,500 events a batch.
// A batch with more events is answered 200 and rejected all the same, without a word.
const (
	// MaxEventBytes is the size of one event's JSON. SDKs budget between 32,000 and 32,768 bytes.
	MaxEventBytes = 32 << 10
	// MaxBodyBytes is the size of a whole request's JSON before compression: the smaller reading of 500 KB.
	MaxBodyBytes = 500_000
	// MaxBatchBytes is what we fill a batch's events to: the budget of Segment's Python and Kotlin SDKs, which leaves room for
	// what stands around the events.
	MaxBatchBytes = 475_000
	// MaxBatchEvents is the number of events in one batch.
	MaxBatchEvents = 2500
	// MaxMessageIDBytes: Segment asks for a messageId of under 100 characters. In ASCII, which ids are, they are bytes; others
	// are counted in characters.
	MaxMessageIDBytes = 99
	// MaxDepth bounds the nesting of one event. Segment names no bound; encoding/json refuses 10,000, warehouses far less, and
	// an event of 32 KB that is deeper than this is an attack and not analytics.
	MaxDepth = 1000
)

// Endpoints of Segment's Tracking API (Segment documentation, "Regional Segment"). A workspace takes events at its own region's
// only: the other one rejects them without a visible error.
const (
	EndpointUS = "https://api.segment.io"
	EndpointEU = "https://events.eu1.segmentapis.com"
)

// Origin says who made an event, which decides by which path it goes on.
type Origin uint8

const (
	// FromServer is the SDKs that run on servers. Segment reserves /v1/batch for them. The zero value.
	FromServer Origin = iota
	// FromClient is browsers and phones: their events go on to /v1/b, as their own SDKs send them.
	FromClient
)

// String is the name that stands in a queue message.
func (o Origin) String() string {
	if o == FromClient {
		return "client"
	}
	return "server"
}

// ParseOrigin reads what [Origin.String] wrote. Anything else is no origin: ok is false.
func ParseOrigin(text string) (o Origin, ok bool) {
	switch text {
	case "client":
		return FromClient, true
	case "server":
		return FromServer, true
	}
	return FromServer, false
}

// Path is the path of Segment's API for batches of this origin.
func (o Origin) Path() string {
	if o == FromClient {
		return "/v1/b"
	}
	return "/v1/batch"
}
