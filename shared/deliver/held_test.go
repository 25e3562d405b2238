package deliver

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/rollout"
	"github.com/spillwayhq/spillway/shared/segment"
)

// pausing is a handler whose operator has paused the write keys in the map that is returned.
func pausing(t *testing.T) (*rig, operator.Keys) {
	t.Helper()
	r, paused := newRig(t, nil), operator.Keys{}
	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, PausedKeys: func() operator.Keys { return paused }})
	return r, paused
}

func TestAPausedKeyWaitsAndOtherKeysGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, paused := pausing(t)
		paused[event.KeyID(keyB)] = operator.Mark{Since: time.Now()}
		messages := []in{{id: "paused", body: body(keyB, track("p", 300)), sent: time.Now().Add(-2 * time.Hour), receives: 3},
			{id: "other", body: body(keyA, track("o", 300)), sent: time.Now()},
			{id: "default", body: body("", track("d", 300)), sent: time.Now()}}
		want(t, "retained", r.invoke(t.Context(), messages...), []string{"paused"})
		want(t, "delivered", len(r.segment.delivered()), 2)
		want(t, "counted as", r.last.Retried, map[string]int{Paused: 1})
		want(t, "causes, for people, of what is wrong", len(r.last.Causes), 0)
		for _, m := range r.last.Metrics() {
			if m.Name == rollout.FailuresMetric {
				t.Errorf("%s is written, %v: a version that does what a person wants does not fail", m.Name, m.Values)
			}
		}
		want(t, "Segment refuses", r.last.Misconfigured, nil)
		want(t, "Segment's answers", r.last.Flushes[0].Class, segment.Delivered)
		want(t, "the ages of", eventAges(r), []float64{0, 0}) // the other two
		wait := r.queue.timeouts["r-paused"]
		if least, most := 2*time.Minute*9/10, 2*time.Minute*11/10; wait < least || wait > most {
			t.Errorf("it is tried again after %v, want 2m0s ± 10%%, as any other at its third receive", wait)
		}
	})
}

func TestAResumedKeyIsDeliveredAndItsAgeIsNoBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, paused := pausing(t)
		paused[event.KeyID(keyA)] = operator.Mark{Since: time.Now()}
		old := in{id: "old", body: body(keyA, track("o", 300)), sent: time.Now().Add(-2 * time.Hour)}
		want(t, "retained", r.invoke(t.Context(), old), []string{"old"})
		maps.Copy(paused, paused.Resume(event.KeyID(keyA), time.Now()))
		time.Sleep(16 * time.Minute)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, PausedKeys: func() operator.Keys { return paused }})
		want(t, "retained", r.invoke(t.Context(), old), nil) // in an environment that has just started
		want(t, "delivered", len(r.segment.delivered()), 1)
		want(t, "its age", eventAges(r), nil)
		time.Sleep(20 * time.Minute)
		r.invoke(t.Context(), old)
		if ages := eventAges(r); len(ages) != 1 {
			t.Errorf("long after the pause the ages are %v, want one", ages)
		}
	})
}

func TestAResumedKeyThatSegmentThrottlesIsNoBacklogEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, paused := pausing(t)
		paused[event.KeyID(keyA)] = operator.Mark{Since: time.Now()}
		maps.Copy(paused, paused.Resume(event.KeyID(keyA), time.Now()))
		r.segment.answer = func(context.Context, *event.Batch) error { return status(429) }
		old := in{id: "old", body: body(keyA, track("o", 300)), sent: time.Now().Add(-2 * time.Hour)}
		for _, c := range []struct {
			when string
			ages int
		}{{"resumed just now", 0}, {"throttled for 20 minutes", 1}} {
			want(t, "retained", r.invoke(t.Context(), old), []string{"old"})
			want(t, "ages of a message that is throttled, "+c.when, len(eventAges(r)), c.ages)
			time.Sleep(20 * time.Minute)
		}
		maps.Copy(paused, operator.Keys{}.Pause(event.KeyID(keyA), operator.Mark{Since: time.Now()}).
			Resume(event.KeyID(keyA), time.Now()))
		r.segment.answer = func(context.Context, *event.Batch) error { return status(503) }
		want(t, "retained", r.invoke(t.Context(), old), []string{"old"})
		want(t, "ages when Segment fails", len(eventAges(r)), 1)
	})
}

// The events that can't be delivered become dead letters when the others are delivered: a message
// that waits must not write them again with each attempt.
func TestAPausedMessageWritesNoDeadLetterBeforeItIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, paused := pausing(t)
		paused[event.KeyID(keyB)] = operator.Mark{Since: time.Now()}
		m := in{id: "m", body: body(keyB, track("o", 300), `{"type":"track","event":"of nobody"}`), sent: time.Now()}
		for range 3 {
			want(t, "retained", r.invoke(t.Context(), m), []string{"m"})
		}
		want(t, "dead letters", len(r.queue.deadLetters), 0)
		time.Sleep(MaxAge + time.Minute)
		want(t, "retained after ten days", r.invoke(t.Context(), m), nil)
		total := 0
		for _, n := range r.last.DeadLettered {
			total += n
		}
		want(t, "dead letters after ten days", total, 2)
		want(t, "sent to Segment", len(r.segment.attempts), 0)
	})
}

func TestTheDefaultKeyCanBePausedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, paused := pausing(t)
		paused[event.KeyID(keyA)] = operator.Mark{Since: time.Now()}
		want(t, "retained", r.invoke(t.Context(), in{id: "m", body: body("", track("o", 300))}), []string{"m"})
		want(t, "sent to Segment", len(r.segment.attempts), 0)
	})
}

func TestAPauseIsRememberedUntilItsMessagesHaveComeBack(t *testing.T) {
	var id event.LastKeyID
	now := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	paused := operator.Keys{}.Pause(event.KeyID(keyA), operator.Mark{Since: now})
	resumed := paused.Resume(event.KeyID(keyA), now)
	for _, c := range []struct {
		keys         operator.Keys
		key          string
		after        time.Duration
		held, lately bool
	}{
		{nil, keyA, 0, false, false},
		{paused, keyA, time.Hour, true, true},
		{paused, keyB, time.Hour, false, false},
		{paused, "", time.Hour, false, false},
		{resumed, keyA, 18 * time.Minute, false, true},
		{resumed, keyA, 19 * time.Minute, false, false},
	} {
		at := now.Add(c.after)
		if h, l := held(c.keys, &id, c.key), heldLately(c.keys, &id, c.key, at); h != c.held || l != c.lately {
			t.Errorf("%v, %s after %v: held %t, lately %t, want %t, %t", c.keys, c.key, c.after, h, l, c.held, c.lately)
		}
	}
}
