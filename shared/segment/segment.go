// Package segment sends batches to Segment's Tracking API and classifies its answers.
//
// It does not use analytics-go because that library is made for producers: it decodes events into
// its own types, which loses unknown fields, sends in the background, and drops a batch whose first
// answer at Close is 429. Spillway passes on events that others made, so it sends their bytes
// unchanged; and a Lambda must know the answer before it returns, so Flush is synchronous.
//
// Package deliver decides what follows from a class.
package segment

import (
	"github.com/spillwayhq/spillway/shared/event"
)

// Endpoints of Segment's Tracking API (Segment documentation, "Regional Segment"). A workspace
// accepts events only at its own region's endpoint: the other one drops them without an error.
const (
	EndpointUS = "https://api.segment.io"
	EndpointEU = "https://events.eu1.segmentapis.com"
)

// Path returns the path of Segment's API for batches of this origin.
func Path(o event.Origin) string {
	if o == event.FromClient {
		return "/v1/b"
	}
	return "/v1/batch"
}
