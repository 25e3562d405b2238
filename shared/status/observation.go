package status

import (
	"slices"
	"strings"
	"time"
)

// An Observation is what one writer saw of all regions at a moment.
type Observation struct {
	At      time.Time // when it was made; the zero time is the time of Observe
	Writer  string    // who saw it, like the region of its function; at most 64 bytes
	Regions []Region
}

// A Region is what a writer saw of the pipeline in one region.
type Region struct {
	Name             string   // like eu-west-1
	Ingest, Delivery Sight    // "" for a part that the pipeline does not have
	Alarms           []string // names of the composite alarms that fire, with the pipeline's prefix

	Oldest    *time.Duration // age of the oldest undelivered event; 0: none waits; nil: not known
	CanaryAge *time.Duration // since the last test event was delivered; nil: not known
	// Failure says why something could not be seen. It is for the writer's log and stays out of the
	// document, which is public.
	Failure string
}

// A Sight is the state of one part of a pipeline as a writer saw it.
type Sight string

// Sights.
const (
	Up      Sight = "up"
	Slow    Sight = "slow" // it works, late or in part
	Down    Sight = "down"
	Unknown Sight = "unknown" // nothing could be seen
)

// Parts of a pipeline. Each is a component of the page, in each region.
const (
	Ingest   Part = "ingest"
	Delivery Part = "delivery"
)

// A Part is what a pipeline does for a customer.
type Part string

// The composite alarms that tell the state of a part, without the pipeline's prefix. All others are
// parts of them, or no concern of customers.
const (
	IngestDown   = "ingest-down"
	DeliveryDown = "delivery-down"
	DeliverySlow = "delivery-slow"
)

// composites are what these alarms say.
var composites = []struct {
	suffix string
	part   Part
	sight  Sight
}{{IngestDown, Ingest, Down}, {DeliveryDown, Delivery, Down}, {DeliverySlow, Delivery, Slow}}

// sight is the worse of what the writer says of a part and what the composite alarms say.
func (r *Region) sight(p Part) Sight {
	seen := r.Ingest
	if p == Delivery {
		seen = r.Delivery
	}
	if seen == "" {
		return ""
	}
	if !slices.Contains([]Sight{Up, Slow, Down}, seen) {
		seen = Unknown
	}
	for _, c := range composites {
		fires := func(name string) bool { return name == c.suffix || strings.HasSuffix(name, "-"+c.suffix) }
		if c.part == p && slices.ContainsFunc(r.Alarms, fires) {
			seen = worse(seen, c.sight)
		}
	}
	return seen
}

// worse returns the worse of two sights; what is known is worse than what is not, so that a writer
// that sees nothing hides nothing that another one sees.
func worse(a, b Sight) Sight {
	order := []Sight{Unknown, Up, Slow, Down}
	if slices.Index(order, a) >= slices.Index(order, b) {
		return a
	}
	return b
}
