package replay

import (
	"runtime/debug"
	"testing"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // as usual, a third of the CPU would be the collector's
	m.Run()
}
