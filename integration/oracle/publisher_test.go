package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/spill/spilltest"
)

// api is a program whose events go through a publisher with a disk of its own.
type api struct {
	*issuer
	t          *testing.T
	name       string // in its context
	config     publisher.Config
	disk       *spilltest.Disk
	client     *publisher.Client
	contextual common // of the events that are not Raw
	accepted   int64  // since it started first
	ended      bool   // not in good order
}

// newAPIs makes a program for each durability. Those with the same write key have contexts of the
// same length.
func newAPIs(t *testing.T, i *issuer, sqs publisher.SQS) (all []*api) {
	for n, durability := range []publisher.Durability{publisher.Memory, publisher.Process, publisher.Disk,
		publisher.Disk} {
		a := &api{issuer: i, t: t, name: fmt.Sprintf("api %d", n), disk: spilltest.New()}
		a.config = publisher.Config{
			QueueURL: queueURL(topology.DefaultNames().EventsQueue), WriteKey: writeKeys[n%2], Dir: "/srv/spill",
			Durability:     durability,
			DefaultContext: &analytics.Context{App: analytics.AppInfo{Name: a.name}}, Logger: quiet,
			SQS: func(string) (publisher.SQS, error) { return sqs, nil },
		}
		a.contextual.context = fmt.Sprintf(`{"app":{"name":%q},"library":{"name":"analytics-go","version":%q}}`, a.name,
			analytics.Version)
		a.start()
		all = append(all, a)
	}
	return all
}

func (a *api) start() {
	var err error
	if a.client, err = publisher.New(spill.WithFS(a.t.Context(), a.disk), a.config); err != nil {
		a.t.Fatal(err)
	}
}

// enqueue enqueues some events.
func (a *api) enqueue() {
	for range 1 + a.rng.IntN(12) {
		e := a.event()
		e.id, e.timestamped, e.null = a.id(), true, false
		p := parcel{key: a.config.WriteKey, path: "/v1/batch", common: a.contextual}
		var m analytics.Message
		var out issued
		if a.rng.IntN(2) == 0 {
			track := analytics.Track{MessageId: e.id, Timestamp: time.Now().UTC(), UserId: "u1",
				Event: fmt.Sprintf("E%d", a.serial)}
			raw, err := publisher.Encode(track)
			if err != nil {
				a.t.Fatal(err)
			}
			e.reason = ""
			m, out = track, a.expected(&p, &draft{})
			out.want = string(raw.JSON())
		} else {
			if e.reason == "too_large" { // refused
				continue
			}
			p.common = common{}
			out = a.expected(&p, &e)
			out.want = e.bytes(e.id, ownTimestamp(&e))
			raw, err := publisher.NewRaw([]byte(out.want))
			if err != nil {
				a.t.Fatal(err)
			}
			m = raw
		}
		if err := a.client.Enqueue(m); err != nil {
			a.ledger.complain("enqueue: %w", err)
			continue
		}
		a.accepted++
		a.ledger.issue(e.id, out)
	}
}

// finish ends the program in good order, and compares its own count.
func (a *api) finish() {
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	if err := a.client.Shutdown(ctx); err != nil {
		a.ledger.complain("shut down %s: %w", a.name, err)
	}
	if s := a.client.Stats(); !a.ended && s.Published != a.accepted {
		a.ledger.complain("%s says that %d events are published, want %d", a.name, s.Published, a.accepted)
	}
}

// end ends the program, as badly as its durability allows: by a power cut, by kill -9, or in good
// order. It starts again on what is left of its disk.
func (a *api) end(rng *rand.Rand) {
	ctx, cancel := context.WithCancel(a.t.Context())
	defer cancel()
	a.ended = true
	left := a.disk
	switch {
	case a.config.Durability == publisher.Memory:
		// It has all the time it needs.
	case a.config.Durability == publisher.Disk && rng.IntN(2) == 0:
		left = a.disk.PowerCut()
		cancel()
	default:
		left = a.disk.Kill()
		cancel()
	}
	err := a.client.Shutdown(ctx)
	if err != nil && ctx.Err() == nil {
		a.ledger.complain("%s: %w", a.name, err)
	}
	a.disk = left
	a.start()
}
