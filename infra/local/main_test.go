package local_test

import (
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400)
	localtest.KeepConnections()
	testutil.Main(m)
}
