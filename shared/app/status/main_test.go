package status

import (
	"runtime/debug"
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // as usual, a quarter of the CPU would be the collector's
	testutil.Main(m)
}
