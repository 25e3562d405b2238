package integration

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

var apiKills = flag.Int("api-kills", 2, "how many times the API is killed")

// TestAnAPIThatIsKilledLosesNoEventThatItAccepted runs with the durability Process. An answer of
// 200 means that Enqueue has returned.
func TestAnAPIThatIsKilledLosesNoEventThatItAccepted(t *testing.T) {
	t.Parallel()
	o := localtest.NewArrivals()
	p := localtest.Start(t, local.Config{OnEvent: o.Add})
	q := newFaultyQueue(t, p.QueueURL(topology.DefaultNames().EventsQueue))
	args := []string{"--track=process", "--queue-url=" + q.url, "--dir=" + filepath.Join(t.TempDir(), "spill")}
	g := newGenerator(t, 500)
	var r result
	for round := range *apiKills {
		how := rand.IntN(4)
		switch how {
		case 0:
			q.refuse()
		case 1:
			q.fail(unavailable)
		}
		a := startAPI(t, args...)
		if how == 2 { // not before: an API that starts waits 3 s for the queue's answer
			q.fail(q.hang)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var loading sync.WaitGroup
		loading.Go(func() { g.run(ctx, a.Address, fmt.Sprint("life", round), patience, &r) })
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		if rand.IntN(2) == 0 { // SQS comes back before the kill, or after it
			q.heal(t)
		}
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		a.Kill()
		cancel()
		loading.Wait()
		q.heal(t)
	}
	a := startAPI(t, args...)
	awaitAll(t, o, r.accepted, nil)
	a.stop(t)
	t.Logf("%d kills, %d requests answered, %d cut off", *apiKills, len(r.accepted), len(r.failed))
	noneElse(t, o, r.issued)
	if lost := a.lost(); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
}
