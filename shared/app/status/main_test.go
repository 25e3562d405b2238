package status

import (
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }
