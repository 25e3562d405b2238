package price

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// A Compression is a level of an algorithm, as it was measured on batches of 430 events of a shop,
// of 830 bytes each (BenchmarkCompression, CPU time on two shared cores, November 2026). Events
// that resemble each other more become smaller.
type Compression struct {
	Algorithm string
	Level     int
	// Left is the part of the bytes that is left: of gzip as Segment gets it, of zstd with the
	// base64 of a message.
	Left float64
	// CPU is the time of a core for a MB of events, 10^6 bytes.
	CPU time.Duration
}

// gzips are what requests to Segment may be compressed with.
var gzips = [...]Compression{
	{"gzip", 1, 0.2170, 5_800 * time.Microsecond},
	{"gzip", 3, 0.2156, 8_000 * time.Microsecond},
	{"gzip", 5, 0.1971, 10_000 * time.Microsecond},
	{"gzip", 6, 0.1948, 9_800 * time.Microsecond},
	{"gzip", 7, 0.1927, 12_000 * time.Microsecond},
	{"gzip", 8, 0.1876, 22_000 * time.Microsecond},
	{"gzip", 9, 0.1841, 43_000 * time.Microsecond},
}

// zstds are what messages may be compressed with, by the levels of the library, 1 the fastest.
var zstds = [...]Compression{
	{"zstd", 1, 0.2530, 6_000 * time.Microsecond},
	{"zstd", 2, 0.2594, 12_700 * time.Microsecond},
	{"zstd", 3, 0.2443, 18_000 * time.Microsecond},
	{"zstd", 4, 0.2434, 58_000 * time.Microsecond},
}

// coreMB is the memory of a function that has one core to itself (Lambda developer guide,
// "Configure Lambda function memory").
const coreMB = 1769

// gbSeconds is the computing for so many bytes of events, whatever the memory of the function: half
// of it takes twice as long.
func (c Compression) gbSeconds(events float64) float64 {
	return events / 1e6 * gbSeconds(coreMB, c.CPU)
}

// dollars is what a GB of events costs with a compression: the bytes to Segment, or the requests to
// SQS, which sends and receives messages that are as large as a batch, and the computing.
func (c Compression) dollars() float64 {
	const gb = 1e9
	computing := compute.dollars(c.gbSeconds(gb))
	if c.Algorithm == "gzip" {
		return egress.dollars(gb*c.Left) + computing
	}
	return sqsRequests.dollars(gb/event.MaxBatchBytes*2*chunks(event.MaxBatchBytes*c.Left)) + computing
}

// asCheap is by how much the prices of two compressions must differ to be different: other events
// than the measured ones change them by more.
const asCheap = 0.03

// choose returns the fastest of the compressions that are as cheap as the cheapest.
func choose(all []Compression) Compression {
	dollars := func(a, b Compression) int { return cmp.Compare(a.dollars(), b.dollars()) }
	most := slices.MinFunc(all, dollars).dollars() * (1 + asCheap)
	dear := func(c Compression) bool { return c.dollars() > most }
	return slices.MinFunc(slices.DeleteFunc(slices.Clone(all), dear),
		func(a, b Compression) int { return cmp.Compare(a.CPU, b.CPU) })
}

// Gzip is the compression of requests to Segment where their bytes are paid for: one less costs
// more than the time to save it, up to a level.
func Gzip() Compression { return choose(gzips[:]) }

// Zstd is the compression of messages. SQS counts by 64 KB, so that a few bytes less save nothing.
func Zstd() Compression { return choose(zstds[:]) }

// CompressionTable is the table of docs/cost.md: what a GB of events costs with each compression,
// which is a million events of 1 KB.
func CompressionTable() string {
	var b strings.Builder
	b.WriteString("| | of 1 GB is left | a core takes | paid to send it | paid to compute | sum " +
		"|\n|---|---|---|---|---|---|\n")
	for _, all := range [][]Compression{gzips[:], zstds[:]} {
		for _, c := range all {
			name := fmt.Sprintf("%s %d", c.Algorithm, c.Level)
			if c == choose(all) {
				name = "**" + name + "**"
			}
			computing := compute.dollars(c.gbSeconds(1e9))
			fmt.Fprintf(&b, "| %s | %.0f MB | %.1f s | $%.5f | $%.5f | $%.5f |\n", name, c.Left*1000, 1000*c.CPU.Seconds(),
				c.dollars()-computing, computing, c.dollars())
		}
	}
	return b.String()
}
