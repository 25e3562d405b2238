package testutil

import (
	"flag"
	"runtime/debug"
)

// CollectLess makes the garbage collector run a quarter as often as usual, for a TestMain: it takes up to a
// third of the CPU of tests that hold little. Benchmarks measure what it takes as well, and are left alone.
func CollectLess() {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		debug.SetGCPercent(400)
	}
}
