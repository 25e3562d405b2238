package testutil

import (
	"flag"
	"runtime/debug"
)

// CollectLess is debug.SetGCPercent for a TestMain: as usual, with 100, the garbage collector takes up to
// half of the CPU of tests that hold little. Benchmarks measure what it takes as well, and are left alone.
func CollectLess(percent int) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		debug.SetGCPercent(percent)
	}
}
