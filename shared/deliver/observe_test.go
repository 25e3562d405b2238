package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/message"
)

// watching is an Observer that always watches with f.
func watching(f func(Observation)) func() Watch {
	return func() Watch { return Watch{Tell: f} }
}

// watched gives the rig's handler an observer, and returns the list to which it appends each
// observation.
func (r *rig) watched() *[]string {
	var seen []string
	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, Observer: watching(func(o Observation) {
		what := strings.TrimSuffix(o.MessageID+" "+o.Disposition.String()+" "+o.Reason, " ")
		if o.Event == nil || o.WriteKey == "" != (o.Reason == "undecodable") || o.Receives < 1 {
			r.Errorf("%s: %+v", what, o)
		}
		if (o.Disposition == Delivered) != (o.Detail == "") {
			r.Errorf("%s has the detail %q", what, o.Detail)
		}
		seen = append(seen, what)
	})})
	return &seen
}

func TestEachEventOfAnInvocationIsObservedOnce(t *testing.T) {
	poison := track("poison", 300)
	invalid := strings.Replace(track("invalid", 300), `"userId":"`+marker+`",`, "", 1)
	for name, c := range map[string]struct {
		messages []in
		age      time.Duration
		answer   func(context.Context, *event.Batch) error
		sending  error // of dead letters
		want     []string
	}{
		"delivered": {messages: []in{{id: "m", body: body(keyA, tracks("e", 2, 300)...)}},
			want: []string{"e-0 delivered", "e-1 delivered"}},
		"an identity that it had not": {messages: []in{{id: "m", body: `{"type":"track","userId":"u","event":"Run"}`}},
			want: []string{"m-0 delivered"}},
		"rejected one by one": {messages: []in{{id: "m", body: body(keyA, track("good", 300), poison, invalid)}},
			answer: refusing(poison),
			want:   []string{"good delivered", "invalid dead_lettered invalid", "poison dead_lettered rejected"}},
		"unreadable": {messages: []in{{id: "m", body: "no JSON"}}, want: []string{"m dead_lettered undecodable"}},
		"away": {messages: []in{{id: "m", body: body(keyA, track("e", 300), invalid)}},
			answer: func(context.Context, *event.Batch) error { return status(503) },
			want:   []string{"e retried transient", "invalid retried transient"}},
		"no dead letter can be written": {messages: []in{{id: "m", body: body(keyA, track("good", 300), poison)}},
			answer: refusing(poison), sending: errors.New("away"),
			want: []string{"good retried transient", "poison retried transient"}},
		"expired": {messages: []in{{id: "m", body: body(keyA, tracks("e", 2, 300)...)}}, age: MaxAge + time.Hour,
			answer: func(context.Context, *event.Batch) error { return status(429) },
			want:   []string{"e-0 dead_lettered expired", "e-1 dead_lettered expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.answer)
				if c.sending != nil {
					r.queue.send = func(context.Context, []message.Message) error { return c.sending }
				}
				seen := r.watched()
				for i := range c.messages {
					c.messages[i].sent = time.Now().Add(-c.age)
				}
				r.invoke(t.Context(), c.messages...)
				slices.Sort(*seen)
				want(t, "observations", *seen, c.want)
				want(t, "as many as counted", len(*seen), r.last.Events)
			})
		})
	}
}

func TestAnEventWithoutAnyWriteKeyIsObservedAsRetried(t *testing.T) {
	r := newRig(t, nil)
	var seen []string
	r.Handler = r.handler(Config{Segment: r.segment, Observer: watching(func(o Observation) {
		seen = append(seen, fmt.Sprint(o.MessageID, o.WriteKey, " ", o.Disposition, " ", o.Reason))
	})})
	r.invoke(t.Context(), in{id: "m", body: track("e", 300)})
	want(t, "observations", seen, []string{"e retried misconfigured"})
}

func TestAnObserverSeesTheNextInvocationWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error { return status(503) })
		var watcher func(Observation)
		var seen []string
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA,
			Observer: func() Watch { return Watch{Tell: watcher} }})
		packed := in{id: "m", body: body(keyA, tracks("e", 3, 300)...), sent: time.Now()}
		for range breakAfter { // opens the breaker
			r.invoke(t.Context(), packed)
		}
		r.invoke(t.Context(), packed)
		want(t, "events of an undecoded message without the attribute", r.last.Events, 1)
		watcher = func(o Observation) { seen = append(seen, o.MessageID) }
		r.invoke(t.Context(), packed)
		want(t, "events that were observed", seen, []string{"e-0", "e-1", "e-2"})
		watcher = nil
		r.invoke(t.Context(), packed)
		want(t, "and no more when nobody watches", len(seen), 3)
		want(t, "messages are not decoded then", r.last.Events, 1)
	})
}

func TestAWatchGetsNoMoreEventsThanItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := track("poison", 300)
		invalid := func(id string) string {
			return strings.Replace(track(id, 300), `"userId":"`+marker+`",`, "", 1)
		}
		r := newRig(t, refusing(poison))
		var asked, seen []string
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, Observer: func() Watch {
			return Watch{
				Tell: func(o Observation) { seen = append(seen, o.MessageID+" "+o.Disposition.String()) },
				Wants: func(d Disposition, reason string, n int) int {
					asked = append(asked, strings.TrimSuffix(fmt.Sprintf("%d %s %s", n, d, reason), " "))
					return map[Disposition]int{Delivered: 2, DeadLettered: 1, Retried: -1}[d]
				},
			}
		}})
		events := append(tracks("e", 5, 300), poison, invalid("i"), invalid("j"))
		r.invoke(t.Context(), in{id: "m", body: body(keyA, events...)}, in{id: "u", body: "no JSON"})
		want(t, "asked", asked, []string{"1 dead_lettered undecodable", "5 delivered", "2 dead_lettered invalid",
			"1 dead_lettered rejected"})
		want(t, "seen", seen, []string{"u dead_lettered", "e-0 delivered", "e-1 delivered", "i dead_lettered",
			"poison dead_lettered"})

		asked, seen = nil, nil
		r.segment.answer = func(context.Context, *event.Batch) error { return status(429) }
		r.invoke(t.Context(), in{id: "m", body: body(keyA, tracks("e", 3, 300)...)})
		want(t, "asked", asked, []string{"3 retried throttled"})
		want(t, "seen", len(seen), 0)
	})
}

// A page that shows samples must not make each message be decoded at each receive of a long outage.
func TestAWatchThatWantsSomeSeesAMessageBehindAnOpenBreakerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error { return status(503) })
		var seen []string
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA,
			Senders: heavy.NewCounter("spillway", heavy.PartDeliver),
			Observer: func() Watch {
				return Watch{
					Tell:  func(o Observation) { seen = append(seen, o.MessageID+" "+o.Detail) },
					Wants: func(_ Disposition, _ string, n int) int { return n },
				}
			}})
		packed := in{id: "m", body: body(keyA, tracks("e", 2, 300)...), sent: time.Now(), receives: 1}
		for range breakAfter { // opens the breaker
			r.invoke(t.Context(), packed)
		}
		seen = nil
		r.invoke(t.Context(), packed)
		want(t, "events of a new message", len(seen), 2)
		if !strings.HasPrefix(seen[0], "e-0 the circuit breaker is open") || !strings.Contains(seen[0], "503") {
			t.Errorf("it says %q", seen[0])
		}
		packed.receives = 2
		r.invoke(t.Context(), packed)
		want(t, "when it is received again", len(seen), 2)
	})
}

func TestCanariesAreCountedAndTimedByTheirWriteKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB})
		ago := time.Now().Add(-3 * time.Second)
		r.invoke(t.Context(), in{id: "canary", body: body(keyB, tracks("c", 2, 300)...), sent: ago},
			in{id: "other", body: body(keyA, tracks("e", 5, 300)...), sent: ago})
		want(t, "events that people sent", r.last.Events, 5)
		want(t, "of these delivered", r.last.Delivered, 5)
		want(t, "canaries that came in", r.last.CanaryEvents, 2)
		want(t, "canaries that were delivered", r.last.CanaryAges, []time.Duration{3 * time.Second, 3 * time.Second})
		got := map[string][]float64{}
		for _, m := range r.last.Metrics() {
			got[m.Name] = append(got[m.Name], m.Values...)
		}
		want(t, "CanaryDelivered", got["CanaryDelivered"], []float64{1, 1})
		want(t, "CanaryLatency", got["CanaryLatency"], []float64{3000, 3000})

		r.segment.answer = func(context.Context, *event.Batch) error { return status(429) }
		r.invoke(t.Context(), in{id: "canary", body: body(keyB, track("c", 300)), sent: ago})
		want(t, "canaries that came in", r.last.CanaryEvents, 1)
		want(t, "canaries that were delivered", len(r.last.CanaryAges), 0)
	})
}

// An alarm compares the canaries that ingest accepted with those that were delivered, minute by
// minute, so both must be counted in the same one however long a canary waited.
func TestADeliveredCanaryIsOfTheMinuteOfItsTimestamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB, CanaryEndsHere: true})
		time.Sleep(90 * time.Second)
		now := time.Now()
		for timestamp, age := range map[string]time.Duration{
			now.Add(-20*time.Minute - 30*time.Second).Format(time.RFC3339): 20*time.Minute + 30*time.Second,
			now.Add(-95 * time.Second).Format(time.RFC3339):                90 * time.Second, // ingest's clock is behind
			now.Add(-80 * time.Second).Format(time.RFC3339):                90 * time.Second, // ingest took a while
			now.Add(time.Hour).Format(time.RFC3339):                        30 * time.Second, // nobody sends it ahead
			now.Add(-MaxAge).Format(time.RFC3339):                          30 * time.Second,
			"yesterday":                                                    30 * time.Second,
		} {
			c := strings.Replace(track("c", 300), `"userId"`, `"timestamp":"`+timestamp+`","userId"`, 1)
			r.invoke(t.Context(), in{id: "c", body: body(keyB, c), sent: now})
			var at []time.Time
			for _, m := range r.last.Metrics() {
				if m.Name == "CanaryDelivered" || m.Name == "CanaryLatency" {
					at = append(at, m.At)
				}
			}
			want(t, timestamp, at, []time.Time{now.Add(-age), now.Add(-age)})
		}
	})
}

// canary is a message of one event of keyB, as the ingest endpoint writes it.
func canary(id string) in { return in{id: id, body: body(keyB, track(id, 300)), sent: time.Now()} }

func TestACanaryThatEndsHereNeverReachesSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB, CanaryEndsHere: true})
		invalid := strings.Replace(track("invalid", 300), `"userId":"`+marker+`",`, "", 1)
		c := canary("c")
		time.Sleep(2 * time.Second)
		retained := r.invoke(t.Context(), one("e"), c, in{id: "bad", body: body(keyB, invalid, track("good", 300))},
			in{id: "unreadable", body: "no JSON"})
		want(t, "retained", len(retained), 0)
		want(t, "what Segment got", r.segment.delivered(), []string{track("e", 300)})
		want(t, "canaries", r.last.CanaryAges, []time.Duration{2 * time.Second, 0})
		want(t, "canaries that came in", r.last.CanaryEvents, 3)
		want(t, "delivered of what people sent", r.last.Delivered, 1)
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"invalid": 1, "undecodable": 1})
		for _, m := range r.last.Metrics() {
			if m.Name == "EventsDelivered" {
				want(t, "EventsDelivered counts what people sent", m.Values, []float64{1})
			}
		}
	})
}

func TestACanaryThatEndsHereIsReportedWhileSegmentIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB, CanaryEndsHere: true})
		r.openBreaker(t)
		// One that only mentions the key is retained like all others, and one that is compressed is
		// not searched.
		mention := in{id: "mention", body: body(keyA, strings.Replace(track("m", 300), marker, keyB, 1)), sent: time.Now()}
		packed := in{id: "packed", body: zipped(t, body(keyB, track("p", 300))), sent: time.Now()}
		var retained []string
		want(t, "calls of Segment",
			r.calls(func() { retained = r.invoke(t.Context(), one("e"), canary("c"), mention, packed) }),
			0)
		slices.Sort(retained)
		want(t, "retained", retained, []string{"e", "mention", "packed"})
		want(t, "canaries", len(r.last.CanaryAges), 1)
		want(t, "a message that is too large for a canary is not decoded",
			r.invoke(t.Context(), in{id: "large", body: body(keyB, tracks("l", 60, 300)...), sent: time.Now()}),
			[]string{"large"})
		want(t, "and counts as one event without the attribute", r.last.Events, 1)
	})
}

func TestACanaryForSegmentIsNotReportedWhileSegmentIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB})
		r.openBreaker(t)
		want(t, "retained", r.invoke(t.Context(), canary("c")), []string{"c"})
		want(t, "canaries", len(r.last.CanaryAges), 0)
	})
}

func TestWithoutCanariesThereAreNoCanaryMetrics(t *testing.T) {
	r := newRig(t, nil)
	r.invoke(t.Context(), in{id: "m", body: track("e", 300)})
	for _, m := range r.last.Metrics() {
		if strings.HasPrefix(m.Name, "Canary") {
			t.Errorf("%s is written, but an alarm looks for its absence", m.Name)
		}
	}
}
