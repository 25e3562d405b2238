package status_test

import (
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

func BenchmarkObserve(b *testing.B) {
	d := scenes()[1].doc
	now := scenesNow
	for b.Loop() {
		now = now.Add(time.Minute)
		_ = status.Observe(d, look(now, status.Up, status.Down, time.Minute), now)
	}
}

func BenchmarkRender(b *testing.B) {
	s := scenes()[1]
	for b.Loop() {
		_ = status.Render(s.site, s.doc, nil)
	}
}
