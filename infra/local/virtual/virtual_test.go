package virtual

import (
	"sync"
	"testing"
	"time"
)

func TestABubbleNeedsNoTest(t *testing.T) {
	var running sync.WaitGroup
	began := time.Now()
	for range 3 {
		running.Go(func() { // where no goroutine is a test's
			days := 0
			Run(func() {
				for range 365 {
					time.Sleep(24 * time.Hour)
					days++
				}
			})
			if days != 365 {
				t.Errorf("%d days have passed, want 365", days)
			}
		})
	}
	running.Wait()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("a virtual year took %v", took)
	}
}
