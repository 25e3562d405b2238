package deliver

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// refusing makes Segment answer 400 to a batch that holds one of these events.
func refusing(rejected ...string) func(context.Context, *event.Batch) error {
	return func(_ context.Context, b *event.Batch) error {
		for _, e := range b.Events {
			if slices.Contains(rejected, string(e)) {
				return status(400)
			}
		}
		return nil
	}
}

func TestOneRejectedEventDoesNotKeepItsBatchFromDelivery(t *testing.T) {
	events := tracks("e", 250, 1000)
	r := newRig(t, refusing(events[137]))
	want(t, "retained", r.invoke(t.Context(), in{id: "m", body: body(keyA, events...), sent: time.Now()}), []string{})
	want(t, "delivered", r.last.Delivered, 249)
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"rejected": 1})
	want(t, "dead letter", deadLetterEvents(t, r.queue.deadLetters[0]), []string{events[137]})
	want(t, "id", attr(r.queue.deadLetters[0], message.AttrDeadLetterID), "m/137")
	if d := attr(r.queue.deadLetters[0], message.AttrDetail); !strings.Contains(d, "400") || !strings.Contains(d, marker) {
		t.Errorf("the dead letter does not quote Segment's answer: %q", d)
	}
	if n := len(r.segment.attempts); n > 17 { // once, and twice for each of 8 splits
		t.Errorf("%d requests to find one of 250", n)
	}
	got := r.segment.delivered()
	slices.Sort(got)
	rest := slices.Delete(slices.Clone(events), 137, 138)
	slices.Sort(rest)
	want(t, "delivered events", got, rest)
}

func TestEightRejectedEventsAreIsolatedAndWithNineAllAreRetried(t *testing.T) {
	for _, n := range []int{1, 8, 9, 250} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			events := tracks("e", 250, 1000)
			var rejected []string
			for i := range n {
				rejected = append(rejected, events[i*250/n])
			}
			r := newRig(t, refusing(rejected...))
			// The rejected events are spread over messages, two of which have none.
			messages := []in{{id: "m1", body: body(keyA, events[:100]...)}, {id: "m2", body: body(keyA, events[100:]...)},
				{id: "b", body: body(keyB, track("b", 300))}}
			retained := r.invoke(t.Context(), messages...)
			if n <= 8 {
				want(t, "retained", retained, []string{})
				want(t, "dead letters", r.last.DeadLettered, map[string]int{"rejected": n})
				want(t, "delivered", r.last.Delivered, 251-n)
				var dead []string
				for _, l := range r.queue.deadLetters {
					dead = append(dead, deadLetterEvents(t, l)...)
				}
				slices.Sort(dead)
				slices.Sort(rejected)
				want(t, "dead letters", dead, rejected)
				return
			}
			want(t, "dead letters", len(r.queue.deadLetters), 0)
			want(t, "misconfigured", len(r.last.Misconfigured), 1)
			want(t, "key b", slices.Contains(retained, "b"), false)
			if r.last.Retried["misconfigured"] < 100 || len(retained) == 0 {
				t.Errorf("retained: %v, retried: %v", retained, r.last.Retried)
			}
			if r.keys.paused(keyA, time.Now()) == nil {
				t.Error("the key is not paused")
			}
		})
	}
}

// Each rejected event is a message of its own, which nothing but the event itself retains.
func TestOfTooManyRejectedEventsInMessagesOfTheirOwnNoneIsForgotten(t *testing.T) {
	for _, n := range []int{9, 10, 17, 30} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			events := tracks("e", 60, 1000)
			rejected := events[20 : 20+n]
			r := newRig(t, refusing(rejected...))
			var messages []in
			for i, e := range events {
				messages = append(messages, in{id: fmt.Sprint("m", i), body: body(keyA, e)})
			}
			retained := r.invoke(t.Context(), messages...)
			delivered := r.segment.delivered()
			for i, e := range events {
				is := slices.Contains(delivered, e)
				if is == slices.Contains(retained, fmt.Sprint("m", i)) || is && slices.Contains(rejected, e) {
					t.Errorf("event %d: delivered %v; retained: %v", i, is, retained)
				}
			}
			want(t, "counted as delivered", r.last.Delivered, len(delivered))
			want(t, "dead letters", len(r.queue.deadLetters), 0)
		})
	}
}

func TestTooManyRejectedEventsEndAsExpiredAndNotAsRejected(t *testing.T) {
	events := tracks("e", 20, 300)
	r := newRig(t, refusing(events[:9]...))
	want(t, "retained", r.invoke(t.Context(),
		in{id: "m", body: body(keyA, events...), sent: time.Now().Add(-MaxAge - time.Hour)}), []string{})
	want(t, "dead letters by reason", len(r.last.DeadLettered), 1)
	var dead []string
	for _, l := range r.queue.deadLetters {
		want(t, "reason", attr(l, message.AttrReason), "expired")
		if d := attr(l, message.AttrDetail); !strings.Contains(d, "rejects too many events of one batch") {
			t.Errorf("detail %q", d)
		}
		dead = append(dead, deadLetterEvents(t, l)...)
	}
	for _, e := range events {
		if slices.Contains(dead, e) == slices.Contains(r.segment.delivered(), e) {
			t.Errorf("%.100s is both delivered and a dead letter, or neither", e)
		}
	}
}

func TestABatchThatSegmentFindsTooLargeIsDeliveredInHalves(t *testing.T) {
	r := newRig(t, func(_ context.Context, b *event.Batch) error {
		if len(b.Events) > 60 {
			return status(413)
		}
		return nil
	})
	events := tracks("e", 250, 1000)
	want(t, "retained", r.invoke(t.Context(), in{id: "m", body: body(keyA, events...)}), []string{})
	want(t, "delivered", r.last.Delivered, 250)
	want(t, "dead letters", len(r.queue.deadLetters), 0)
}

func TestASingleEventThatSegmentRejectsIsADeadLetterWithoutBisecting(t *testing.T) {
	r := newRig(t, refusing(track("p", 300)))
	want(t, "retained", r.invoke(t.Context(), in{id: "m", body: track("p", 300)}), []string{})
	want(t, "attempts", len(r.segment.attempts), 1)
	want(t, "dead", r.last.DeadLettered, map[string]int{"rejected": 1})
}

func TestABisectionThatIsInterruptedSettlesEveryEvent(t *testing.T) {
	for _, c := range []struct {
		code  int
		class string
		pause bool
	}{{503, "transient", false}, {429, "throttled", true}, {401, "misconfigured", true}} {
		for after := 2; after < 16; after += 3 {
			t.Run(fmt.Sprintf("%d at request %d", c.code, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					// 50 messages of 5, one event of the second is rejected.
					events := tracks("e", 250, 1000)
					var n atomic.Int32
					refuse := refusing(events[7])
					r := newRig(t, func(ctx context.Context, b *event.Batch) error {
						if n.Add(1) >= int32(after) {
							return status(c.code)
						}
						return refuse(ctx, b)
					})
					var messages []in
					for i := range 50 {
						messages = append(messages, in{id: fmt.Sprintf("m%02d", i), body: body(keyA, events[5*i:5*i+5]...)})
					}
					retained := r.invoke(t.Context(), messages...)
					took := r.segment.delivered()
					for i := range 50 {
						id, all := fmt.Sprintf("m%02d", i), true
						for _, e := range events[5*i : 5*i+5] {
							all = all && slices.Contains(took, e)
						}
						if i != 1 && all == slices.Contains(retained, id) {
							t.Errorf("%s is retained: %v, though all of it is delivered: %v", id, slices.Contains(retained, id), all)
						}
					}
					found := len(r.queue.deadLetters) == 1
					want(t, "the message with the rejected event is retained", slices.Contains(retained, "m01"), !found)
					want(t, "retried", r.last.Retried, map[string]int{c.class: 5 * len(retained)})
					paused := r.keys.paused(keyA, time.Now())
					want(t, "the key is paused", paused != nil, c.pause)
				})
			})
		}
	}
}

func TestDeadLettersAreWrittenWhenAllEventsOfTheMessageAreFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One message over two batches: the rejected event is in the first, Segment fails for the
		// second.
		events := tracks("e", 700, 1000)
		away := true
		refuse := refusing(events[3])
		r := newRig(t, func(ctx context.Context, b *event.Batch) error {
			if away && slices.ContainsFunc(b.Events, func(e []byte) bool { return string(e) == events[699] }) {
				return status(503)
			}
			return refuse(ctx, b)
		})
		invalid := strings.Replace(track("invalid", 300), `"userId":"`+marker+`",`, "", 1)
		m := in{id: "m", body: body(keyA, append(slices.Clone(events), invalid)...)}
		m.body = zipped(t, m.body)
		for range 2 {
			want(t, "retained", r.invoke(t.Context(), m), []string{"m"})
			want(t, "dead letters", len(r.queue.deadLetters), 0)
			want(t, "retried", r.last.Retried, map[string]int{"transient": 701})
			want(t, "delivered", r.last.Delivered, 0)
		}
		away = false
		want(t, "retained", r.invoke(t.Context(), m), []string{})
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"rejected": 1, "invalid": 1})
		want(t, "delivered", r.last.Delivered, 699)
		ids := []string{}
		for _, l := range r.queue.deadLetters {
			ids = append(ids, attr(l, message.AttrDeadLetterID))
		}
		slices.Sort(ids)
		want(t, "ids", ids, []string{"m/3", "m/700"})
	})
}

func TestRejectedEventsOfOneMessageInSeveralBatchesAreAllIsolated(t *testing.T) {
	events := tracks("e", 1200, 1000) // three batches
	var rejected []string
	for i := range 12 { // more than maxRejected in all, but not of one batch
		rejected = append(rejected, events[i*100+50])
	}
	r := newRig(t, refusing(rejected...))
	retained := r.invoke(t.Context(), in{id: "m", body: body(keyA, events[:600]...)},
		in{id: "n", body: body(keyA, events[600:]...)})
	want(t, "retained", retained, []string{})
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"rejected": 12})
	seen := map[string]bool{}
	for _, l := range r.queue.deadLetters {
		seen[attr(l, message.AttrDeadLetterID)] = true
	}
	for i := range 12 {
		id := "m/" + strconv.Itoa(i*100+50)
		if i >= 6 {
			id = "n/" + strconv.Itoa(i*100+50-600)
		}
		if !seen[id] {
			t.Errorf("no dead letter %s among %v", id, seen)
		}
	}
}
