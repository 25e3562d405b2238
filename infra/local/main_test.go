package local

import (
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400)
	testutil.Main(m)
}
