package ingest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealthReportsWhetherTheQueueIsReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var err error
		r := newRig(t, func(c *Config) { c.Health = func(context.Context) error { asked++; return err } })
		is := func(status, times int) {
			t.Helper()
			for _, method := range []string{"GET", "HEAD"} {
				want(t, "status", r.do(method, "/health", "").Code, status)
			}
			want(t, "asked", asked, times)
		}
		is(200, 1)
		err = errQueueDown
		is(200, 1)
		time.Sleep(healthFor)
		is(503, 2)
		err = nil
		time.Sleep(healthFor / 2)
		is(503, 2)
		time.Sleep(healthFor / 2)
		is(200, 3)
	})
}

func TestAHangingHealthCheckTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Health = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		start := time.Now()
		want(t, "status", r.do("GET", "/health", "").Code, 503)
		want(t, "waited", time.Since(start), healthTimeout)
	})
}
