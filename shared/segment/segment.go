// Package segment sends batches to Segment's Tracking API and says what its answers mean.
//
// It exists beside analytics-go because that library is made for producers: it decodes events into
// its own types, which loses fields it does not know, sends in the background, and drops a batch
// whose first answer at Close is 429. Spillway carries other people's events, so it sends their
// bytes unchanged; and a Lambda must know the answer before it returns, so Flush is synchronous.
//
// The package classifies answers. What follows from a class is the policy of package deliver.
package segment

import (
	"github.com/spillwayhq/spillway/shared/event"
)

// Endpoints of Segment's Tracking API (Segment documentation, "Regional Segment"). A workspace
// takes events at its own region's endpoint only: the other one drops them without an error.
const (
	EndpointUS = "https://api.segment.io"
	EndpointEU = "https://events.eu1.segmentapis.com"
)

// Path is the path of Segment's API for batches of this origin.
func Path(o event.Origin) string {
	if o == event.FromClient {
		return "/v1/b"
	}
	return "/v1/batch"
}
