package status_test

import (
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(200) // as usual, a quarter of the CPU would be the collector's
	m.Run()
}
