package publisher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/spill/spilltest"
)

// Each event that Enqueue accepted is in SQS or survives on disk: with Disk a power cut, with
// Process the end of the process, whether the queue takes events, fails, or loses its answers.
func TestAcceptedEventsSurviveWhatTheDurabilitySays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		durability Durability
		end        func(*spilltest.Disk) *spilltest.Disk
	}{"power cut": {Disk, (*spilltest.Disk).PowerCut}, "kill -9": {Process, (*spilltest.Disk).Kill}} {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { endAtAnyMoment(t, seed, c.durability, c.end) })
			})
		}
	}
}

func endAtAnyMoment(t *testing.T, seed uint64, durability Durability, end func(*spilltest.Disk) *spilltest.Disk) {
	rng := rand.New(rand.NewPCG(seed, 11))
	disk, q := spilltest.New(), &fakeQueue{answer: randomAnswers(rand.New(rand.NewPCG(seed, 12)))}
	config := Config{Dir: "/srv/events", Durability: durability}
	var accepted []string
	for life := range 6 {
		c := newClientIn(spill.WithFS(t.Context(), disk), t, config, q)
		for n := range rng.IntN(40) {
			m := testEvent(fmt.Sprintf("%d-%d", life, n))
			if err := c.Enqueue(m); err != nil {
				t.Fatal(err)
			}
			accepted = append(accepted, m.MessageId)
			time.Sleep(time.Duration(rng.IntN(3)) * 100 * time.Millisecond)
		}
		disk = end(disk)
		killed, kill := context.WithCancel(t.Context())
		kill()
		_ = c.Shutdown(killed) // ends its goroutines; nothing that it does reaches the disk
	}
	q.set(nil)
	c := newClientIn(spill.WithFS(t.Context(), disk), t, config, q)
	mustClose(t, c)
	q.check(t)
	for _, id := range accepted {
		if q.has(id) == 0 {
			t.Errorf("event %s was accepted and is lost", id)
		}
	}
}
