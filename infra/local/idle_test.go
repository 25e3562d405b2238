package local

import "testing"

func TestIdleBeginsOnceAfterABusyTime(t *testing.T) {
	var i idle
	for minute, step := range []struct {
		deleted int64
		begins  bool
	}{
		{0, false}, {1, false}, {2, false}, // the canary's
		{90_000, false}, {180_000, false}, {180_001, true}, {180_002, false}, {180_003, false},
		{180_003 + busyDeletes, false}, {180_002 + 2*busyDeletes, true},
	} {
		if got := i.begins(step.deleted); got != step.begins {
			t.Errorf("minute %d, %d messages deleted so far: idle begins: %v, want %v", minute, step.deleted, got, step.begins)
		}
	}
}
