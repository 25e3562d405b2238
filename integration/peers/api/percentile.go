package api

import (
	"math"
	"time"
)

// percentile returns the smallest of the latencies that at least the fraction q of them do not
// exceed (nearest rank). The latencies are sorted and q is between 0 and 1; of no latencies it is
// 0.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// 0.999 x 1,000 is a little more than 999 in floating point, and its rank is 999.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
