package deliver

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// eventAges are the values of the metric EventAge of the last invocation, in whole seconds.
func eventAges(r *rig) (ages []float64) {
	for _, m := range r.last.Metrics() {
		if m.Name == "EventAge" {
			for _, age := range m.Values {
				ages = append(ages, math.Floor(age))
			}
		}
	}
	return ages
}

// In the hours of an outage all messages are due together, once in 15 minutes. The alarm on the age
// must not end in between.
func TestTheBacklogIsOldBetweenTwoAttemptsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error { return status(503) })
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB, CanaryEndsHere: true})
		hourOld := in{id: "old", body: body(keyA, track("o", 300)), sent: time.Now().Add(-time.Hour), receives: 20}
		r.invoke(t.Context(), hourOld)
		want(t, "when it is received", eventAges(r), []float64{3600})
		time.Sleep(10 * time.Minute)
		r.invoke(t.Context(), canary("c"))
		want(t, "while it waits", eventAges(r), []float64{0, 4200})
		time.Sleep(10 * time.Minute)
		r.invoke(t.Context(), canary("c"))
		want(t, "when it is due, and may be delivered elsewhere", eventAges(r), []float64{0})
	})
}

func TestTheOldestWaitingMessageIsRemembered(t *testing.T) {
	var w waiting
	now := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	want(t, "of none", w.age(now), 0)
	w.add(time.Time{}, now.Add(time.Hour), now)
	want(t, "of one that does not count", w.age(now), 0)
	w.add(ago(5), now.Add(10*time.Minute), now)
	w.add(ago(20), now.Add(5*time.Minute), now)
	w.add(ago(1), now.Add(15*time.Minute), now)
	want(t, "of three", w.age(now), 20*time.Minute)
	now = now.Add(5 * time.Minute)
	want(t, "when it is due", w.age(now), 0)
	w.add(ago(2), now.Add(time.Minute), now)
	want(t, "of a younger one afterwards", w.age(now), 2*time.Minute)
}

// What waits for a person is no backlog, and has an alarm of its own.
func TestAMessageWithARefusedKeyOrThatWasRedrivenIsNoBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := 401
		r := newRig(t, func(context.Context, *event.Batch) error { return status(answer) })
		hourOld := in{id: "old", body: body(keyA, track("o", 300)), sent: time.Now().Add(-time.Hour)}
		want(t, "retained", r.invoke(t.Context(), hourOld), []string{"old"})
		want(t, "refused key", eventAges(r), nil)
		time.Sleep(time.Second)
		want(t, "retained", r.invoke(t.Context(), hourOld), []string{"old"})
		want(t, "paused key", eventAges(r), nil)
		answer = 503
		time.Sleep(time.Hour)
		redriven := hourOld
		redriven.firstSeen = "2018-09-24T10:00:00.000Z"
		for range breakAfter + 1 { // read, and then unread
			r.invoke(t.Context(), redriven)
			want(t, "redriven", eventAges(r), nil)
		}
	})
}

// Canaries come in every minute and never reach Segment, so in an environment that nothing else
// reaches they would report an open breaker for hours.
func TestABreakerThatNothingWaitsForIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error { return status(503) })
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB, CanaryEndsHere: true})
		open := func() (value float64) {
			for _, m := range r.last.Metrics() {
				if m.Name == "BreakerOpen" {
					value = m.Values[0]
				}
			}
			return value
		}
		for range breakAfter {
			r.invoke(t.Context(), one("e"))
		}
		want(t, "when it opens", open(), 1.0)
		r.invoke(t.Context(), canary("c"))
		want(t, "while the message waits", open(), 1.0)
		time.Sleep(maxBackoff)
		r.invoke(t.Context(), canary("c"))
		want(t, "when it was delivered elsewhere", open(), 0.0)
		want(t, "the breaker itself", r.last.BreakerOpen, true)
	})
}

// Once the key is corrected, what has waited for that is delivered with its age, which is no
// backlog. What comes later counts again, and so does what Segment fails to take.
func TestAMessageThatHasWaitedForItsKeyIsNoBacklogWhenItIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := 401
		r := newRig(t, func(context.Context, *event.Batch) error {
			if answer == 200 {
				return nil
			}
			return status(answer)
		})
		old := func(id, key string) in {
			return in{id: id, body: body(key, track(id, 300)), sent: time.Now().Add(-time.Hour)}
		}
		waited := old("waited", keyA)
		r.invoke(t.Context(), waited)
		time.Sleep(15 * time.Minute)
		answer = 200
		r.invoke(t.Context(), old("another key's", keyB), waited)
		want(t, "delivered", r.last.Delivered, 2)
		want(t, "the key is corrected", eventAges(r), []float64{3600})
		answer = 503
		r.invoke(t.Context(), old("retained", keyA))
		want(t, "Segment fails", eventAges(r), []float64{3600})
		answer = 200
		time.Sleep(20 * time.Minute)
		r.invoke(t.Context(), old("late", keyA))
		want(t, "much later", eventAges(r), []float64{3600})
	})
}
