package jobs

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// redis starts Redis for the test, or skips it where Redis is not installed.
func redis(t *testing.T, settings ...string) string {
	p, err := machine.StartRedis(t.Context(), t.TempDir(), settings...)
	if errors.Is(err, machine.ErrNoRedis) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p.URL
}

func TestTheRepairedDesignDeliversEachJobOnce(t *testing.T) {
	address := redis(t)
	emulator := segmentd.New(segmentd.Options{})
	segment := httptest.NewServer(emulator)
	t.Cleanup(func() {
		segment.CloseClientConnections() // analytics-go leaves them open
		segment.Close()
	})
	const count = 300
	if err := fill(t.Context(), peer.Filling{Count: count, Redis: address}); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: address})
	defer inspector.Close()
	if q, err := inspector.GetQueueInfo("default"); err != nil || q.Pending != count {
		t.Fatalf("the queue is %+v, %v; want %d pending jobs", q, err, count)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- closing(100)(ctx, peer.Working{Redis: address, Segment: segment.URL}) }()
	for deadline := time.Now().Add(time.Minute); emulator.Stats().Distinct < count && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s := emulator.Stats(); s.Distinct != count || s.Duplicates != 0 {
		t.Errorf("Segment has %d of %d events, and %d twice", s.Distinct, count, s.Duplicates)
	}
	if q, err := inspector.GetQueueInfo("default"); err != nil || q.Size != 0 {
		t.Errorf("the queue is left as %+v, %v", q, err)
	}
}
