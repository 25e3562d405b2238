package price

import (
	"math"
	"time"
)

// What Firehose takes money for (its pricing page): a record counts as a multiple of 5 KB.
const firehoseStep = 5 << 10

// Measured values, or estimates on the safe side, of the archive.
const (
	// archiveRecordBytes is what a record has beside the event: time, outcome, write key and the
	// like.
	archiveRecordBytes = 150
	// The size of a frame after zstd: of its first event, and of each further one, whose keys and
	// most of whose values the ones before have had. Made-up events of 1 KB, of which a tenth is
	// random, make frames of 750 bytes for one, 1.7 KB for 8, 11 KB for 100.
	archiveFirstRatio = 0.75
	archiveNextRatio  = 0.2
	// archiveFrame is how many bytes of records a frame has at most (package archive).
	archiveFrame = 2_500_000
	// archiveTime is how long Firehose takes to answer.
	archiveTime = 20 * time.Millisecond
	// A transition to Intelligent-Tiering costs as much as two writes.
	writesOfTransition = 2
	// After so many days S3 takes less for what nobody reads.
	rareAfter, oldAfter = 30.0, 90.0
)

// An Archive describes the archive of a region.
type Archive struct {
	Kept         time.Duration
	BufferBytes  float64       // an object is written when it has so much,
	BufferTime   time.Duration // or after so long
	AlarmMetrics int
	Metrics      int
}

// ArchiveFrameBytes is the size of the frame of an invocation's events.
func ArchiveFrameBytes(events, eventBytes float64) float64 {
	if events <= 0 {
		return 0
	}
	one := eventBytes + archiveRecordBytes
	return archiveFirstRatio*one + (events-1)*archiveNextRatio*one
}

// firehoseBytes is what is paid of an invocation's events.
func firehoseBytes(events, eventBytes float64) float64 {
	frames := math.Max(1, math.Ceil(events*(eventBytes+archiveRecordBytes)/archiveFrame))
	return frames * firehoseStep * math.Ceil(ArchiveFrameBytes(events/frames, eventBytes)/firehoseStep)
}

// FirehosePerMillion is what Firehose takes for a million events, so many of which are in an
// invocation, in dollars.
func FirehosePerMillion(perInvocation, eventBytes float64) float64 {
	perInvocation = math.Max(1, perInvocation)
	return firehoseRate.dollars(1e6 / perInvocation * firehoseBytes(perInvocation, eventBytes))
}

// ArchiveMonth returns what the archive uses in a [Month] under a load, in all regions together,
// once it is as old as it keeps events.
func (p Pipeline) ArchiveMonth(a Archive, l Load) Usage {
	regions := math.Max(1, float64(p.Regions))
	perInvocation := p.EventsPerInvocation(l)
	calls := l.EventsPerDay / regions * days / perInvocation
	daily := calls / days * ArchiveFrameBytes(perInvocation, l.EventBytes)
	objects := 0.0 // a day
	if calls > 0 {
		objects = math.Max(daily/a.BufferBytes, math.Min(calls/days, float64(24*time.Hour/a.BufferTime)))
	}
	kept := a.Kept.Hours() / 24
	u := Usage{
		FirehoseBytes: calls * firehoseBytes(perInvocation, l.EventBytes),
		GBSeconds:     calls * gbSeconds(p.Deliver.MemoryMB, archiveTime),
		S3Puts:        objects * days * (1 + writesOfTransition),
		S3Bytes:       daily * math.Min(kept, rareAfter),
		S3RareBytes:   daily * math.Max(0, math.Min(kept, oldAfter)-rareAfter),
		S3OldBytes:    daily * math.Max(0, kept-oldAfter),
		S3Watched:     objects * kept,
		Metrics:       float64(a.Metrics), AlarmMetrics: float64(a.AlarmMetrics),
	}
	return u.Times(regions)
}
