package status

import (
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400) // as usual, a quarter of the CPU would be the collector's
	testutil.Main(m)
}
